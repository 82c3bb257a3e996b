// alerts.js SOCKET: finds the incident on the page that tests/e2e/web.rs has caused, before a real daemon: a shell in `victim`
// executed what it had written itself.
import assert from 'node:assert/strict';
import { DESKTOP, PHONE, accessible, clean, goTo, launch, open, overflows, picture, serve } from './rig.js';

const DROPPED = '/tmp/<img src=x onerror=window.pwned=1>';

const web = serve(process.argv[2]);
const browser = await launch();
try {
  const link = await web.link();
  for (const [kind, look] of [['phone', { viewport: PHONE, scheme: 'dark' }], ['desktop', { viewport: DESKTOP }]]) {
    const opened = await open(browser.context, kind === 'phone' ? link : link.split('#')[0], look);
    await seen(opened.page, kind);
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

async function seen(page, kind) {
  await goTo(page, 'alerts');
  const row = page.getByRole('table', { name: 'Incidents' }).locator('tbody tr').filter({ hasText: 'victim' }).first();
  await row.waitFor();
  await fine(page, `${kind}-live-alerts`);
  await row.getByRole('link').click();
  await page.getByRole('heading', { name: 'What happened' }).waitFor();
  assert.match(await page.locator('.story').innerText(), /victim/);
  // The graph has what was dropped, an alarm speaks of it, and the table says who executed it.
  await page.locator('.node.bad').first().waitFor();
  const labels = await page.locator('.node').evaluateAll((nodes) => nodes.map((node) => node.getAttribute('aria-label')));
  assert(labels.some((label) => label.includes(DROPPED)), `${labels}`);
  const deeds = await page.getByRole('table', { name: 'Who did what' }).locator('tbody tr').allInnerTexts();
  assert(deeds.some((deed) => deed.includes('executed') && deed.includes(DROPPED)), `${deeds}`);
  await page.locator('.moments').getByText(DROPPED).first().waitFor();
  await page.locator('.alarm summary').first().click();
  await page.locator('.alarm pre.json').first().waitFor();
  await page.getByText('account complete').waitFor();
  await fine(page, `${kind}-live-incident`);
  await page.getByRole('link', { name: 'victim', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: /^victim/ }).waitFor();
}

async function fine(page, name) {
  await picture(page, name);
  assert.deepEqual(await accessible(page), [], name);
  assert.equal(await overflows(page), false, `${name} is too wide`);
}
