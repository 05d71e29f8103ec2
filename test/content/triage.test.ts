// The shipped triage at work: what anybody looks at first stays on the run, whatever becomes of the recovery.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import { actions, facts } from '../support/content.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startHttpDouble } from '../support/http-double.ts';
import type { HttpDouble } from '../support/http-double.ts';
import { root } from '../support/servers.ts';
import { makeDatabase } from '../support/sqlite-files.ts';

const SECRET = 'correct-horse-battery';
const RULE = {
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `
version: 1
summary: Mend the shop.
severity: SEV2
before:
  - group: triage
steps:
  - id: mend
    uses: http.request
    with: { url: "\${{ connect.url }}/mend", bearer_token_file: "\${{ connect.token_file }}" }
    idempotent: true
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/status/500" }, need: 1, of: 1, every: 10ms }
on_failure: { degrade: shop_closed }
on_exhausted: { escalate: SEV2 }
guide: Look at the shop.
`;

let folder: string;
let server: HttpDouble;
let page: Server | null = null;
let amends: EngineUnderTest;
let files: ReturnType<typeof makeDatabase>;
const begin = async (connect: object, hosts: readonly string[] = []): Promise<void> => {
  amends = await startEngine({
    config: JSON.stringify({
      version: 1,
      recovery: { mode: 'auto', cooldown: { after_failure: '1s' }, attempts: [{ max: 2, per: '1h' }] },
      components: {
        shop: {
          inventory: {
            static: [{ target: 'main', connect: { url: server.url, token_file: join(folder, 'token'), ...connect } }],
          },
          allow: { actions: ['http.*', 'sqlite.*', 'locks.*', 'triage.*'] },
        },
      },
      degraded_modes: { shop_closed: {} },
      allow: { hosts: [server.host, ...hosts], paths: [folder] },
    }),
    files: {
      'rules/shop.json': RULE,
      'runbooks/shop/mend.yaml': RUNBOOK,
      'runbooks/groups/triage.yaml': readFileSync(join(root, 'runbooks/groups/triage.yaml'), 'utf8'),
    },
  });
};
const fire = (): Promise<void> =>
  amends.post([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'main' } }]);

/** By step, of the newest run. */
const evidence = async (): Promise<ReadonlyMap<string, JsonObject | string>> => {
  const [run] = await amends.list('runs');
  const events = (await amends.store.run(run?.id ?? ''))?.events ?? [];
  return new Map(
    events.flatMap(({ event }): [string, JsonObject | string][] =>
      event.type === 'step_succeeded' || event.type === 'step_failed'
        ? [[event.step, event.outputs]]
        : event.type === 'step_skipped'
          ? [[event.step, 'skipped']]
          : [],
    ),
  );
};

