// What whoever was just woken sees on a phone, when it works and when it does not: a real browser on a real amends.
import { afterAll, afterEach, beforeEach, describe, expect } from '@jest/globals';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { DESKTOP, createHands, itOnChromium } from '../support/browser.ts';
import type { Held } from '../support/browser.ts';
import { startedHere, until } from '../support/servers.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

const hands = createHands();
const servers = startedHere();
let world: World;
let held: Held;

beforeEach(async () => {
  world = await openWorld(servers);
  held = await hands.take();
});
afterEach(async () => {
  await held.context.close();
  await world.close();
  await servers.stopAll();
  expect(held.complaints).toEqual([]);
});
afterAll(() => hands.close());

const open = async (path: string, page: Page = held.page): Promise<void> => {
  await page.goto(`${world.url}${path}`);
  await page.getByText('Live', { exact: true }).waitFor();
  await page.locator('main h1').waitFor();
};
const sees = (text: string | RegExp, page: Page = held.page): Promise<void> =>
  page.getByText(text).first().waitFor({ timeout: 30_000 });
const heading = (page: Page = held.page): Promise<string> => page.locator('main h1').innerText();
const press = (name: string | RegExp, page: Page = held.page): Promise<void> =>
  page.getByRole('button', { name }).first().click();
/** In the window that is open. */
const dialog = () => held.page.getByRole('dialog');

describe('the overview', () => {
  itOnChromium('says that nothing waits when nothing does', async () => {
    await open('/console');
    expect(await heading()).toBe('Nothing waits for you');
    await sees('No run under way. No alert has ever come in.');
    await sees('Nothing was decided yet: no alert has come in that is not a repeat.');
  });

  itOnChromium('shows a run as it goes, without being loaded again', async () => {
    await open('/console');
    await world.fire('ShopDown', 'shop', 'main');
    await sees('1 run under way.');
    const card = held.page.locator('article', { hasText: 'shop/mend' });
    await card.getByText(/started\s+restart/).waitFor();
    expect((await card.locator('li').allInnerTexts()).map((line) => line.split(/\s+/).slice(0, 2).join(' '))).toEqual([
      'succeeded evidence',
      'started restart',
      'pending verification',
    ]);
    world.letMend();
    await sees('Ended lately');
    await sees('verified,');
    await sees('No run under way.');
  });

  itOnChromium('says what was decided and why nothing was done, with a way to the whole reason', async () => {
    await world.call('/api/v1/components/shop/disable', { by: 'ann', reason: 'moving house' });
    await world.fire('ShopDown', 'shop', 'main', {}, { dashboard: 'https://grafana.example/d/shop' });
    await world.fire('Unheard', 'shop', 'spare');
    await open('/console');
    await sees(/the guard disabled held it/);
    await sees('no rule asks for an alert with these labels');
    await sees(/by ann: moving house/);
    const line = held.page.locator('.decisions li', { hasText: 'the guard disabled held it' });
    await line.getByRole('link', { name: 'Why' }).click();
    await held.page.waitForURL(/\/console\/decisions\/[\w-]+$/);
    await sees('What would have to change for it to act');
    await sees(/disabled: .*ann/);
    await sees('alertname equal "ShopDown" (it is "ShopDown")');
    expect(await held.page.getByRole('link', { name: 'https://grafana.example/d/shop' }).getAttribute('rel')).toContain(
      'noreferrer',
    );
    const held2 = held.page.locator('.guards li', { hasText: 'disabled' }).first();
    expect(await held2.innerText()).toMatch(/^held\s+disabled: /);
  });

  itOnChromium('puts what is worst first: a halt, then by severity', async () => {
    await world.fire('OrdersStale', 'orders', 'eu');
    await world.run('rebuild', 'awaiting_approval');
    await world.fire('ShopLostData', 'search', 'blue');
    await until('both wait', async () => (await world.list('/api/v1/inbox?status=open')).length === 2);
    await world.call('/api/v1/halt', { by: 'ann', reason: 'the data centre is on fire' });
    await open('/console');
    expect(await heading()).toBe('Halted, and 2 things wait for you');
    const titles = await held.page.locator('section', { hasText: 'Waits for you' }).locator('h3').allInnerTexts();
    expect(titles.map((title) => title.replaceAll(/\s+/g, ' '))).toEqual([
      'Everything stands still',
      expect.stringMatching(/^escalation SEV1 ShopLostData/),
      'approval orders eu',
    ]);
    await sees('Halted by ann: the data centre is on fire');
    expect(await held.page.title()).toMatch(/^HALTED - /);
  });

  itOnChromium(
    'says of a component that failed what holds it now, for how long, and what people are to do',
    async () => {
      world.letMend();
      world.shop.override = ({ path }) =>
        path.startsWith('/mend/') ? { status: 500, json: { why: 'no space' } } : null;
      await world.fire('ShopDown', 'shop', 'main');
      expect(await world.run('mend', 'done')).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      await open('/console');
      const back = held.page.locator('section', { hasText: 'Held back' });
      await back.getByText('no_checkout: nobody can pay').waitFor();
      expect((await back.innerText()).replaceAll(/\s+/g, ' ')).toMatch(
        /shop degraded no_checkout cooldown (5 min|4 min \d+ s) left, until \d\d:\d\d:\d\d UTC/,
      );
      await held.page.getByRole('link', { name: 'mend', exact: true }).first().click();
      await sees(/Did not help \(step failed\)/);
      await sees(/500/);
      await held.page.getByRole('link', { name: 'What a human does when it does not help' }).click();
      await sees('Look at the load balancer first.');
      await open('/console/components/shop');
      await held.page.getByRole('row', { name: '1h 1 3' }).waitFor();
      await until('the probe has been', async () => {
        await held.page.reload();
        await held.page.getByText('Live', { exact: true }).waitFor();
        return /succeeded\s+\d+ s ago\s+http\.get\s+front on main every 1h/.test(
          await held.page.locator('main').innerText(),
        );
      });
    },
  );

  itOnChromium('tells a storm of targets as one line and not as many', async () => {
    for (const target of ['eu', 'us', 'asia', 'africa']) await world.fire('Unheard', 'orders', target);
    await open('/console');
    await sees(/4 times/);
    expect(await held.page.locator('.decisions > li').count()).toBe(1);
  });
});

