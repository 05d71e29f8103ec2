// What is put together from many rows, on a real record: the log of a run, sums, days, the draft of a post-mortem.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import type { Log } from '../../../src/base/log.ts';
import { createRunLog } from '../../../src/http/run-log.ts';
import { JSON_TYPE, WEB, delivery, start } from './given.ts';
import type { Given } from './given.ts';

let given: Given;
let runId = '';
let episodeId = '';
beforeAll(async () => {
  given = await start(WEB, { requestsPerMinute: 100_000 });
  const body = JSON.stringify({
    ...(JSON.parse(delivery()) as object),
    alerts: [
      {
        status: 'firing',
        labels: { alertname: 'CacheDown', job: 'redis-cache', instance: 'a' },
        annotations: { summary: 'the cache <b>is</b> [down](http://evil.example) # today' },
        startsAt: new Date(systemClock.now() - 60_000).toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
      },
    ],
  });
  await given.ask('/webhook/alertmanager', { method: 'POST', headers: JSON_TYPE, as: 'sender', body });
  await given.engine.settle();
  const [run] = await given.rows('runs');
  runId = run?.id ?? '';
  episodeId = run?.episodeId ?? '';
  const act = { method: 'POST', as: 'approver', headers: JSON_TYPE, body: '{"by":"ann","comment":"go on"}' } as const;
  expect((await given.ask(`/api/v1/runs/${runId}/approve`, act)).status).toBe(200);
  await given.engine.settle();
  // It did not help: a human is asked again, and says no.
  const [second] = await given.rows('runs');
  expect((await given.ask(`/api/v1/runs/${second?.id}/deny`, act)).status).toBe(200);
  await given.engine.settle();
  expect(await given.rows('runs')).toMatchObject([
    { outcome: 'withdrawn', cause: 'denied' },
    { id: runId, outcome: 'unresolved', cause: 'not_verified' },
  ]);
});
afterAll(() => given.close());

const get = async (path: string): Promise<Record<string, unknown>> => {
  const answered = await given.ask(`/api/v1/${path}`, { as: 'viewer' });
  expect([path, answered.status]).toEqual([path, 200]);
  return answered.json;
};

describe('P7 the log of a run', () => {
  it('P7 what the steps said and what amends logged come in order, page by page', async () => {
    const { items, next } = (await get(`logs?run_id=${runId}`)) as { items: Record<string, unknown>[]; next: null };
    expect(next).toBeNull();
    expect(items.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        'admitted; a human is asked first',
        'approved by approver/ann',
        'decided',
        'steps/say started',
      ]),
    );
    expect(items.find(({ message }) => String(message).startsWith('steps/say succeeded'))).toMatchObject({
      source: 'record',
      step: 'steps/say',
      fields: { outputs: { mode: 'slow' } },
    });
    expect(items.find(({ source }) => source === 'log')).toMatchObject({
      message: 'decided',
      fields: { rule: 'cache-down' },
    });
    const times = items.map(({ at }) => String(at));
    expect(times).toEqual(times.toSorted());
    const page = (await get(`logs?run_id=${runId}&limit=3`)) as { items: unknown[]; next: string };
    expect(page.items).toEqual(items.slice(0, 3));
    expect((await get(`logs?run_id=${runId}&limit=3&cursor=${page.next}`))['items']).toEqual(items.slice(3, 6));
    expect((await given.ask('/api/v1/logs?run_id=nope', { as: 'viewer' })).status).toBe(404);
    expect((await given.ask('/api/v1/logs', { as: 'viewer' })).status).toBe(400);
  });

  it('P7 C12 what is kept of the log is redacted and bounded', () => {
    const silent: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
      child: () => silent,
    };
    const redactor = createRedactor();
    redactor.register('hunter2hunter2');
    const runLog = createRunLog(systemClock, redactor);
    const log = runLog.around(silent).child({ run_id: 'r', action: 'x.y' });
    log.info(
      { note: 'it is hunter2hunter2', password: 'other', long: 'x'.repeat(100_000) },
      'hunter2hunter2 was refused',
    );
    log.error({ error: new Error('hunter2hunter2'), deep: { token: 'abcdef' } }, 'failed');
    runLog.around(silent).info({}, 'of no run');
    const lines = runLog.of('r');
    expect(lines).toMatchObject([
      { level: 'info', message: '[redacted] was refused', fields: { action: 'x.y', note: 'it is [redacted]' } },
      { level: 'error', fields: { error: '[redacted]', deep: { token: '[redacted]' } } },
    ]);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    expect(JSON.stringify(lines).length).toBeLessThan(5_000);
    for (let count = 0; count < 12_000; count += 1) log.debug({}, 'x');
    expect(runLog.of('r').length).toBeLessThanOrEqual(5_000);
  });
});

