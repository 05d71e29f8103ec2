// What people and applications read of a running amends, from outside: the stream, the log of a run, sums, post-mortems.
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLauncher } from '../support/command.ts';
import type { Ended } from '../support/command.ts';
import type { Running } from '../support/servers.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import { makeDatabase } from '../support/sqlite-files.ts';

type Row = Record<string, unknown>;

const servers = startedHere();
const launcher = createLauncher();
let folder: string;
let config: string;
let server: Running;
let orders: ReturnType<typeof makeDatabase>;

const serve = (): Promise<Running> => servers.amends({ config, args: [`--storage.path=${join(folder, 'data')}`] });
beforeAll(async () => {
  folder = await servers.folder();
  orders = makeDatabase(folder, 'wal');
  mkdirSync(orders.backups);
  config = join(folder, 'amends.yaml');
  await writeFile(
    config,
    JSON.stringify({
      version: 1,
      rule_files: [join(root, 'rules/database/database-missing.json')],
      runbook_files: [join(root, 'runbooks/database/*.yaml')],
      recovery: {
        mode: 'auto',
        cooldown: { after_failure: '0s', after_success: '0s' },
        attempts: [{ max: 1, per: '1h' }],
        breaker: { failures: 1 },
      },
      components: {
        'shop-db': {
          kind: 'database',
          inventory: { static: [{ target: 'orders', connect: { path: orders.path, backups: orders.backups } }] },
          allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
        },
      },
      degraded_modes: {
        database_unavailable: { available: ['reading'], unavailable: ['ordering'], impact: 'no orders' },
      },
      allow: { paths: [folder] },
    }),
  );
  server = await serve();
});
afterAll(async () => {
  await launcher.endAll();
  await servers.stopAll();
});

const amends = (...args: readonly string[]): Promise<Ended> =>
  launcher.launch([...args, `--url=${server.url}`], { cwd: folder }).ended;