describe('what is done from a phone', () => {
  itOnChromium('a run is approved after its plan was read as it will be done, and is seen to the end', async () => {
    world.letMend();
    await world.fire('OrdersStale', 'orders', 'eu');
    const run = await world.run('rebuild', 'awaiting_approval');
    await open('/console');
    await sees(/min \d+ s left/);
    await press('Approve: orders eu');
    expect(await dialog().innerText()).toContain(`url: ${world.shop.url}/mend/eu`);
    expect(await dialog().innerText()).toContain('"batch": 500');
    expect(await dialog().innerText()).toContain(`amends approve ${String(run['id'])}`);
    await dialog().getByLabel('Comment (may be left out)').fill("it's fine");
    await dialog().getByLabel('Your name (may be left out)').fill('ann');
    await sees(`--comment='it'\\''s fine' --by='ann'`);
    await dialog().getByRole('button', { name: 'Approve' }).click();
    await dialog().waitFor({ state: 'detached' });
    await sees('Nothing waits for you');
    const ended = await world.run('rebuild', 'done');
    expect(ended).toMatchObject({ outcome: 'resolved' });
    const [audit] = await world.list('/api/v1/audit?action=run.approve');
    expect(audit).toMatchObject({ actor: 'ann', subject: run['id'] });
    const [entry] = await world.list('/api/v1/inbox?kind=approval');
    expect(entry).toMatchObject({ status: 'closed', closedBy: 'ann', comment: expect.stringContaining("it's fine") });
    expect(await held.page.locator('#said').innerText()).toMatch(/^Approved\. The run is /);
  });

  itOnChromium('a run is denied with a reason, and without one it is not', async () => {
    await world.fire('OrdersStale', 'orders', 'eu');
    const run = await world.run('rebuild', 'awaiting_approval');
    await open(`/console/runs/${String(run['id'])}`);
    await press('Deny: orders eu');
    await dialog().getByRole('button', { name: 'Deny' }).click();
    expect(await dialog().isVisible()).toBe(true);
    await dialog().getByLabel('Reason').fill('not tonight');
    await dialog().getByRole('button', { name: 'Deny' }).click();
    await sees(/Withdrawn: nothing was changed \(denied\)/);
    await sees(/denied by local: not tonight/);
  });

  itOnChromium('everything is halted and resumed, by somebody who says who they are', async () => {
    await open('/console/runs');
    await press('Halt: everything');
    await dialog().getByLabel('Reason').fill('it harms');
    await dialog().getByRole('button', { name: 'Halt' }).click();
    const link = held.page.getByRole('link', { name: 'HALTED' });
    await link.waitFor();
    expect((await world.call('/api/v1/halt')).body).toMatchObject({ on: true, reason: 'it harms' });
    await world.fire('ShopDown', 'shop', 'main');
    await link.click();
    await sees(/the guard halted held it/);
    await press('Resume');
    await dialog().getByRole('button', { name: 'Resume' }).click();
    expect(await dialog().isVisible()).toBe(true);
    await dialog().getByLabel('Your name').fill('bea');
    await dialog().getByRole('button', { name: 'Resume' }).click();
    await held.page.getByRole('button', { name: 'Halt: everything' }).waitFor();
    expect((await world.call('/api/v1/halt')).body).toMatchObject({ on: false });
    expect((await world.list('/api/v1/audit?action=resume'))[0]).toMatchObject({ actor: 'bea' });
  });

  itOnChromium('a component is disabled and enabled, a run under way is cancelled, an entry is closed', async () => {
    await world.fire('ShopDown', 'shop', 'main');
    const run = await world.run('mend', 'running');
    await open(`/console/runs/${String(run['id'])}`);
    await press('Cancel the run');
    await dialog().getByLabel('Reason').fill('wrong shop');
    await dialog().getByRole('button', { name: 'Cancel the run' }).click();
    await sees(/stop asked by local: cancelled: wrong shop/);
    await open('/console/components/search');
    await press('Disable');
    await dialog().getByLabel('Reason').fill('being moved');
    await dialog()
      .getByLabel(/^For how long/)
      .fill('2h');
    await dialog().getByRole('button', { name: 'Disable' }).click();
    await sees(/by local: being moved/);
    await sees(/until in 1 h 59 min/);
    await press('Enable');
    await dialog().getByRole('button', { name: 'Enable' }).click();
    await sees('By nothing.');
    await world.fire('ShopLostData', 'search', 'blue');
    await open('/console/inbox');
    await press(/^Close: ShopLostData/);
    await dialog().getByLabel('What was done').fill('put back by hand');
    await dialog().getByRole('button', { name: 'Close' }).click();
    await sees(/by local: put back by hand/);
  });

  itOnChromium('what is refused is said in the window, and nothing is lost of what was typed', async () => {
    await world.fire('OrdersStale', 'orders', 'eu');
    const run = await world.run('rebuild', 'awaiting_approval');
    await open('/console');
    await press('Approve: orders eu');
    await dialog().getByLabel('Comment (may be left out)').fill('go');
    expect((await world.call(`/api/v1/runs/${String(run['id'])}/deny`, { comment: 'no' })).status).toBe(200);
    await dialog().getByRole('button', { name: 'Approve' }).click();
    await sees(/^Not done: the run is done \(denied\): nobody is asked/);
    expect(await dialog().getByLabel('Comment (may be left out)').inputValue()).toBe('go');
  });
});

