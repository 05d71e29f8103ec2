// Present before past, on a real Alertmanager and a real Prometheus: nothing is done on the word of a post alone, and
// whatever waited is confirmed again before its first effect.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { fire, quietConfig, resolve, silence, unsilence } from '../support/alertmanager.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { itWith } from '../support/requires.ts';
import { getJson, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import {
  ALERT,
  FIRING,
  alertmanagersAt,
  configOf,
  mended,
  openShop,
  postFrom,
  prometheusAt,
  reasons,
  ruleOf,
  runbookOf,
} from '../support/shop.ts';

const MINUTE = 60_000;
/** Nobody listens there. */
const NOWHERE = 'http://127.0.0.1:9';

const servers = startedHere();
let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
let prometheus: Running;
let alertmanager: Running;

beforeAll(async () => {
  prometheus = await servers.prometheus({ config: {} }).catch(() => ({ url: NOWHERE }) as Running);
}, 30_000);
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
});
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => servers.stopAll(), 30_000);

const INHIBITING = {
  ...quietConfig,
  inhibit_rules: [{ source_matchers: ['alertname="Flood"'], target_matchers: ['component="shop"'] }],
};
const freshAlertmanager = async (): Promise<Running> => {
  alertmanager = await servers.alertmanager({ config: INHIBITING });
  return alertmanager;
};
const later = async (ms: number): Promise<void> => {
  amends.clock.advance(ms);
  await amends.settle();
};
const blindEntries = async (): Promise<readonly unknown[]> =>
  (await amends.list('inbox')).filter(({ title }) => title.startsWith('Cannot see'));
const pages = async (topic: string): Promise<number> =>
  (await amends.list('outbox')).filter((row) => row.topic === topic).length;
const lastRun = async () => (await amends.list('runs'))[0];

describe('an alert that Alertmanager has', () => {
  beforeEach(async () => {
    await freshAlertmanager();
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(alertmanager.url) }));
  }, 30_000);

  itWith('alertmanager')('C2 is acted on', async () => {
    await fire(alertmanager, ALERT);
    await amends.post([FIRING]);
    expect(await reasons(amends)).toEqual(['admitted']);
    expect(mended(ledger)).toBe(1);
  });

  itWith('alertmanager')(
    'is left alone while it is silenced, and acted on by our own clock once the silence is lifted',
    async () => {
      await fire(alertmanager, ALERT);
      const id = await silence(alertmanager, { component: 'shop' });
      await amends.post([FIRING]);
      await later(31_000);
      await later(61_000);
      expect(await reasons(amends)).toEqual(['silenced', 'silenced', 'silenced']);
      expect([mended(ledger), (await amends.list('runs')).length, await amends.list('inbox')]).toEqual([0, 0, []]);
      await unsilence(alertmanager, id);
      await amends.settle();
      expect(mended(ledger)).toBe(0);
      await later(121_000);
      expect(await reasons(amends)).toEqual(['admitted', 'silenced', 'silenced', 'silenced']);
      expect(mended(ledger)).toBe(1);
    },
  );

  itWith('alertmanager')('is left alone while another inhibits it', async () => {
    const flood = { alertname: 'Flood' };
    await fire(alertmanager, ALERT, flood);
    const suppressed = (): Promise<readonly unknown[]> =>
      getJson<unknown[]>(`${alertmanager.url}/api/v2/alerts?active=false&silenced=false&inhibited=true`);
    await until('it is inhibited', async () => (await suppressed()).length === 1);
    await amends.post([FIRING]);
    expect(await reasons(amends)).toEqual(['silenced']);
    const [decision] = await amends.list('decisions');
    expect(JSON.stringify(decision?.record['verdicts'])).toMatch(/inhibited: http/);
    await resolve(alertmanager, flood);
    await until('it is not inhibited', async () => (await suppressed()).length === 0);
    await later(31_000);
    expect(await reasons(amends)).toEqual(['admitted', 'silenced']);
    expect(mended(ledger)).toBe(1);
  });

  itWith('alertmanager')(
    'C2 but a forged post of one that it does not have has no effect, again and again',
    async () => {
      await fire(alertmanager, { ...ALERT, instance: 'another' });
      await amends.post([FIRING]);
      await later(31_000);
      await later(61_000);
      expect(await reasons(amends)).toEqual(['unconfirmed', 'unconfirmed', 'unconfirmed']);
      expect([ledger.effects(), await amends.list('runs'), await amends.list('inbox')]).toEqual([[], [], []]);
    },
  );

  itWith('alertmanager')(
    'C2 and that it still does not have minutes later counts as resolved, until somebody posts it anew',
    async () => {
      await amends.post([FIRING]);
      for (const wait of [31_000, 61_000, 121_000, 241_000]) await later(wait);
      expect(await reasons(amends)).toEqual(Array.from({ length: 5 }, () => 'unconfirmed'));
      expect(await amends.list('episodes')).toMatchObject([{ state: 'quiet' }]);
      await later(5 * MINUTE + 1_000);
      expect(await reasons(amends)).toHaveLength(5);
      await fire(alertmanager, ALERT);
      await amends.post([FIRING]);
      expect((await reasons(amends))[0]).toBe('admitted');
      expect(mended(ledger)).toBe(1);
    },
  );

  itWith('alertmanager')('and that has resolved there meanwhile is not acted on, although nobody told us', async () => {
    await fire(alertmanager, ALERT);
    const halted = await amends.engine.desk.halt({ by: 'ann', reason: 'looking', hard: false });
    expect(halted).toMatchObject({ ok: true });
    await amends.post([FIRING]);
    await resolve(alertmanager, ALERT);
    await amends.engine.desk.resume({ by: 'ann', reason: 'done' });
    await amends.settle();
    expect(await reasons(amends)).toEqual(['unconfirmed', 'halted']);
    expect(mended(ledger)).toBe(0);
  });

  itWith('alertmanager')(
    'and that is gone there at the end of settling has gone quiet, although nobody told us',
    async () => {
      await fire(alertmanager, ALERT);
      await amends.post([FIRING]);
      await resolve(alertmanager, ALERT);
      await later(16 * MINUTE);
      expect(await lastRun()).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    },
  );

  itWith('alertmanager')('and that is still there at the end of settling has not', async () => {
    await fire(alertmanager, ALERT);
    await amends.post([FIRING]);
    await later(16 * MINUTE);
    const runs = await amends.list('runs');
    expect(runs.at(-1)).toMatchObject({ outcome: 'unresolved', cause: 'ineffective' });
  });

  itWith('alertmanager')('of a source that it cannot be asked about is a question to a human at most', async () => {
    await postFrom(amends, 'grafana');
    expect(await reasons(amends)).toEqual(['awaiting_approval']);
    expect(mended(ledger)).toBe(0);
    const run = await lastRun();
    await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
    await amends.settle();
    expect(mended(ledger)).toBe(1);
  });
});

