// The page before a daemon that is none: what a real one cannot be asked to do at will.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DESKTOP, PHONE, accessible, clean, goTo, launch, open, overflows, pause, picture, stage } from './rig.js';
import { HOSTILE } from './fake.js';

const VIEWS = ['overview', 'timeline', 'processes', 'files', 'connections', 'resources', 'flame', 'ledger'];
const NOWHERE = 'http://127.0.0.1:1';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

// A stage and a page on it, both gone at the end.
async function on(options, args, work, look) {
  const scene = await stage(options, args);
  const { context } = browser;
  try {
    const opened = await open(context, scene.link, look);
    await work(opened.page, scene, opened);
    await clean(opened);
    await opened.page.close();
  } finally {
    await scene.end();
  }
}

const ready = (page) => page.getByRole('table', { name: 'Containers' }).waitFor();

for (const [kind, look] of [['desktop', { viewport: DESKTOP }], ['phone', { viewport: PHONE, scheme: 'dark' }]]) {
  test(`each view has its contents, is accessible and fits: ${kind}`, async () => {
    await on({ containers: 12, rate: 40 }, ['--changes'], async (page, { fake }) => {
      await ready(page);
      const look = async (name, wanted) => {
        await page.getByText(wanted).filter({ visible: true }).first().waitFor();
        await picture(page, `${kind}-${name}`);
        assert.deepEqual(await accessible(page), [], name);
        assert.equal(await overflows(page), false, `${name} is wider than a ${kind}`);
      };
      await look('containers', '11 containers in scope');
      await goTo(page, 'alerts');
      await look('alerts', '3 open incidents');
      await page.getByRole('link', { name: /^sh in web executed/ }).click();
      await page.locator('.node.process.bad').waitFor();
      await look('incident', 'which downloaded from 203.0.113.9:80');
      await goTo(page, 'network');
      await look('network', '203.0.113.9');
      await goTo(page, 'tracers');
      await look('tracers', 'Who talks to whom');
      const contents = { overview: '/usr/sbin/nginx', timeline: 'daemon off;', processes: '/usr/bin/curl', files: '/srv/data/2.json', connections: '0.0.0.0:8080', resources: 'Processor', flame: 'parse_header', ledger: 'Events by tracer' };
      for (const view of VIEWS) {
        await goTo(page, 'containers', fake.containers[0].id, view);
        await look(view, contents[view]);
      }
    }, look);
  });
}

test('what containers call things is never HTML', async () => {
  await on({ containers: 16, rate: 200, hostile: true }, [], async (page, { fake }) => {
    await ready(page);
    for (const name of HOSTILE) await page.getByRole('link', { name, exact: true }).first().waitFor();
    for (const { id, title } of fake.incidents()) {
      await goTo(page, 'alerts');
      await page.getByRole('link', { name: title, exact: true }).click();
      await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
      await page.locator('.alarm summary').click();
      await page.locator('.node').first().focus();
      await page.keyboard.press('Enter');
      await page.locator('.node.chosen').waitFor();
      assert.match(page.url(), new RegExp(`/${id}$`));
    }
    for (const place of ['network', 'tracers']) {
      await goTo(page, place);
      await pause(1500);
    }
    for (const container of fake.containers.slice(0, 2)) {
      for (const view of VIEWS) {
        await goTo(page, 'containers', container.id, view);
        await pause(900);
        if (view === 'timeline') await page.locator('.events summary').first().click();
      }
    }
    // As text they are there, and nothing but the page's own elements is.
    await goTo(page, 'containers', fake.containers[1].id, 'files');
    await page.getByText(`/srv/${HOSTILE[2]}`, { exact: true }).waitFor();
    assert.equal(await page.locator('iframe, body script, #app img:not([src="/icon.svg"]), [onerror], [onload], [srcdoc]').count(), 0);
    assert.equal(await page.evaluate(() => [...document.querySelectorAll('a')].every((a) => a.href.startsWith(`${location.origin}/`))), true);
  });
});

