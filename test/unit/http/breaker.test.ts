// An open breaker as people see it: in the API, on the health page, in the metrics; and how they close it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Attempt } from '../../../src/run/history.ts';
import { JSON_TYPE, WEB, start } from './given.ts';
import type { Given } from './given.ts';

let given: Given;
beforeAll(async () => {
  given = await start(WEB);
  const now = Date.now();
  await given.store.write(
    [3, 2, 1].map((ago) => ({ type: 'attempt.add', attempt: failed(`breaker-${ago}`, now - ago * 60_000) })),
    now,
  );
});
afterAll(() => given.close());

const failed = (id: string, endedAt: number): Attempt => ({
  id,
  ledger: 'live',
  runId: null,
  episodeId: null,
  component: 'cache',
  kind: 'cache',
  target: 'a',
  strategy: 'slow',
  rule: 'cache-down',
  rung: 0,
  at: endedAt - 1_000,
  endedAt,
  outcome: 'unresolved',
  cause: 'not_verified',
  domain: null,
});
const close = (path: string, as: 'viewer' | 'operator') =>
  given.ask(`/api/v1/breakers/${path}/close`, {
    method: 'POST',
    headers: JSON_TYPE,
    as,
    body: JSON.stringify({ comment: 'mended', by: 'ann' }),
  });
const shown = async () => (await given.ask('/api/v1/components/cache', { as: 'viewer' })).json['breakers'];
const metric = async () =>
  /^amends_breaker_open\{component="cache",strategy="slow"\} (\d)$/m.exec(
    (await given.ask('/metrics', { as: 'viewer' })).text,
  )?.[1];

describe('F40 an open breaker', () => {
  it('is shown with its failures and its next trial', async () => {
    expect(await shown()).toEqual([
      { strategy: 'slow', open: true, failures: 3, trialAt: expect.stringMatching(/^\d{4}-.*Z$/) },
    ]);
    const health = await given.ask('/readyz', { as: 'viewer' });
    expect(health.json['breakers']).toMatchObject([{ component: 'cache', strategy: 'slow', failures: 3 }]);
    expect(await metric()).toBe('1');
  });

  it('is closed by whoever may, by name, and counted from zero again', async () => {
    expect((await close('cache/slow', 'viewer')).status).toBe(403);
    expect((await close('nobody/slow', 'operator')).status).toBe(404);
    expect(await close('cache/slo', 'operator')).toMatchObject({ status: 404, text: expect.stringContaining('slow') });
    expect(await close('cache/slow', 'operator')).toMatchObject({
      status: 200,
      json: { component: 'cache', strategy: 'slow' },
    });
    expect(await close('cache/slow', 'operator')).toMatchObject({ status: 409 });
    expect(await shown()).toEqual([]);
    expect(await metric()).toBe('0');
    expect((await given.ask('/readyz', { as: 'viewer' })).json['breakers']).toEqual([]);
    const row = (await given.rows('audit')).find(({ action }) => action === 'breaker.close');
    expect(row).toMatchObject({
      actor: expect.stringContaining('ann'),
      subject: 'cache/slow',
      detail: { failures: 3, comment: 'mended' },
    });
  });
});