describe('several Alertmanagers', () => {
  itWith('alertmanager')('C2 F42 any of them is enough: one down, one without it, one that has it', async () => {
    const [has, hasNot] = [await freshAlertmanager(), await freshAlertmanager()];
    await fire(has, ALERT);
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(NOWHERE, hasNot.url, has.url) }));
    await amends.post([FIRING]);
    expect(await reasons(amends)).toEqual(['admitted']);
    expect(mended(ledger)).toBe(1);
  });

  itWith('alertmanager')('that are all down let nothing begin, and a human hears of it once', async () => {
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(NOWHERE, 'http://127.0.0.1:19') }));
    await amends.post([FIRING]);
    for (const wait of [31_000, 61_000, 121_000, 241_000, 301_000]) await later(wait);
    expect(await reasons(amends)).toEqual(Array.from({ length: 6 }, () => 'unconfirmed'));
    expect([mended(ledger), (await amends.list('runs')).length]).toEqual([0, 0]);
    expect(await blindEntries()).toMatchObject([{ kind: 'escalation', status: 'open', component: 'shop' }]);
    expect(await pages('blind')).toBe(1);
    const back = await freshAlertmanager();
    await fire(back, ALERT);
    await amends.reload({}, configOf(ledger, { top: alertmanagersAt(back.url) }));
    await later(301_000);
    expect(mended(ledger)).toBe(1);
  });

  itWith('alertmanager')(
    'that all fall silent after an approval keep its run waiting, untouched, and then withdraw it as stale',
    async () => {
      await fire(await freshAlertmanager(), ALERT);
      amends = await openShop(
        configOf(ledger, { top: alertmanagersAt(alertmanager.url) }),
        ruleOf({ mode: 'approve' }),
      );
      await amends.post([FIRING]);
      const run = await lastRun();
      expect(run).toMatchObject({ state: 'awaiting_approval' });
      await alertmanager.stop();
      await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
      for (let look = 0; look < 5; look += 1) await later(2_000);
      expect(await lastRun()).toMatchObject({ state: 'queued' });
      expect(await blindEntries()).toHaveLength(1);
      expect(await pages('blind')).toBe(1);
      await later(11 * MINUTE);
      expect(await lastRun()).toMatchObject({ state: 'done', outcome: 'withdrawn', cause: 'stale' });
      expect(mended(ledger)).toBe(0);
    },
  );
});