const post = async (status: 'firing' | 'resolved'): Promise<void> => {
  const labels = { alertname: 'DatabaseMissing', component: 'shop-db', target: 'orders' };
  const alert = { status, labels, annotations: { summary: 'orders.db is gone' }, startsAt: new Date().toISOString() };
  const response = await fetch(`${server.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      alerts: [{ ...alert, endsAt: '0001-01-01T00:00:00Z' }],
    }),
  });
  expect(response.status).toBe(202);
};
const runs = async (): Promise<readonly Row[]> => (await getJson<{ items: Row[] }>(`${server.url}/api/v1/runs`)).items;
const replayed = async (query: string): Promise<readonly string[]> => {
  const text = await (await fetch(`${server.url}/api/v1/events/stream?follow=false&${query}`)).text();
  return [...text.matchAll(/^id: (.+)$/gm)].map(([, id]) => id ?? '');
};

describe('what is told of a running amends', () => {
  it('P7 R18 an application that listens reads the degraded mode when nothing could be restored, and a console the rest', async () => {
    const response = await fetch(`${server.url}/api/v1/events/stream`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array, { stream: true });
    })();
    for (const end of ['', '-wal', '-shm']) rmSync(`${orders.path}${end}`, { force: true });
    await post('firing');
    await until('the mode is on', () => /^event: degraded_modes\ndata: .*"active":true/m.test(text));
    await until('a human was told', () => /^event: inbox\n/m.test(text));
    const one = await getJson<{ items: Row[] }>(`${server.url}/api/v1/degraded-modes`);
    expect(one.items).toMatchObject([
      {
        name: 'database_unavailable',
        active: true,
        available: ['reading'],
        unavailable: ['ordering'],
        impact: 'no orders',
      },
    ]);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^infra_degraded_mode_active\{mode="database_unavailable"\} 1$/m);

    // An end of amends ends the stream at once; what was told is told again, id by id, by the next one.
    const live = [...text.matchAll(/^id: (.+)$/gm)].map(([, id]) => id ?? '');
    await server.stop();
    await reading;
    server = await serve();
    expect(await replayed('replay_last=500')).toEqual(expect.arrayContaining(live));
    expect(await replayed('replay_last=3')).toHaveLength(3);
    // The test's own files again, for those after it.
    copyFileSync(makeDatabase(folder, 'delete').path, join(orders.backups, 'orders-20260101T000000000Z.db'));
  });

  it('O8 its health says version, database, worker, the state of each component and the breakers that are open', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    for (const path of ['/-/ready', '/readyz'])
      expect(await getJson<Row>(`${server.url}${path}`)).toMatchObject({
        status: 'ready',
        version,
        mode: 'auto',
        database: 'ok',
        worker: 'running',
        halted: false,
        components: [{ name: 'shop-db', state: expect.any(String) }],
        breakers: [{ component: 'shop-db', strategy: 'restore-backup', failures: 1 }],
      });
    expect(await getJson<Row>(`${server.url}/-/healthy`)).toEqual({ status: 'alive', version });
    const shut = await amends('breaker', 'close', 'shop-db', 'restore-backup', '--by=ann', '--comment=mended');
    expect([shut.code, shut.err]).toEqual([0, '']);
    expect(await getJson<Row>(`${server.url}/readyz`)).toMatchObject({ breakers: [] });
    await amends('halt', '--by=ann', '--reason=to look');
    expect(await getJson<Row>(`${server.url}/readyz`)).toMatchObject({ halted: true });
    await amends('resume', '--by=ann', '--reason=looked');
    expect(await getJson<Row>(`${server.url}/readyz`)).toMatchObject({ halted: false });
  });

  it('O11 R21 amends postmortem drafts what happened, by run and by episode', async () => {
    const [run] = await runs();
    const { code, out } = await amends('postmortem', String(run?.['id']));
    expect(code).toBe(0);
    expect(out).toMatch(/^# Post-mortem: DatabaseMissing on shop-db orders\n/);
    expect(out).toContain('**Severity**: SEV1');
    expect(out).toContain('the alert says: orders.db is gone');
    expect(out).toMatch(/degraded mode database\\_unavailable still on after .*: no orders; not available: ordering/);
    expect(out).toContain('- [ ] ');
    const same = await amends('postmortem', String(run?.['episodeId']), '--output=json');
    expect(JSON.parse(same.out)).toMatchObject({ severity: 'SEV1', endedAt: null });
    const missing = await amends('postmortem', 'nope');
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('There is no run or episode nope')]);
  });

  it('R21 P7 amends metrics says how recoveries went: for people, as JSON, and as Prometheus scrapes it', async () => {
    const people = await amends('metrics', '--hours=24');
    expect(people.code).toBe(0);
    expect(people.out).toMatch(/^runs in 24 h: +\d+\nhelped: +0 \(0% of those tried to their end\)/);
    expect(people.out).toMatch(/^shop-db +restore-backup +\d+ +0 +\d+/m);
    expect(people.out).toMatch(/^degraded: +database_unavailable$/m);
    const json = JSON.parse((await amends('metrics', '--output=json')).out) as Row;
    expect(json).toMatchObject({
      hours: 168,
      runs: { resolved: 0 },
      degradedModes: [{ name: 'database_unavailable' }],
    });
    const text = await amends('metrics', '--output=text');
    expect(text.out).toMatch(
      /^infra_recovery_attempts_total\{component="shop-db",strategy="restore-backup",result="failure"\} \d+$/m,
    );
    expect((await amends('metrics', '--hours=0')).code).toBe(2);
  });

  it('P7 the log of a run is read by its id, over a restart too', async () => {
    const [run] = await runs();
    const { items } = await getJson<{ items: Row[] }>(`${server.url}/api/v1/logs?run_id=${String(run?.['id'])}`);
    expect(items.map(({ message }) => message)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^steps\/restore failed after \d+ ms/)]),
    );
    expect((await getJson<{ items: Row[] }>(`${server.url}/api/v1/inbox?status=open`)).items.length).toBeGreaterThan(0);
  });
});
