// What tests of the page stand on: a browser of the system, `remora web`, and an eye on whatever goes wrong in the page.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { Fake } from './fake.js';

const REMORA = process.env.REMORA ?? join(import.meta.dirname, '../../build/remora');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'remora-web-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

// A browser with nothing in it.
export async function launch() {
  const profile = folder();
  const browser = await chromium.launchPersistentContext(profile.path, { executablePath: CHROMIUM, args: ARGS, headless: true, viewport: DESKTOP });
  return {
    context: browser,
    close: async () => {
      await browser.close();
      profile.remove();
    },
  };
}

// `remora web` for a socket: its first link, and an end.
export function serve(socket, args = []) {
  const child = spawn(REMORA, ['--api-socket', socket, 'web', '--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const links = () => said.match(/http:\/\/\S+/g) ?? [];
  child.stdout.on('data', (data) => {
    said += data;
  });
  const link = async (n = 0) => {
    for (let i = 0; i < 200 && links().length <= n; i += 1) await pause(50);
    assert(links().length > n, `no link: ${said}`);
    return links()[n];
  };
  return {
    link,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A page that remembers what went wrong in it.
export async function open(context, link, { viewport = DESKTOP, scheme = 'light' } = {}) {
  const page = await context.newPage();
  const problems = [];
  const origin = new URL(link).origin;
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  page.on('pageerror', (error) => problems.push(`error: ${error.stack}`));
  page.on('console', (message) => {
    // What the network says of a lost connection is no fault of the page.
    if (message.type() === 'error' && !/Failed to load resource|ERR_/.test(message.text())) problems.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) problems.push(`outside request: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(link);
  return { page, problems };
}

// Nothing went wrong, nothing was forbidden, nothing ran that should not.
export async function clean({ page, problems }) {
  const [violations, pwned] = await page.evaluate(() => [window.violations, window.pwned]);
  assert.deepEqual([problems, violations, pwned], [[], [], undefined]);
}

export async function goTo(page, ...parts) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `#/${parts.map(encodeURIComponent).join('/')}`);
}

// What axe finds, in words.
export async function accessible(page) {
  // Set by the debugger, which the page's policy does not bind.
  await page.evaluate(readFileSync(AXE, 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], rules: { region: { enabled: true } } }));
  return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(' | ')}`);
}

// Whether something is wider than the window, which a phone would have to push aside.
export async function overflows(page) {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth + 1);
}

// A picture, if somebody wants pictures.
export async function picture(page, name) {
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });
}

// A daemon that is none, `remora web` before it, and the link.
export async function stage(options, args) {
  const dir = folder();
  const socket = join(dir.path, 'api.sock');
  const fake = new Fake(socket, options);
  await fake.start();
  const web = serve(socket, args);
  return {
    fake, web, link: await web.link(),
    end: async () => {
      await web.stop();
      await fake.stop().catch(() => {});
      dir.remove();
    },
  };
}