describe('when the connection is lost', () => {
  itOnChromium('the page says since when it knows nothing, and goes on by itself when amends is back', async () => {
    await open('/console');
    await world.server.stop();
    const banner = held.page.locator('#banner');
    await banner.getByText(/Not updated since \d\d:\d\d:\d\d UTC \(\d\d:\d\d:\d\d here\)/).waitFor();
    await sees('Not connected');
    await press('Halt: everything');
    await dialog().getByLabel('Reason').fill('it harms');
    await dialog().getByRole('button', { name: 'Halt' }).click();
    await sees(/^No answer: it is not known whether it was done\./);
    await press('Back');
    await world.restart();
    await world.fire('ShopLostData', 'search', 'blue');
    await sees('1 thing waits for you');
    await banner.getByText(/Not updated/).waitFor({ state: 'detached' });
    await sees('Live');
  });

  itOnChromium('a network that swallows everything is noticed by its silence', async () => {
    await open('/console');
    await held.context.setOffline(true);
    await held.page
      .locator('#banner')
      .getByText(/Not updated since/)
      .waitFor();
    await held.context.setOffline(false);
    await held.page
      .locator('#banner')
      .getByText(/Not updated since/)
      .waitFor({ state: 'detached' });
  });

  itOnChromium('without the stream it asks by itself, and says so', async () => {
    await held.page.route('**/api/v1/events/stream*', (route) => route.abort());
    await held.page.goto(`${world.url}/console`);
    await sees('Asks every 10 s');
    await world.fire('ShopLostData', 'search', 'blue');
    await sees('1 thing waits for you');
    expect(await held.page.locator('#banner').innerText()).toBe('');
  });

  itOnChromium('without JavaScript it names the commands', async () => {
    const plain = await hands.take({ javaScript: false });
    await plain.page.goto(`${world.url}/console`);
    const text = await plain.page.locator('main').innerText();
    for (const command of ['amends status', 'amends approve <id>', 'amends halt', 'amends resume'])
      expect(text).toContain(command);
    await plain.context.close();
  });
});

type Measured = { getBoundingClientRect(): { readonly height: number } };