describe('a silence that comes while something waits', () => {
  const ASKING = runbookOf({
    more: `
  - { id: ask, approve: { question: "And the rest?", expires: 20m } }
  - id: rest
    uses: http.request
    with: { url: "\${{ connect.url }}/rest", method: POST }
    idempotent: true`,
  });
  beforeEach(async () => {
    await fire(await freshAlertmanager(), ALERT);
    amends = await openShop(
      configOf(ledger, { top: alertmanagersAt(alertmanager.url), recovery: 'cooldown: { after_failure: 300s }' }),
    );
  }, 30_000);

  itWith('alertmanager')(
    'F47 for an approval withdraws it before its first effect, whatever the human says',
    async () => {
      await amends.reload({ 'rules/shop.json': ruleOf({ mode: 'approve' }) });
      await amends.post([FIRING]);
      const run = await lastRun();
      const id = await silence(alertmanager, { component: 'shop' });
      await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
      await amends.settle();
      expect(await lastRun()).toMatchObject({ id: run?.id, state: 'done', outcome: 'withdrawn', cause: 'stale' });
      expect(mended(ledger)).toBe(0);
      await later(31_000);
      expect((await reasons(amends))[0]).toBe('silenced');
      await unsilence(alertmanager, id);
      await later(61_000);
      expect((await reasons(amends))[0]).toBe('awaiting_approval');
      expect(mended(ledger)).toBe(0);
    },
  );

  itWith('alertmanager')('F47 for an approval in the middle of a run stops it before the next step', async () => {
    await amends.reload({ 'runbooks/shop/mend.yaml': ASKING });
    await amends.post([FIRING]);
    const run = await lastRun();
    expect([mended(ledger), run?.state]).toEqual([1, 'awaiting_approval']);
    await silence(alertmanager, { component: 'shop' });
    amends.clock.advance(MINUTE);
    await amends.engine.desk.approve({ runId: run?.id ?? '', step: 'steps/ask', by: 'ann', comment: '' });
    await amends.settle();
    expect(await lastRun()).toMatchObject({ state: 'done' });
    expect(ledger.effects().map(({ path }) => path)).toEqual(['/mend']);
  });

  itWith('alertmanager')('for a cooldown is seen at its end', async () => {
    ledger.answer('/health', 500);
    await amends.post([FIRING]);
    expect(await lastRun()).toMatchObject({ outcome: 'unresolved' });
    const id = await silence(alertmanager, { component: 'shop' });
    await later(301_000);
    expect((await reasons(amends))[0]).toBe('silenced');
    expect(mended(ledger)).toBe(1);
    await unsilence(alertmanager, id);
    await later(31_000);
    expect(mended(ledger)).toBe(2);
  });

  itWith('alertmanager')('for a restart withdraws what was admitted before it', async () => {
    await amends.submit([FIRING]);
    await amends.engine.decider.tick();
    expect(await lastRun()).toMatchObject({ state: 'queued' });
    await silence(alertmanager, { component: 'shop' });
    amends.restart();
    await amends.settle();
    expect(await lastRun()).toMatchObject({ state: 'done', outcome: 'withdrawn', cause: 'stale' });
    expect(mended(ledger)).toBe(0);
  });

  itWith('alertmanager')('F34 for a restart withdraws what has resolved meanwhile, too', async () => {
    await amends.submit([FIRING]);
    await amends.engine.decider.tick();
    await resolve(alertmanager, ALERT);
    amends.restart();
    await amends.settle();
    expect(await lastRun()).toMatchObject({ state: 'done', outcome: 'withdrawn', cause: 'resolved' });
    expect(mended(ledger)).toBe(0);
    // It was a moment too early, and nobody ever posts that it resolved.
    await fire(alertmanager, ALERT);
    await later(31_000);
    expect(mended(ledger)).toBe(1);
  });

  itWith('alertmanager')('F45 for a halt is seen when it is lifted', async () => {
    await amends.engine.desk.halt({ by: 'ann', reason: 'looking', hard: false });
    await amends.post([FIRING]);
    await silence(alertmanager, { component: 'shop' });
    await later(3 * 60 * MINUTE);
    await amends.engine.desk.resume({ by: 'ann', reason: 'done' });
    await amends.settle();
    expect(await reasons(amends)).toEqual(['silenced', 'halted']);
    expect(mended(ledger)).toBe(0);
  });
});