describe('P7 sums and days', () => {
  it('P7 runs are summed up by component and strategy, with shares and times', async () => {
    const summary = await get('metrics/runs-summary?since=1h');
    expect(summary).toMatchObject({
      total: 2, resolved: 0, unresolved: 1, stuck: 0, withdrawn: 1, underWay: 0, successShare: 0, cut: false,
      byStrategy: [{ component: 'cache', strategy: 'slow', total: 2, unresolved: 1 }],
      byCause: { not_verified: 1, denied: 1 },
      fromAlertMs: null,
    }); // prettier-ignore
    expect(await get('metrics/runs-summary?component=nothing')).toMatchObject({
      total: 0,
      successShare: null,
      byStrategy: [],
    });
    expect((await given.ask('/api/v1/metrics/runs-summary?since=yesterday', { as: 'viewer' })).status).toBe(400);
  });

  it('P7 a day tells what came in and what was done', async () => {
    const { items } = (await get('metrics/usage-daily?days=3')) as { items: Record<string, unknown>[] };
    expect(items).toHaveLength(3);
    expect(items[0]).toMatchObject({
      day: new Date(systemClock.now()).toISOString().slice(0, 10),
      alerts: 1,
      episodes: 1,
      runs: { total: 2, resolved: 0, unresolved: 1, withdrawn: 1 },
    });
    expect(Number(items[0]?.['decisions'])).toBeGreaterThan(0);
    expect(Number(items[0]?.['audit'])).toBeGreaterThan(0);
    expect(items[1]).toMatchObject({ alerts: 0, decisions: 0, runs: { total: 0 } });
    expect((await given.ask('/api/v1/metrics/usage-daily?days=91', { as: 'viewer' })).status).toBe(400);
  });
});

describe('O11 the draft of a post-mortem', () => {
  it('O11 has timeline, duration, severity, impact, hints, actions and what is open, and nothing of the alert becomes markup', async () => {
    const draft = await get(`postmortems/${runId}`);
    expect(draft).toMatchObject({
      title: 'CacheDown on cache a',
      endedAt: null,
      severity: 'SEV3',
      responders: ['approver/ann'],
    });
    expect(Number(draft['durationMs'])).toBeGreaterThanOrEqual(60_000);
    const text = String(draft['markdown']);
    for (const heading of [
      'Summary',
      'Timeline (UTC)',
      'Root cause',
      'Impact',
      'Actions taken',
      'Lessons learned',
      'Action items',
    ])
      expect(text).toContain(`## ${heading}\n`);
    expect(text).toContain('**Responders**: approver/ann');
    expect(text).toContain('slow: approved by approver/ann');
    expect(text).toContain('slow: verification failed');
    expect(text).toContain('Degraded mode slow went on.');
    expect(text).toMatch(/- degraded mode slow still on after .*: slower; not available: writes/);
    expect(text).toContain('- the alert says: the cache \\<b\\>is\\</b\\> \\[down\\](http://evil.example) \\# today');
    expect(text).toMatch(/- cache\/slow \(rule cache-down\): unresolved \(not\\_verified\); done: steps\/say; run /);
    expect(text).toContain('- [ ] Bring the incident to its end: it still goes on');
    expect(text).not.toContain('undefined');
    expect((await get(`postmortems/${episodeId}`))['title']).toBe(draft['title']);
    expect((await given.ask('/api/v1/postmortems/nope', { as: 'viewer' })).status).toBe(404);
  });
});
