// The lock playbook through real servers: a real process holds a real lock, a real Prometheus and Alertmanager tell a
// started amends, and the vector store works again - or a human has it, and the critical alert fires.
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { deployedAlertmanager, hurriedAlerts } from '../support/deployed.ts';
import { endHolder, startHolder } from '../support/holder.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Row, Shipped } from '../support/shipped.ts';
import { countOrders } from '../support/sqlite-files.ts';
import { startVectorService } from '../support/vector-service.ts';
import type { VectorService } from '../support/vector-service.ts';

const WHOLE_LOOP_MS = 120_000;

const servers = startedHere();
let service: VectorService;
let folder: string;
const holders: ChildProcess[] = [];

beforeEach(async () => {
  folder = await servers.folder();
  service = await startVectorService(folder);
});
afterEach(async () => {
  for (const holder of holders.splice(0)) await endHolder(holder);
  await servers.stopAll();
  await service.close();
}, 30_000);

const hold = async (name: string, ignoreTerm = false): Promise<ChildProcess> => {
  const holder = await startHolder(folder, { path: service.database, does: 'exclusive', ignoreTerm }, name);
  holders.push(holder);
  return holder;
};
const gone = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
const healthy = async (): Promise<number> => (await fetch(`${service.url}/api/vectors/health`)).status;

/** The shipped rule; only its rests are shorter, so that three tries take seconds. */
const hurriedRule = (): string => {
  const rule = JSON.parse(readFileSync(join(root, 'rules/faiss/faiss-locked.json'), 'utf8')) as {
    event: { params: object };
  };
  Object.assign(rule.event.params, { with: { settle: '100ms', watch: '500ms', ready_within: '1s' } });
  const file = join(folder, 'faiss-locked.json');
  writeFileSync(file, JSON.stringify(rule));
  return file;
};