describe('a floor under which nothing more is taken down', () => {
  const floor = (query: string, url = prometheus.url): string =>
    configOf(ledger, { top: prometheusAt(url), component: `min_healthy: { query: '${query}', min: 2 }` });

  itWith('prometheus')('lets it be taken down while enough others are well', async () => {
    amends = await openShop(floor('vector(2)'));
    await amends.post([FIRING]);
    expect(await reasons(amends)).toEqual(['admitted']);
    expect(mended(ledger)).toBe(1);
  });

  itWith('prometheus')(
    'holds it while too few are, and lets it go by our own clock when there are enough again',
    async () => {
      amends = await openShop(floor('vector(1)'));
      await amends.post([FIRING]);
      await later(31_000);
      expect(await reasons(amends)).toEqual(['unhealthy', 'unhealthy']);
      expect([mended(ledger), await amends.list('inbox')]).toEqual([0, []]);
      await amends.reload({}, floor('vector(2)'));
      await later(61_000);
      expect(mended(ledger)).toBe(1);
    },
  );

  for (const [what, query, nowhere] of [
    ['no data', 'nothing_of_that_name', false],
    ['a figure that is none', 'vector(0)/0', false],
    ['an infinite figure', 'vector(1)/0', false],
    ['two figures', 'label_replace(vector(2),"a","1","","") or vector(3)', false],
    ['a query that cannot be asked', 'sum(', false],
    ['a Prometheus that is down', 'vector(2)', true],
  ] as const) {
    itWith('prometheus')(`F56 takes ${what} for a no: nothing changes, and a human hears of it once`, async () => {
      amends = await openShop(floor(query, nowhere ? NOWHERE : prometheus.url));
      await amends.post([FIRING]);
      for (const wait of [31_000, 61_000, 121_000]) await later(wait);
      expect(await reasons(amends)).toEqual(Array.from({ length: 4 }, () => 'unhealthy'));
      expect([mended(ledger), (await amends.list('runs')).length]).toEqual([0, 0]);
      expect(await blindEntries()).toHaveLength(1);
      expect(await pages('blind')).toBe(1);
    });
  }
});