test('two hundred containers and ten thousand events a second', async () => {
  await on({ containers: 210, rate: 10_000 }, [], async (page, { fake }) => {
    await ready(page);
    assert(await page.locator('tbody tr').count() >= 190);
    await picture(page, 'many-containers');
    await goTo(page, 'network');
    await page.locator('.node').nth(190).waitFor();
    await picture(page, 'many-network');
    await goTo(page, 'containers', fake.containers[0].id, 'timeline');
    await page.getByText(/events a second come in/).waitFor({ timeout: 60_000 });
    // A kind of which one in a thousand is, is there.
    await page.getByRole('button', { name: /^listen/ }).waitFor();
    await picture(page, 'many-timeline');
    // The page still answers a person.
    const longest = await page.evaluate(async () => {
      let last = performance.now();
      let most = 0;
      for (let i = 0; i < 60; i += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        most = Math.max(most, performance.now() - last - 50);
        last = performance.now();
      }
      return most;
    });
    assert(longest < 1500, `the page stood still for ${longest} ms`);
    await page.getByRole('link', { name: 'Processes' }).click();
    await page.locator('.tree').first().waitFor();
  });
});

test('a connection that is lost and regained is told of', async () => {
  await on({ containers: 3, rate: 40 }, [], async (page, { fake }) => {
    await ready(page);
    await goTo(page, 'containers', fake.containers[0].id, 'timeline');
    await page.locator('.events li').first().waitFor();
    await fake.stop();
    await page.getByText('Connection lost.').waitFor();
    await page.getByText('not connected').waitFor();
    await picture(page, 'lost');
    assert.deepEqual(await accessible(page), []);
    const asked = fake.asked.length;
    await fake.start();
    await page.getByText('Connected again.').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    // From the last event on, not from the beginning.
    await page.waitForTimeout(2500);
    const again = fake.asked.slice(asked).filter((line) => line.includes('/v1/events'));
    assert(again.length > 0 && again.every((line) => /after=\d+/.test(line)), `${again}`);
  });
});

test('a link is good once, and the page says what to do without one', async () => {
  await on({ containers: 3 }, [], async (page, { link, web }) => {
    await ready(page);
    assert(!page.url().includes(link.split('#')[1]), page.url());
    await page.reload();
    await ready(page);
    const used = await fetch(`${new URL(link).origin}/session`, { method: 'POST', body: link.split('#')[1] });
    assert.equal(used.status, 401);
    await page.evaluate(() => localStorage.removeItem('remora-session'));
    await page.reload();
    await page.getByText('This page needs a link').waitFor();
    assert.deepEqual(await accessible(page), []);
    await page.goto('about:blank');
    await page.goto(await web.link(1));
    await ready(page);
  });
});

