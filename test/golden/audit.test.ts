// The audit alone tells what became of each run: the table of runs can be rebuilt from its rows, byte for byte.
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { digest } from '../../src/base/json.ts';
import { rebuildRuns } from '../../src/replay/runs.ts';
import { openShop } from '../support/guarded-shop.ts';
import type { Shop } from '../support/guarded-shop.ts';

const MINUTE = 60_000;
const runbook = (undo: string): string => `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 2s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true${undo} }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
on_failure: {}
on_success: {}
guide: Look at the shop.
`;
const UNDO = ', undo: { uses: http.request, with: { url: "${{ connect.url }}/unmend", method: POST }, idempotent: true }';
const COLUMNS = `id, decision_id as decisionId, episode_id as episodeId, component, kind, target, strategy, rule, state, outcome,
  cause, created_at as createdAt, not_before as notBefore, started_at as startedAt, first_step_at as firstStepAt,
  verified_at as verifiedAt, ended_at as endedAt, settle_until as settleUntil, settle_ended as settled,
  alert_started_at as alertStartedAt, plan`;

let shop: Shop;
afterEach(() => shop.close());

/** Both as text: the table as it is stored, and as the audit says it has to be. */
const tables = (): { readonly stored: readonly string[]; readonly rebuilt: readonly string[]; readonly bytes: readonly number[] } => {
  const database = new Database(join(shop.amends.folder, 'data/amends.db'), { readonly: true });
  try {
    type Stored = Record<string, unknown> & { readonly plan: string; readonly settled: number };
    const stored = database.prepare(`select ${COLUMNS} from runs order by id`).all() as readonly Stored[];
    const audit = database.prepare('select seq, subject, detail from audit order by seq').all() as ReadonlyArray<{ seq: number; subject: string; detail: string }>;
    const { runs, orphans } = rebuildRuns(audit.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, never> })));
    expect(orphans).toEqual([]);
    const text = (row: object): string => JSON.stringify(Object.entries(row).toSorted(([left], [right]) => (left < right ? -1 : 1)));
    return {
      stored: stored.map((row) => text({ ...row, plan: digest(JSON.parse(row.plan) as never), settled: row.settled === 1 })),
      rebuilt: [...runs.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1)).map(text),
      bytes: audit.filter(({ subject }) => runs.has(subject)).map(({ detail }) => detail.length),
    };
  } finally {
    database.close();
  }
};
const same = (runs: number): void => {
  const { stored, rebuilt, bytes } = tables();
  expect(rebuilt).toEqual(stored);
  expect(stored).toHaveLength(runs);
  expect(Math.max(...bytes)).toBeLessThan(1_000);
};
const later = async (ms: number): Promise<void> => {
  shop.amends.clock.advance(ms);
  await shop.amends.settle();
};
const open = async (mode: string, undo = ''): Promise<void> => {
  shop = await openShop({
    targets: ['one', 'two', 'three'],
    component: 'storm: { min: 5 }\n    attempts: [ { max: 9, per: 1h } ]\n    breaker: { failures: 9 }',
  });
  await shop.amends.reload({
    'runbooks/shop/mend.yaml': runbook(undo),
    'rules/shop.json': {
      name: 'shop-down',
      priority: 10,
      conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
      event: { type: 'remediate', params: { runbook: 'shop/mend', mode } },
    },
  });
};
const answer = async (act: 'approve' | 'deny' | 'cancel'): Promise<unknown> => {
  const [run] = await shop.amends.list('runs');
  const runId = run?.id ?? '';
  if (act === 'cancel') return shop.amends.engine.desk.cancel({ runId, by: 'ann', reason: 'not now' });
  return shop.amends.engine.desk[act]({ runId, step: null, by: 'ann', comment: '' });
};

describe('the table of runs, rebuilt from the audit', () => {
  it('I8 is the one that is stored, after success, settling and being ineffective', async () => {
    await open('auto');
    await shop.amends.post([shop.alert('one')]);
    expect((await shop.amends.list('runs'))[0]).toMatchObject({ outcome: 'resolved' });
    same(1);
    await shop.amends.post([shop.alert('one', 'resolved')]);
    await later(16 * MINUTE);
    expect((await shop.amends.list('audit')).filter(({ action }) => action === 'run.settled')).toHaveLength(1);
    same(1);
    await shop.amends.post([shop.alert('two')]);
    await later(16 * MINUTE);
    expect((await shop.amends.list('runs')).map(({ cause }) => cause)).toContain('ineffective');
    same((await shop.amends.list('runs')).length);
  });

  it('I8 is the one that is stored, after failures with and without an undo, and after a worker was lost', async () => {
    await open('auto', UNDO);
    shop.ledger.answer('/health', 500);
    await shop.amends.post([shop.alert('one')]);
    expect((await shop.amends.list('runs'))[0]).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    same(1);
    shop.ledger.answer('/health', 200);
    shop.ledger.answer('/mend/two', 404);
    await later(6 * MINUTE);
    await shop.amends.post([shop.alert('two')]);
    same((await shop.amends.list('runs')).length);
    shop.ledger.answer('/mend/three', 'hang');
    await shop.amends.post([shop.alert('one', 'resolved'), shop.alert('two', 'resolved')]);
    await later(6 * MINUTE);
    const reached = shop.ledger.next('/mend/three');
    const posted = shop.amends.post([shop.alert('three')]);
    await reached;
    same((await shop.amends.list('runs')).length);
    shop.ledger.answer('/mend/three', 200);
    // A machine that was suspended for an hour: what it was doing is put down, and taken up again.
    shop.amends.clock.setWall(60 * MINUTE);
    await shop.amends.settle();
    await posted;
    same((await shop.amends.list('runs')).length);
  });

  it('I8 is the one that is stored, after every kind of answer to a question', async () => {
    await open('approve');
    for (const [index, act] of (['approve', 'deny', 'cancel'] as const).entries()) {
      await shop.amends.post([shop.alert(['one', 'two', 'three'][index] ?? '')]);
      same(index + 1);
      expect(await answer(act)).toMatchObject({ ok: true });
      same(index + 1);
      // What is refused changes nothing.
      expect(await answer(act)).toMatchObject({ ok: false });
      await shop.amends.settle();
      same(index + 1);
      await later(6 * MINUTE);
    }
    const runs = await shop.amends.list('runs');
    expect(runs.map(({ cause }) => cause).toReversed().slice(0, 3)).toEqual(['ineffective', 'denied', 'cancelled']);
  });

  it('I8 is the one that is stored, when an alert resolves while it waits, and when nobody answers', async () => {
    await open('approve');
    await shop.amends.post([shop.alert('one')]);
    await shop.amends.post([shop.alert('one', 'resolved')]);
    same(1);
    await shop.amends.post([shop.alert('two')]);
    await later(31 * MINUTE);
    expect((await shop.amends.list('runs')).map(({ cause }) => cause)).toEqual(['expired', 'resolved']);
    same(2);
  });

  it('I8 a changed row of the table shows, and so does a change without a beginning', async () => {
    await open('auto');
    await shop.amends.post([shop.alert('one')]);
    const database = new Database(join(shop.amends.folder, 'data/amends.db'));
    database.prepare(`update runs set cause = 'step_failed', outcome = 'unresolved'`).run();
    database.close();
    const { stored, rebuilt } = tables();
    expect(rebuilt).not.toEqual(stored);
    expect(rebuildRuns([{ seq: 7, subject: 'x', detail: { run: { state: 'done' } } }]).orphans).toEqual([7]);
  });
});
