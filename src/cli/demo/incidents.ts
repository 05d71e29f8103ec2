// The three ways in which the demo breaks the shop, and what is measured of each.
import type { Clock } from '../../base/clock.ts';
import type { Answer, Client } from '../terminal/client.ts';
import { plain } from '../terminal/text.ts';
import { LOCKER, componentOf } from './configuration.ts';
import type { Monitoring } from './monitoring.ts';
import type { Processes } from './processes.ts';
import { until } from './processes.ts';
import type { Department } from './shop-files.ts';
import { damage, damageBackups, databaseOf } from './shop-files.ts';
import type { Story } from './story.ts';

export type Incident = {
  readonly title: string;
  readonly department: Department;
  readonly alertname: string;
  readonly expected: 'resolved' | 'unresolved';
  break(demo: Demo): Promise<string>;
};

export type Demo = {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly client: Client;
  readonly story: Story;
  readonly processes: Processes;
  readonly monitoring: Monitoring;
  readonly shopFolder: string;
  readonly shopUrl: string;
};

/** Times in milliseconds since the alert began to fire; null: it did not come to that. */
export type IncidentResult = {
  readonly component: string;
  readonly strategy: string | null;
  readonly outcome: string | null;
  readonly attempts: number;
  readonly in_inbox: boolean;
  readonly alert_to_first_step_ms: number | null;
  readonly alert_to_verified_ms: number | null;
};

const ENDS_WITHIN_MS = 120_000;
const LOCKER_PROGRAM = new URL(`./locker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);

export const INCIDENTS: readonly Incident[] = [
  {
    title: 'The database of orders is corrupted, and its newest backup is damaged too',
    department: 'orders',
    alertname: 'DatabaseCorrupt',
    expected: 'resolved',
    break: async ({ shopFolder }) => {
      damageBackups(shopFolder, 'orders', 'newest');
      damage(databaseOf(shopFolder, 'orders'));
      return 'noise is written over orders.db';
    },
  },
  {
    title: 'A hung process holds the lock of the stock',
    department: 'stock',
    alertname: 'DatabaseLocked',
    expected: 'resolved',
    break: async ({ processes, shopFolder }) => {
      const locker = await processes.start(LOCKER, process.execPath, [
        LOCKER_PROGRAM.pathname,
        databaseOf(shopFolder, 'stock'),
      ]);
      if (locker === undefined) throw new Error(`${process.execPath} is gone`);
      await locker.firstLine;
      return `${LOCKER} (pid ${locker.pid}) took the write lock of stock.db and hangs`;
    },
  },
  {
    title: 'The receipts are corrupted and so is every backup: no strategy mends that',
    department: 'receipts',
    alertname: 'DatabaseCorrupt',
    expected: 'unresolved',
    break: async ({ shopFolder }) => {
      damageBackups(shopFolder, 'receipts', 'all');
      damage(databaseOf(shopFolder, 'receipts'));
      return 'noise is written over receipts.db and all of its backups';
    },
  },
];

/** Breaks, waits for what amends makes of it, and asks the shop. True when it went as expected. */
export const play = async (incident: Incident, demo: Demo): Promise<boolean> => {
  const { clock, story, signal, monitoring } = demo;
  const component = componentOf(incident.department);
  await story.tell(`--- ${incident.title}`);
  await story.tell(`shop           ${await buy(demo, incident.department)}`);
  await story.tell(`broken         ${await incident.break(demo)}`);
  await story.tell(`shop           ${await buy(demo, incident.department)}`);
  const labels = { alertname: incident.alertname, component, target: incident.department, severity: 'critical' };
  await monitoring.fire(labels);
  await until(
    clock,
    `an end of the incident of ${component}`,
    ENDS_WITHIN_MS,
    signal,
    async () => ((await over(demo.client, component)) ? true : undefined),
    250,
  );
  await story.catchUp();
  const [works, sentence] = await tryShop(demo, incident.department);
  await story.tell(`shop           ${sentence}`);
  const result = await resultOf(demo.client, component);
  if (incident.expected === 'unresolved') return result.outcome !== 'resolved' && result.in_inbox;
  if (works) await monitoring.resolve(labels);
  return works && result.outcome === 'resolved';
};

/** A run that helped, or nothing automatic left. */
const over = async (client: Client, component: string): Promise<boolean> => {
  const runs = await client.list('/api/v1/runs', { component }, 50);
  if (runs.length === 0 || runs.some((run) => run['state'] !== 'done')) return false;
  return runs[0]?.['outcome'] === 'resolved' || (await escalated(client, component));
};

const escalated = async (client: Client, component: string): Promise<boolean> =>
  (await client.list('/api/v1/inbox', { component, kind: 'escalation' }, 1)).length > 0;

/** As it stands now: settling may have changed an outcome since. */
export const resultOf = async (client: Client, component: string): Promise<IncidentResult> => {
  const runs = await client.list('/api/v1/runs', { component }, 50);
  const [last, first] = [runs[0], runs.at(-1)];
  return {
    component,
    strategy: plain(last?.['strategy']) || null,
    outcome: plain(last?.['outcome']) || null,
    attempts: runs.length,
    in_inbox: await escalated(client, component),
    alert_to_first_step_ms: span(first, 'firstStepAt'),
    alert_to_verified_ms: last?.['outcome'] === 'resolved' ? span(last, 'verifiedAt') : null,
  };
};

const span = (run: Answer | undefined, end: 'firstStepAt' | 'verifiedAt'): number | null => {
  const ms = Date.parse(plain(run?.[end])) - Date.parse(plain(run?.['alertStartedAt']));
  return Number.isNaN(ms) ? null : ms;
};

const buy = async (demo: Demo, department: Department): Promise<string> => (await tryShop(demo, department))[1];

/** What a customer sees: adds an entry and reads them all. */
const tryShop = async ({ shopUrl }: Demo, department: Department): Promise<readonly [boolean, string]> => {
  const url = `${shopUrl}/${department}`;
  const added = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ item: 'a scone', quantity: 1 }),
  });
  const said = (await added.json()) as Answer;
  if (!added.ok) return [false, `POST /${department} answers ${added.status}: ${plain(said['error'])}`];
  const read = await fetch(url);
  const entries = (await read.json()) as Answer;
  return [
    read.ok,
    `POST /${department} answers ${added.status}, GET ${read.status} with ${String(entries['count'])} entries`,
  ];
};