describe('for everybody', () => {
  const findings = async (page: Page): Promise<readonly string[]> => {
    // By way of the debugger: the page's own policy lets no other script in.
    await page.evaluate(axe.source);
    return page.evaluate(async () => {
      const { axe: inPage } = globalThis as unknown as {
        axe: { run(options: object): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      };
      const { violations } = await inPage.run({
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      });
      return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
    });
  };
  /** Nothing stands out to the side. */
  const overflow = (page: Page): Promise<number> =>
    page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const paths = async (): Promise<readonly string[]> => {
    await world.fire('ShopDown', 'shop', 'main');
    await world.fire('OrdersStale', 'orders', 'eu');
    await world.fire('ShopLostData', 'search', 'blue');
    await world.fire('Unheard', 'shop', 'spare');
    const [run, asks] = [await world.run('mend', 'running'), await world.run('rebuild', 'awaiting_approval')];
    return [
      '/console',
      '/console/approvals',
      '/console/runs',
      `/console/runs/${String(run['id'])}`,
      `/console/runs/${String(asks['id'])}`,
      '/console/decisions',
      `/console/decisions/${String(run['decisionId'])}`,
      '/console/components',
      '/console/components/shop',
      '/console/inbox',
      '/console/rules',
      '/console/runs/nothing',
    ];
  };

  itOnChromium(
    'every page has labels, landmarks, headings and contrast, light and dark, and fits into 320 px',
    async () => {
      for (const path of await paths()) {
        for (const dark of [false, true]) {
          const other = await hands.take({ size: { width: 320, height: 640 }, dark });
          await open(path, other.page);
          expect([path, await overflow(other.page), await findings(other.page)]).toEqual([path, 0, []]);
          expect(other.complaints).toEqual([]);
          await other.context.close();
        }
      }
    },
    120_000,
  );

  itOnChromium('windows, the band and the way in are readable too', async () => {
    await open('/console');
    await press('Halt: everything');
    expect(await findings(held.page)).toEqual([]);
    await held.page.keyboard.press('Escape');
    await world.call('/api/v1/halt', { by: 'ann', reason: 'x' });
    await held.page.getByRole('link', { name: 'HALTED' }).waitFor();
    expect(await findings(held.page)).toEqual([]);
    await world.server.stop();
    await sees(/Not updated since/);
    expect(await findings(held.page)).toEqual([]);
  });

  itOnChromium('fingers find what they press: buttons are 44 px high, links in lists 24', async () => {
    await paths();
    await open('/console');
    const heights = (selector: string): Promise<readonly number[]> =>
      held.page
        .locator(selector)
        .evaluateAll((found) => found.map((one) => (one as unknown as Measured).getBoundingClientRect().height));
    expect(Math.min(...(await heights('button, .button, nav a')))).toBeGreaterThanOrEqual(44);
    expect(Math.min(...(await heights('main a')))).toBeGreaterThanOrEqual(24);
  });

  itOnChromium('all is reached by the keyboard, and the focus goes where the page goes', async () => {
    const desk = await hands.take({ size: DESKTOP });
    await open('/console', desk.page);
    const focused = (): Promise<string> => desk.page.evaluate('document.activeElement?.textContent ?? ""');
    await desk.page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    for (const name of ['amends', 'Halt', 'Overview', 'Approvals', 'Runs']) {
      await desk.page.keyboard.press('Tab');
      expect(await focused()).toBe(name);
    }
    await desk.page.keyboard.press('Enter');
    await desk.page.getByRole('heading', { name: 'Runs', level: 1 }).waitFor();
    expect(await desk.page.evaluate('document.activeElement?.id')).toBe('main');
    await desk.page.getByRole('button', { name: 'Halt: everything' }).focus();
    await desk.page.keyboard.press('Enter');
    expect(await desk.page.evaluate('document.activeElement?.getAttribute("name")')).toBe('reason');
    await desk.page.keyboard.press('Escape');
    expect(await focused()).toBe('Halt');
    await desk.page.goBack();
    await desk.page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();
    await desk.context.close();
  });

  itOnChromium('what was opened and typed stays while the page is kept up to date', async () => {
    await world.fire('ShopLostData', 'search', 'blue');
    await open('/console');
    await held.page.getByText('Evidence', { exact: true }).click();
    await press(/^Close: ShopLostData/);
    await dialog().getByLabel('What was done').fill('half a sen');
    await world.fire('Unheard', 'shop', 'main');
    await held.page.locator('.decisions', { hasText: 'Unheard' }).waitFor({ state: 'attached' });
    expect(await dialog().getByLabel('What was done').inputValue()).toBe('half a sen');
    expect(await held.page.locator('article details[open]').count()).toBe(1);
  });
});
