// live.js SOCKET: clicks through the page before a real daemon with real containers, as tests/e2e/web.rs has started them: `web`
// asks `api`, which asks `db`. Says "restart" when the daemon is to be stopped and started again.
import assert from 'node:assert/strict';
import { DESKTOP, PHONE, accessible, clean, goTo, launch, open, overflows, pause, picture, serve } from './rig.js';

// What a container has in its arguments and calls a file.
const HOSTILE = '<img src=x onerror=window.pwned=1>';

const web = serve(process.argv[2], ['--changes']);
const browser = await launch();
try {
  const link = await web.link();
  for (const [kind, look] of [['live-phone', { viewport: PHONE, scheme: 'dark' }], ['live-desktop', { viewport: DESKTOP }]]) {
    const opened = await open(browser.context, kind === 'live-phone' ? link : link.split('#')[0], look);
    await views(opened.page, kind);
    // Last, for a new daemon remembers no more than the ring does.
    if (kind === 'live-desktop') {
      await switches(opened.page);
      await restarted(opened.page);
    }
    await clean(opened);
    await opened.page.close();
  }
} catch (error) {
  await picture(browser.context.pages().at(-1), 'failed');
  throw error;
} finally {
  await browser.close();
  await web.stop();
}
console.log('all seen');

async function look(page, kind, name, ...wanted) {
  for (const text of wanted) await page.getByText(text).filter({ visible: true }).first().waitFor();
  await picture(page, `${kind}-${name}`);
  assert.deepEqual(await accessible(page), [], `${kind} ${name}`);
  assert.equal(await overflows(page), false, `${kind} ${name} is too wide`);
}

async function views(page, kind) {
  await look(page, kind, 'containers', 'db', 'api', 'web');
  await page.getByRole('link', { name: 'api', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: /^api/ }).waitFor();
  await look(page, kind, 'overview', '/bin/wget', '/bin/httpd', 'from its first program on');
  const to = (name) => page.getByRole('navigation', { name: 'Views of this container' }).getByRole('link', { name }).click();
  await to('Timeline');
  // The very first line is the first exec.
  await page.locator('.events li').first().getByText('exec', { exact: true }).waitFor();
  assert.match(await page.locator('.events li').first().innerText(), /\+0\.000 s[\s\S]*exec[\s\S]*sh -c/);
  await look(page, kind, 'timeline', HOSTILE);
  await to('Processes');
  await look(page, kind, 'processes', /httpd -f/);
  // What the server starts stands below it.
  await page.locator('.tree .tree').getByText(/wget -q -O-/).first().waitFor();
  await to('Files');
  await look(page, kind, 'files', `/srv/${HOSTILE}`);
  await to('Connections');
  await look(page, kind, 'connections', '127.0.0.1', 'httpd');
  await to('Resources');
  await page.locator('.plot canvas').nth(2).waitFor();
  await pause(5000);
  await look(page, kind, 'resources', 'Processor', 'Memory');
  await to('Flame graph');
  await page.locator('.box').nth(3).waitFor();
  await look(page, kind, 'flame', 'Functions by time of their own');
  await to('Ledger');
  await look(page, kind, 'ledger', 'no: from its first program on');
  await map(page, kind);
}

async function map(page, kind) {
  await goTo(page, 'network');
  const node = (name) => page.locator(`.node[aria-label^="${name},"]`);
  for (const name of ['web', 'api', 'db']) await node(name).waitFor();
  // Each of the three talks to the next, and both ends are one arrow.
  const rows = await page.getByRole('table', { name: 'Links' }).locator('tbody tr').allInnerTexts();
  const cells = rows.map((row) => row.split('\t').map((cell) => cell.trim()));
  const between = (from, to) => cells.filter(([a, b]) => a === from && b === to);
  assert.equal(between('web', 'api').length, 1, `${rows}`);
  assert.equal(between('api', 'db').length, 1, `${rows}`);
  assert(cells.every(([a, b]) => a && b), `a blank end: ${rows}`);
  // Connections that are refused are shown as such.
  assert(await page.locator('.link.bad').count() > 0, 'no failure on the map');
  await page.getByText(/[1-9][\d.]* (B|KiB|MiB)\/s/).filter({ visible: true }).first().waitFor();
  await node('api').click();
  await page.getByRole('complementary', { name: 'About api' }).getByRole('link', { name: 'What it does' }).waitFor();
  await look(page, kind, 'network', 'Is asked by');
}

async function switches(page) {
  await goTo(page, 'containers');
  await page.getByRole('link', { name: 'db', exact: true }).click();
  await page.getByRole('link', { name: 'Ledger and tracers' }).click();
  const file = (on) => page.locator(`[role=switch][aria-label="Tracer file for this container"][aria-checked=${on}]`);
  await file(true).click();
  await file(false).click();
  await file(true).waitFor();
  await page.getByRole('heading', { name: 'What was switched' }).waitFor();
}

// The daemon goes and comes back; the page says both, and goes on.
async function restarted(page) {
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.locator('.events li').first().waitFor();
  console.log('restart');
  await page.getByText('Connection lost.').waitFor();
  await page.getByText('Connected again.').waitFor();
  await page.getByText('live', { exact: true }).waitFor();
}