test('keys alone are enough', async () => {
  await on({ containers: 6, rate: 40 }, ['--changes'], async (page, { fake }) => {
    await ready(page);
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label') || document.activeElement.tagName);
    const tabTo = async (wanted) => {
      for (let i = 0; i < 60; i += 1) {
        if (wanted.test(await focused())) return;
        await page.keyboard.press('Tab');
      }
      assert.fail(`no way to ${wanted} by keys`);
    };
    await page.keyboard.press('Tab');
    assert.match(await focused(), /Skip to the content/);
    await page.keyboard.press('Enter');
    await tabTo(/^web$/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: /^web/ }).waitFor();
    await tabTo(/^Timeline$/);
    await page.keyboard.press('Enter');
    await page.locator('.events li').first().waitFor();
    await tabTo(/daemon off/);
    await page.keyboard.press('Enter');
    await page.locator('pre.json').waitFor();
    // The map: arrows go from node to node, and Escape lets go.
    await goTo(page, 'network');
    await page.locator('.node').first().waitFor();
    await page.locator('.node[tabindex="0"]').focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('heading', { name: 'Links of' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('heading', { name: 'All links' }).waitFor();
    // A flame graph: down, in, and out again.
    await goTo(page, 'containers', fake.containers[0].id, 'flame');
    await page.locator('.box').first().focus();
    await page.keyboard.press('ArrowDown');
    assert.match(await focused(), /nginx/);
    await page.keyboard.press('Enter');
    await page.locator('.box').first().and(page.getByText('nginx')).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.box').first().and(page.getByText('all')).waitFor();
  });
});

test('incidents are narrowed down, and say how much of them was seen', async () => {
  await on({ containers: 6 }, [], async (page) => {
    await goTo(page, 'alerts');
    const rows = page.getByRole('table', { name: 'Incidents' }).locator('tbody tr');
    const are = async (n) => {
      for (let i = 0; i < 100 && await rows.count() !== n; i += 1) await pause(50);
      assert.equal(await rows.count(), n);
    };
    await are(4);
    await page.getByRole('combobox').selectOption('high');
    await are(2);
    await page.getByRole('combobox').selectOption('info');
    await page.getByRole('checkbox').uncheck();
    await are(3);
    await page.getByRole('searchbox').fill('postgres t1105');
    await are(1);
    await rows.getByRole('link').click();
    await page.getByText('17 events lost').waitFor();
    // A node chosen leaves what it had to do with.
    const deeds = page.getByRole('table', { name: 'Who did what' }).locator('tbody tr');
    assert.equal(await deeds.count(), 6);
    await page.locator('.node[aria-label^="nginx (4001), process"]').click();
    await page.getByRole('heading', { name: 'With nginx (4001)' }).waitFor();
    assert.equal(await deeds.count(), 1);
    await goTo(page, 'alerts', 'i-nobody');
    await page.getByText('no such resource').waitFor();
  });
});

test('switches are for those who may', async () => {
  await on({ containers: 3 }, [], async (page, { fake }) => {
    await goTo(page, 'tracers');
    await page.getByText('This page only reads.').waitFor();
    assert.equal(await page.getByRole('switch').count(), 0);
    await goTo(page, 'containers', fake.containers[0].id, 'ledger');
    await page.getByRole('switch').first().waitFor();
    assert.equal(await page.getByRole('switch').first().isDisabled(), true);
    const status = await page.evaluate(async () => (await fetch('/v1/tracers/exec/stop', { method: 'POST', headers: { authorization: `Bearer ${localStorage.getItem('remora-session')}` } })).status);
    assert.equal(status, 403);
    assert(!fake.asked.some((line) => line.startsWith('POST')), `${fake.asked}`);
  });
  await on({ containers: 3 }, ['--changes'], async (page, { fake }) => {
    await goTo(page, 'tracers');
    const exec = page.getByRole('switch', { name: 'Tracer exec for all containers' });
    await exec.click();
    await page.locator('[role=switch][aria-label^="Tracer exec"][aria-checked=false]').waitFor();
    assert.deepEqual([...fake.stopped], ['exec']);
    await goTo(page, 'containers', fake.containers[0].id, 'ledger');
    await page.getByRole('switch', { name: 'Tracer profile for this container' }).click();
    await page.locator('[role=switch][aria-label^="Tracer profile"][aria-checked=true]').waitFor();
  });
});

test('no other page and no other name leads in', async () => {
  const scene = await stage({ containers: 2 });
  try {
    const { port } = new URL(scene.link);
    const ask = (path, headers = {}, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method, headers }).then(async (r) => ({ status: r.status, headers: r.headers, text: await r.text() }));
    assert.equal((await ask('/')).status, 200);
    for (const path of ['/v1/containers', '/v1/events', '/metrics', '/session']) assert.equal((await ask(path)).status, 401, path);
    assert.equal((await ask('/v1/containers', { authorization: `Bearer ${scene.link.split('#')[1]}` })).status, 401);
    assert.equal((await ask('/', { origin: NOWHERE })).status, 403);
    assert.equal((await ask('/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' })).status, 403);
    const answer = await ask('/', { 'accept-encoding': 'identity' });
    assert.match(answer.text, /<title>remora<\/title>/);
    assert.match(answer.headers.get('content-security-policy'), /default-src 'none'/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
    assert.equal((await ask('/', { 'if-none-match': answer.headers.get('etag') })).status, 304);
    assert.equal((await ask('/v1/containers')).headers.get('cache-control'), 'no-store');
    assert.equal((await ask('/../secret')).status, 404);
  } finally {
    await scene.end();
  }
});