const begin = async (probes: readonly object[] = []): Promise<{ amends: Shipped; alertmanager: Running }> => {
  const amends = await startShipped(servers, {
    kinds: ['faiss', 'database'],
    ruleFiles: [hurriedRule(), join(root, 'rules/database/*.json')],
    components: {
      faiss: {
        kind: 'faiss',
        inventory: {
          static: [
            {
              target: 'vectors',
              connect: {
                url: service.url,
                database: service.database,
                path: service.database,
                backups: service.backups,
                holders: ['lock-holder'],
                own: ['vector-service'],
                cache: service.cache,
                index: service.index,
                reembed_mark: service.mark,
                stop: [service.control, 'stop'],
                start: [service.control, 'start'],
              },
            },
          ],
        },
        allow: { actions: ['faiss.*', 'sqlite.*', 'locks.*', 'http.*'] },
      },
    },
    allow: { paths: [folder], hosts: [service.host], commands: [service.control] },
    more: {
      recovery: {
        mode: 'auto',
        attempts: [{ max: 10, per: '1h' }],
        cooldown: { after_failure: '1s', factor: 3, after_success: '0s' },
        breaker: { failures: 10 },
        settle: '0s',
        resolve_hold: '1s',
      },
      degraded_modes: {
        vector_store_fallback: { available: ['in memory'], unavailable: ['vector search'], impact: 'less' },
        database_unavailable: { available: [], unavailable: ['all'], impact: 'none' },
      },
      probes,
    },
  });
  const alertmanager = await servers.alertmanager({ config: deployedAlertmanager(amends.server.url) });
  return { amends, alertmanager };
};
/** An application's own alert, as its Prometheus would hand it to Alertmanager. */
const raise = async (alertmanager: Running, summary: string, alertname = 'VectorSearchErrors'): Promise<void> => {
  const response = await fetch(`${alertmanager.url}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([
      {
        labels: {
          alertname,
          component: 'faiss',
          target: 'vectors',
          remediation: 'amends',
          text: summary.slice(0, 8),
        },
        annotations: { summary },
      },
    ]),
  });
  expect(response.status).toBe(200);
};
const stepsOf = async ({ server }: Shipped, run: Row): Promise<ReadonlyMap<string, string>> => {
  const { events } = await getJson<{ events: ReadonlyArray<{ type: string; step?: string }> }>(
    `${server.url}/api/v1/runs/${String(run['id'])}`,
  );
  return new Map(
    events.flatMap(({ type, step }): [string, string][] =>
      step !== undefined && /^step_(?:succeeded|failed|skipped)$/.test(type) ? [[step, type.slice(5)]] : [],
    ),
  );
};

describe('a locked vector store, through a real Alertmanager', () => {
  itWith('alertmanager')(
    'V1 V2 V3 V4 V5 V6 V7 V8 the alert text sets all steps off: a process that ignores TERM is ended behind a backup, a damaged index is rebuilt, and searches work',
    async () => {
      const { amends, alertmanager } = await begin();
      const holder = await hold('lock-holder', true);
      const damaged = Buffer.concat([readFileSync(service.index), Buffer.alloc(100, 0xa5)]);
      writeFileSync(service.index, damaged);
      expect(await healthy()).toBe(500);
      await raise(alertmanager, 'query failed: sqlite3.OperationalError: database is locked');
      const run = await amends.ended('lock_recovery');
      expect(run).toMatchObject({ ...resolved('lock_recovery'), rule: 'faiss-locked' });
      const steps = await stepsOf(amends, run);
      expect(Object.fromEntries([...steps].filter(([name]) => name.startsWith('steps/')))).toMatchObject({
        'steps/detect': 'succeeded',
        'steps/identify': 'succeeded',
        'steps/graceful_unlock': 'failed',
        'steps/restart_service': 'failed',
        'steps/force_unlock': 'succeeded',
        'steps/rebuild_index': 'succeeded',
        'steps/verify': 'succeeded',
        'steps/escalate': 'skipped',
      });
      expect(gone(holder)).toBe(true);
      expect([await healthy(), countOrders(service.database)]).toEqual([200, 500]);
      expect(await amends.modes()).toEqual([]);
      await amends.stop();
    },
    WHOLE_LOOP_MS,
  );

  itWith('alertmanager')(
    'V1 the other texts and the alert of the health endpoint set it off as well; by hand it is asked for by its strategy',
    async () => {
      const { amends, alertmanager } = await begin();
      for (const [index, [text, alertname]] of (
        [
          ['OperationalError: the table vectors is locked', 'VectorSearchErrors'],
          ['FAISS index file is locked', 'VectorSearchErrors'],
          ['the health endpoint answers 500', 'VectorStoreUnhealthy'],
        ] as const
      ).entries()) {
        await raise(alertmanager, text, alertname);
        await until(`a run for ${text}`, async () => {
          const runs = (await amends.list('runs')).filter(
            ({ rule, outcome }) => rule === 'faiss-locked' && outcome === 'resolved',
          );
          return runs.length === index + 1;
        });
      }
      const asked = await amends.ask(
        0,
        'recover',
        '--component=faiss',
        '--strategy=lock_recovery',
        '--inputs={"settle":"100ms","watch":"500ms"}',
        '--wait',
      );
      expect(asked).toMatchObject(resolved('lock_recovery'));
      await amends.stop();
    },
    WHOLE_LOOP_MS,
  );
});

describe('a lock that cannot be cleared, through a real Prometheus and Alertmanager', () => {
  itWith('prometheus', 'alertmanager')(
    'V1 V9 V10 V11 V12 is tried three times with growing pauses; fallback mode and an incident meanwhile, and once the tries are used up the critical alert fires',
    async () => {
      const { amends, alertmanager } = await begin([
        {
          name: 'faiss_db',
          uses: 'sqlite.check',
          component: 'faiss',
          target: 'vectors',
          every: '1s',
          with: { path: service.database, busy: '100ms' },
        },
      ]);
      await servers.prometheus({
        config: {
          global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
          alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager.url.replace('http://', '')] }] }] },
          scrape_configs: [
            { job_name: 'amends', static_configs: [{ targets: [amends.server.url.replace('http://', '')] }] },
          ],
        },
        rules: { 'faiss.yaml': hurriedAlerts('faiss.yaml'), 'database.yaml': hurriedAlerts('database.yaml') },
      });
      const stranger = await hold('migration');
      await until(
        'fallback mode is on',
        async () => (await amends.modes()).includes('vector_store_fallback'),
        WHOLE_LOOP_MS / 2,
      );
      expect((await amends.list('inbox')).map(({ kind, severity }) => [kind, severity])).toContainEqual([
        'note',
        'SEV2',
      ]);
      const escalated = await until(
        'the tries are used up',
        async () => (await amends.list('inbox')).find(({ kind }) => kind === 'escalation'),
        WHOLE_LOOP_MS / 2,
      );
      expect(escalated).toMatchObject({ severity: 'SEV1', component: 'faiss', count: 1 });
      const runs = (await amends.list('runs')).toSorted((left, right) =>
        String(left['createdAt']).localeCompare(String(right['createdAt'])),
      );
      expect(runs.map(({ rule, outcome }) => [rule, outcome])).toEqual(
        Array.from({ length: 3 }, () => ['faiss-locked', 'unresolved']),
      );
      const pauses = runs
        .slice(1)
        .map(({ createdAt }, index) => Date.parse(String(createdAt)) - Date.parse(String(runs[index]?.['endedAt'])));
      expect(pauses[0]).toBeGreaterThanOrEqual(1_000);
      expect(pauses[1]).toBeGreaterThanOrEqual(3_000);
      const critical = await until('the critical alert has reached Alertmanager', async () =>
        (
          await getJson<ReadonlyArray<{ labels: Readonly<Record<string, string>> }>>(
            `${alertmanager.url}/api/v2/alerts?filter=alertname%3D%22FaissEscalationsFrequent%22`,
          )
        ).at(0),
      );
      expect(critical.labels).toEqual({ alertname: 'FaissEscalationsFrequent', severity: 'critical' });
      expect(gone(stranger)).toBe(false);
      expect(readdirSync(service.backups)).toEqual([]);
      await amends.stop();
    },
    WHOLE_LOOP_MS,
  );
});
