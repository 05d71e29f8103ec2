// C10: whatever strangers write into labels, annotations, names, addresses, errors and outputs is read on the page, and
// nothing of it runs: in a real browser, on every page that shows it.
import { afterAll, afterEach, beforeEach, describe, expect } from '@jest/globals';
import { createHands, itOnChromium } from '../support/browser.ts';
import type { Held } from '../support/browser.ts';
import { startedHere, until } from '../support/servers.ts';
import { PAYLOADS } from './payloads.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

const hands = createHands();
const servers = startedHere();
let world: World;
let held: Held;

const named = (prefix: string): Record<string, string> =>
  Object.fromEntries(PAYLOADS.map((payload, index) => [`${prefix}${index}`, payload]));

beforeEach(async () => {
  held = await hands.take();
  await held.page.addInitScript(
    `document.addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI));`,
  );
});
afterEach(async () => {
  await held.context.close();
  await world.close();
  await servers.stopAll();
});
afterAll(() => hands.close());

const open = async (path: string): Promise<void> => {
  await held.page.goto(`${world.url}${path}`);
  await held.page.getByText('Live', { exact: true }).waitFor();
  await held.page.locator('main h1').waitFor();
};

/** Whatever makes an element of its own, or leads somewhere, is not ours. */
const harmless = async (): Promise<void> => {
  const found = await held.page.evaluate(`[
    [...document.querySelectorAll('main :is(script, img, svg, math, iframe, object, embed, base, meta, link, style, form, input, video, audio, body, noscript)')].map((one) => one.outerHTML),
    [...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames().filter((name) => name.startsWith('on') || name === 'style' || name === 'srcdoc')),
    [...document.querySelectorAll('[href], [src]')].map((one) => new URL(one.getAttribute('href') ?? one.getAttribute('src'), location.href).protocol).filter((scheme) => scheme !== 'http:' && scheme !== 'https:'),
    [...new Set([...document.querySelectorAll('link, script')].map((one) => new URL(one.href || one.src).origin))].filter((origin) => origin !== location.origin),
  ]`);
  expect(found).toEqual([[], [], [], []]);
  expect(held.complaints).toEqual([]);
  // A page that had been led away would not be here.
  expect(new URL(held.page.url()).origin).toBe(world.url);
};
const textOf = async (): Promise<string> => (await held.page.locator('main').textContent()) ?? '';
const showsAll = async (): Promise<void> => {
  const text = await textOf();
  expect(PAYLOADS.filter((payload) => !text.includes(payload))).toEqual([]);
};