describe('a verification by PromQL', () => {
  const verified = async (
    verify: string,
    url = prometheus.url,
  ): Promise<{ readonly run: Awaited<ReturnType<typeof lastRun>>; readonly detail: string }> => {
    amends = await openShop(configOf(ledger, { top: prometheusAt(url) }), ruleOf(), runbookOf({ verify }));
    await amends.post([FIRING]);
    const run = await lastRun();
    const stored = await amends.store.run(run?.id ?? '');
    const ended = stored?.events.map(({ event }) => event).find(({ type }) => type === 'verify_ended');
    return { run, detail: ended?.type === 'verify_ended' ? (ended.checks[0]?.detail ?? '') : '' };
  };
  const TWO = `label_replace(vector(1), "instance", "main", "", "") or label_replace(vector(7), "instance", "other", "", "")`;

  for (const [what, check] of [
    ['a figure above', `{ query: 'vector(3)', above: 2.5 }`],
    ['a figure below', `{ query: 'vector(3)', below: 4 }`],
    ['a figure equal', `{ query: '3', equal: 3 }`],
    ['the one of several that is of the target', `{ query: '${TWO}', equal: 1, on: target }`],
  ] as const) {
    itWith('prometheus')(`F56 passes with ${what}`, async () => {
      const { run, detail } = await verified(check);
      expect([run?.outcome, detail]).toEqual(['resolved', expect.stringMatching(/is needed$/)]);
    });
  }

  itWith('prometheus')('F56 is asked again until it holds', async () => {
    const at = Math.ceil(Date.now() / 1_000) + 2;
    const { run } = await verified(`{ query: 'vector(time()) >= bool ${at}', equal: 1, within: 15s }`);
    expect(run).toMatchObject({ outcome: 'resolved' });
  });

  for (const [what, check, said] of [
    ['no data', `{ query: 'nothing_of_that_name', below: 5, within: 1ms }`, /0 samples, exactly one/],
    ['no number', `{ query: 'vector(0)/0', below: 5, within: 1ms }`, /NaN/],
    ['an infinite number', `{ query: 'vector(1)/0', above: 5, within: 1ms }`, /Infinity/],
    ['several samples', `{ query: '${TWO}', above: 0, within: 1ms }`, /2 samples, exactly one/],
    [
      'samples of other targets alone',
      `{ query: 'label_replace(vector(1), "instance", "other", "", "")', above: 0, on: target, within: 1ms }`,
      /0 samples of the target/,
    ],
    ['the limit itself', `{ query: 'vector(3)', above: 3, within: 1ms }`, /above 3 is needed/],
    ['a query that cannot be asked', `{ query: 'sum(', above: 3, within: 1ms }`, /status 400/],
  ] as const) {
    itWith('prometheus')(`F56 never passes with ${what}`, async () => {
      const { run, detail } = await verified(check);
      expect([run?.outcome, run?.cause]).toEqual(['unresolved', 'not_verified']);
      expect(detail).toMatch(said);
    });
  }

  itWith('prometheus')('F56 never passes while nobody answers, and ends in time', async () => {
    const before = performance.now();
    const { run, detail } = await verified(`{ query: 'vector(1)', equal: 1, within: 2s }`, NOWHERE);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(detail).toMatch(/ECONNREFUSED/);
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});

describe('a rule that asks Prometheus', () => {
  const asks = (query: string, more: object = {}): object => ({
    fact: 'prometheus',
    params: { query, ...more },
    operator: 'greaterThan',
    value: 2,
  });
  const start = async (condition: object, url = prometheus.url): Promise<void> => {
    amends = await openShop(configOf(ledger, { top: prometheusAt(url) }), ruleOf({}, [condition]));
    await amends.post([FIRING]);
  };

  itWith('prometheus')('acts on the answer, which is on record with the question', async () => {
    const query =
      'label_replace(vector(3), "target", "main", "", "") * on(target) label_replace(vector(1), "target", "main", "", "")';
    await start(asks(query, { id: 'rate' }));
    expect(await reasons(amends)).toEqual(['admitted']);
    expect(mended(ledger)).toBe(1);
    const [decision] = await amends.list('decisions');
    const asked = Object.entries(decision?.record['facts'] ?? {}).find(([name]) => name.startsWith('prometheus'));
    expect(asked?.[1]).toEqual({ id: 'rate', query, value: 3 });
  });

  itWith('prometheus')('C11 and whose label tries to be more than a label finds nothing', async () => {
    await start(asks('count(prometheus_build_info{job={{ label.target }}}) or on() vector(0) > 0', { empty: 0 }));
    expect(await reasons(amends)).toEqual(['no_match']);
  });

  itWith('prometheus')(
    'I12 cannot be decided without an answer, and the rule below it does not act in its place',
    async () => {
      await start(asks('nothing_of_that_name'));
      await amends.reload({ 'rules/below.json': { ...ruleOf(), name: 'below', priority: 1 } });
      await later(31_000);
      expect(await reasons(amends)).toEqual(['undecidable', 'undecidable']);
      expect([mended(ledger), (await amends.list('runs')).length]).toEqual([0, 0]);
      const [decision] = await amends.list('decisions');
      expect(decision?.record).toMatchObject({
        note: 'shop-down: the query gave no sample',
        errors: [{ rule: 'shop-down' }],
      });
      await amends.reload({ 'rules/shop.json': ruleOf({}, [asks('nothing_of_that_name', { empty: 0 })]) });
      await later(61_000);
      expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'admitted', rule: 'below' });
      expect(mended(ledger)).toBe(1);
    },
  );

  itWith('prometheus')(
    'I12 cannot be decided while Prometheus is down, and is asked again by our own clock',
    async () => {
      await start(asks('vector(3)'), NOWHERE);
      expect(await reasons(amends)).toEqual(['undecidable']);
      await amends.reload({}, configOf(ledger, { top: prometheusAt(prometheus.url) }));
      await later(31_000);
      expect(await reasons(amends)).toEqual(['admitted', 'undecidable']);
      expect(mended(ledger)).toBe(1);
    },
  );
});