describe('P1 triage', () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-triage-'));
    files = makeDatabase(folder, 'wal');
    mkdirSync(files.backups);
    writeFileSync(join(folder, 'token'), SECRET);
    server = await startHttpDouble();
  });
  afterEach(async () => {
    await amends.close();
    await server.close();
    page?.closeAllConnections();
    page?.close();
    page = null;
    rmSync(folder, { recursive: true, force: true });
  });

  it('P1 service health, recent events, the open inbox, the log of the run before and a snapshot stay on the run and reach the human', async () => {
    await begin({ health_url: `${server.url}/status/503`, path: files.path, backups: files.backups });
    await amends.store.write(
      [
        {
          type: 'inbox.open', id: 'note-1', kind: 'note', dedup: null, severity: 'SEV3', component: 'shop', target: 'main',
          runId: null, episodeId: null, title: `Somebody wrote ${SECRET} into a title, ${'x'.repeat(5_000)}`, body: {},
        },
      ],
      amends.clock.now(),
    ); // prettier-ignore
    await fire();
    amends.clock.advance(61_000);
    await amends.settle();
    await amends.settle();
    const runs = await amends.list('runs');
    expect(runs.map(({ outcome, cause }) => [outcome, cause])).toEqual([
      ['unresolved', 'not_verified'],
      ['unresolved', 'not_verified'],
    ]);
    const found = await evidence();
    expect(found.get('before/triage_health')).toMatchObject({ status: 503 });
    expect(found.get('before/triage_holders')).toMatchObject({ process_count: expect.any(Number) });
    expect(found.get('before/triage_snapshot')).toMatchObject({ checked: true });
    expect(readdirSync(files.backups).length).toBeGreaterThan(0);
    const record = found.get('before/triage_record') as JsonObject;
    expect(record['recent_events']).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ alert: 'ShopDown', state: 'firing' }),
        expect.objectContaining({ decided: 'admitted', rule: 'shop-down' }),
      ]),
    );
    expect(record['earlier_runs']).toMatchObject([
      { run_id: runs[1]?.id, outcome: 'unresolved', cause: 'not_verified' },
    ]);
    expect(record['last_log']).toEqual(expect.arrayContaining([expect.stringMatching(/Z verification failed: /)]));
    expect(record['degraded_modes']).toEqual(['shop_closed']);
    expect(record['open_inbox']).toMatchObject([{ kind: 'note', title: expect.stringContaining('[redacted]') }]);
    const text = JSON.stringify([...found]);
    expect(text).not.toContain(SECRET);
    expect(JSON.stringify(record).length).toBeLessThan(32_768);
    // Who takes over finds it in the entry.
    const escalation = (await amends.list('inbox')).find(({ kind }) => kind === 'escalation');
    expect(JSON.stringify(escalation?.body)).toContain('triage_record');
  });

  it('P1 P6 a shipped runbook keeps it as well: bounded, and without the secrets that the service shows', async () => {
    page = createServer((_request, response) =>
      response.writeHead(503).end(`the key ${SECRET} is refused ${'y'.repeat(200_000)} ${SECRET}`),
    );
    const listening = page;
    await new Promise<void>((resolve) => void listening.listen(0, '127.0.0.1', resolve));
    const host = `127.0.0.1:${(listening.address() as AddressInfo).port}`;
    await begin({ health_url: `http://${host}/` }, [host]);
    // The first run uses the secret, so it is known as one.
    await fire();
    await amends.reload({
      'rules/shop.json': { ...RULE, event: { type: 'remediate', params: { runbook: 'shop/validate', mode: 'auto' } } },
      // As shipped, for a component of another kind.
      'runbooks/shop/validate.yaml': readFileSync(join(root, 'runbooks/application/validate.yaml'), 'utf8'),
    });
    amends.clock.advance(61_000);
    await amends.settle();
    await amends.settle();
    const found = await evidence();
    expect([...found.keys()].slice(0, 4)).toEqual([
      'before/triage_health',
      'before/triage_record',
      'before/triage_holders',
      'before/triage_snapshot',
    ]);
    expect(found.get('before/triage_health')).toMatchObject({ status: 503 });
    expect(JSON.stringify(found.get('before/triage_health'))).toContain('the key [redacted] is refused');
    expect(found.get('before/triage_record')).toMatchObject({ recent_events: expect.any(Array), open_inbox: [] });
    for (const [, outputs] of found) expect(JSON.stringify(outputs).length).toBeLessThan(65_536);
    expect(JSON.stringify([...found])).not.toContain(SECRET);
  });

  it('P1 where connect says that there is no database and no health page, triage looks at the record alone and holds nothing up', async () => {
    await begin({});
    await fire();
    const found = await evidence();
    expect(found.get('before/triage_health')).toBe('skipped');
    expect(found.get('before/triage_snapshot')).toBe('skipped');
    expect(found.get('before/triage_record')).toMatchObject({ earlier_runs: [], last_log: [] });
    expect(server.seen.map(({ url }) => url)).toContain('/mend');
  });
});

const value = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.value;
};

/** What needs no triage before it, with the reason. */
const WITHOUT: Readonly<Record<string, string>> = {
  'database/restore-backup': 'looks at the file, its holders and its backups itself, and the application waits for it',
  'kubernetes/delete_stuck_pod': 'its own first steps keep what the cluster knows of the pod',
  'faiss/lock_recovery': 'its first two steps are its triage; a backup beside a held lock would only wait',
};

describe('P1 shipped runbooks', () => {
  it('P1 those for the procedures P2 to P6, and all that destroy something, begin with triage', async () => {
    const config = value(await loadConfig(join(root, 'amends.yaml')));
    const { runbooks } = value(await loadCatalog({ config, actions: await actions(), facts: await facts() }));
    const begins = new Set(
      [...runbooks.values()].flatMap((one) => (one.before[0]?.id === 'triage_health' ? one.name : [])),
    );
    const procedures = [
      'llm/pause-and-resume',
      'system/lock_contention',
      'system/planned_rollback',
      'system/file_permissions',
      'application/rollback-with-backup',
      'database/migrate-down',
      'postgres/migration_rollback',
      'application/validate',
    ];
    expect(procedures.filter((name) => !begins.has(name))).toEqual([]);
    const destructive = [...runbooks.values()].filter(({ effect }) => effect === 'destroy').map(({ name }) => name);
    expect(destructive.length).toBeGreaterThan(4);
    expect(destructive.filter((name) => !begins.has(name) && WITHOUT[name] === undefined)).toEqual([]);
  });
});