describe('what strangers write', () => {
  itOnChromium(
    'C10 in labels, annotations, outputs and errors is text on the page of a run, and in its window',
    async () => {
      expect(new Set(PAYLOADS).size).toBeGreaterThanOrEqual(40);
      world = await openWorld(servers);
      world.shop.override = ({ path }) => {
        if (path.startsWith('/stats/')) return { text: PAYLOADS.join('\n') };
        return path.startsWith('/mend/') ? { status: 400, text: PAYLOADS.join('\n') } : null;
      };
      await world.fire('ShopDown', 'shop', 'main', named('label'), named('annotation'));
      const run = await world.run('mend', 'done');
      expect(run).toMatchObject({ outcome: 'unresolved' });
      await open(`/console/runs/${String(run['id'])}`);
      const [labels, annotations] = [named('label'), named('annotation')];
      const shownLabels = await held.page.locator('.labels li').allTextContents();
      for (const [name, payload] of Object.entries(labels)) expect(shownLabels).toContain(`${name}="${payload}"`);
      const shownAnnotations = await held.page.locator('main p.why').allTextContents();
      for (const [name, payload] of Object.entries(annotations))
        expect(shownAnnotations).toContain(`${name}: ${payload}`);
      const outputs = await held.page.locator('.step', { hasText: 'evidence' }).locator('pre').allTextContents();
      for (const payload of PAYLOADS) expect(outputs.join('\n')).toContain(payload);
      await held.page.locator('.step', { hasText: 'restart' }).locator('.error, pre').first().waitFor();
      await harmless();
      await open('/console');
      await harmless();
    },
  );

  itOnChromium(
    'C10 as the name of an alert is text on the overview, in the lists and on the page of its decision',
    async () => {
      world = await openWorld(servers);
      for (const payload of PAYLOADS) {
        const alert = { alertname: payload, instance: payload };
        await world.fire('any', 'search', 'blue', alert, { summary: payload, runbook_url: payload });
      }
      const decisions = await until('all are decided', async () => {
        const found = await world.list('/api/v1/decisions?limit=100');
        return found.length >= PAYLOADS.length ? found : null;
      });
      expect(new Set(decisions.map(({ reason }) => reason))).toEqual(new Set(['no_match']));
      await open('/console/decisions');
      await held.page.getByRole('link', { name: 'Why' }).first().waitFor();
      await harmless();
      for (const [index, { id, alertname }] of decisions.entries()) {
        // Within the page, as a person goes: what was there before is laid over.
        await held.page.evaluate(
          `history.pushState(null, '', '/console/decisions/${String(id)}'); dispatchEvent(new PopStateEvent('popstate'))`,
        );
        const payload = String(alertname);
        await until(
          `the alert of decision ${index}`,
          async () => (await held.page.locator('.labels li').allTextContents()).includes(`alertname="${payload}"`),
          10_000,
          20,
        );
        const text = await textOf();
        expect(text).toContain(`summary: ${payload}`);
        expect(text).toContain(`runbook_url: ${payload}`);
        await harmless();
      }
      await open('/console');
      await harmless();
    },
    120_000,
  );

  itOnChromium(
    'C10 as who, why, comment, description, summary, question and title is text wherever people read it',
    async () => {
      const halves = [PAYLOADS.slice(0, PAYLOADS.length / 2), PAYLOADS.slice(PAYLOADS.length / 2)];
      const described = (half: number): string => (halves[half] ?? []).join('\n');
      const summary = PAYLOADS.filter((payload) => !payload.includes('${'))
        .join(' ')
        .replaceAll('\t', ' ');
      world = await openWorld(servers, {
        files: {
          'rules/orders-stale.json': JSON.stringify({
            name: 'orders-stale',
            description: described(0),
            priority: 10,
            conditions: { all: [{ fact: 'alertname', operator: 'in', value: ['OrdersStale', ...PAYLOADS] }] },
            event: { type: 'remediate', params: { runbook: 'store/rebuild', mode: 'approve' } },
          }),
          'rules/shop-lost.json': JSON.stringify({
            name: 'shop-lost',
            description: described(1),
            priority: 20,
            conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopLostData' }] },
            event: { type: 'escalate', params: { severity: 'SEV1' } },
          }),
          'runbooks/store/rebuild.yaml': JSON.stringify({
            version: 1,
            summary: summary.slice(0, 500),
            severity: 'SEV2',
            steps: [{ id: 'count', uses: 'http.get', with: { url: '${{ connect.url }}/stats/x' } }],
            verify: [{ uses: 'http.get', with: { url: '${{ connect.url }}/health' } }],
            guide: summary,
          }),
        },
      });
      await world.fire('OrdersStale', 'orders', 'eu');
      await world.run('rebuild', 'awaiting_approval');
      for (const [index, payload] of PAYLOADS.entries()) {
        if (index % 8 === 0)
          await world.call('/api/v1/components/search/disable', { by: payload.slice(0, 128), reason: payload });
      }
      expect(
        (
          await world.call('/api/v1/halt', {
            by: (PAYLOADS[8] ?? '').slice(0, 128),
            reason: PAYLOADS.slice(0, 20).join(' ').slice(0, 1_000),
          })
        ).status,
      ).toBe(200);
      await open('/console');
      await held.page.getByText('Everything stands still').waitFor();
      expect(await textOf()).toContain(PAYLOADS[8]);
      await held.page
        .getByRole('button', { name: /^Approve/ })
        .first()
        .click();
      await held.page.getByRole('dialog').waitFor();
      await held.page.keyboard.press('Escape');
      await harmless();
      await open('/console/rules');
      await showsAll();
      await harmless();
      for (const page of ['/console/inbox', '/console/approvals', '/console/components/search']) {
        await open(page);
        await harmless();
      }
    },
  );

  itOnChromium('C10 in the address of the page leads nowhere and is text', async () => {
    world = await openWorld(servers);
    for (const payload of PAYLOADS) {
      await held.page.goto(`${world.url}/console/components/${encodeURIComponent(payload)}`);
      await held.page.getByRole('heading', { name: /There is no such|Not found/ }).waitFor();
      await harmless();
    }
    await held.page.goto(`${world.url}/console/login?next=${encodeURIComponent('javascript:alert(1)')}`);
    await held.page.getByRole('heading', { level: 1 }).waitFor();
    await harmless();
  });
});
