// What amends has on record, read from its database file and nothing else.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { canonical } from '../src/base/json.ts';
import type { JsonObject } from '../src/base/json.ts';
import type { Plan } from '../src/run/plan.ts';
import type { RunEvent, StoredEvent } from '../src/run/events.ts';

export type Run = {
  id: string;
  decision_id: string;
  component: string;
  kind: string;
  target: string;
  state: string;
  outcome: string | null;
  cause: string | null;
  created_at: number;
  ended_at: number | null;
  plan: string;
};
export type Attempt = {
  run_id: string | null;
  ledger: string;
  component: string;
  target: string;
  rule: string | null;
  at: number;
  ended_at: number | null;
  outcome: string | null;
  cause: string | null;
  released_at: number | null;
};
export type Decision = {
  id: string;
  at: number;
  origin: string;
  reason: string;
  caller: string | null;
  alert_id: string | null;
  delivery_id: string | null;
  episode_id: string | null;
  component: string | null;
  target: string | null;
  rule: string | null;
  run_id: string | null;
  record: JsonObject;
};
export type Audit = {
  seq: number;
  at: number;
  actor: string;
  action: string;
  subject: string;
  detail: string;
  prev: string;
  hash: string;
};
export type Alert = {
  seq: number;
  id: string;
  delivery_id: string;
  entry_index: number;
  at: number;
  /** What it did to its episode: opened, reopened, repeated, resolved, none. */
  change: string;
  episode_id: string | null;
  decided: number;
};
export type Known = {
  readonly runs: readonly Run[];
  readonly plans: ReadonlyMap<string, Plan>;
  readonly events: ReadonlyMap<string, readonly StoredEvent[]>;
  readonly attempts: readonly Attempt[];
  readonly decisions: readonly Decision[];
  readonly audit: readonly Audit[];
  /** In the order of receiving. */
  readonly alerts: readonly Alert[];
  readonly deliveries: ReadonlyMap<string, Buffer>;
  readonly escalations: ReadonlySet<string>;
  /** Episodes in which nothing automatic is left, though no human said so, and that no human was told of. */
  readonly untold: readonly string[];
};

/** The rows that have left the table for archives, as their files have them. */
const archivedIn = (file: string, upTo: number): readonly Audit[] => {
  const folder = join(dirname(file), 'audit');
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => /\.ndjson(\.gz)?$/.test(name));
  const rows = names.toSorted().flatMap((name) => {
    const bytes = readFileSync(join(folder, name));
    const lines = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().trimEnd().split('\n');
    return lines.map((line) => {
      const row = JSON.parse(line) as Audit & { readonly detail: unknown };
      return { ...row, detail: typeof row.detail === 'string' ? row.detail : canonical(row.detail) };
    });
  });
  // One that was not sealed before a crash has rows that are still in the table.
  return rows.filter(({ seq }) => seq <= upTo);
};

export const readRecord = (file: string): Known => {
  const database = new Database(file, { readonly: true });
  try {
    const all = <T>(text: string): readonly T[] => database.prepare<[], T>(text).all();
    const [{ sealed } = { sealed: 0 }] = all<{ sealed: number }>(
      'select coalesce(max(last_seq), 0) as sealed from audit_seals',
    );
    const runs = all<Run>('select * from runs order by created_at, id');
    const events = new Map<string, StoredEvent[]>(runs.map((run) => [run.id, []]));
    const rows = all<{ run_id: string; seq: number; at: number; event: string }>(
      'select * from run_events order by run_id, seq',
    );
    for (const { run_id: id, seq, at, event } of rows)
      events.get(id)?.push({ seq, at, event: JSON.parse(event) as RunEvent });
    return {
      runs,
      plans: new Map(runs.map((run) => [run.id, JSON.parse(run.plan) as Plan])),
      events,
      attempts: all('select * from attempts order by at, id'),
      decisions: all<Omit<Decision, 'record'> & { record: string }>('select * from decisions order by rowid').map(
        (row) => ({
          ...row,
          record: JSON.parse(row.record) as JsonObject,
        }),
      ),
      audit: [...archivedIn(file, sealed), ...all<Audit>(`select * from audit where seq > ${sealed} order by seq`)],
      alerts: all('select seq, id, delivery_id, entry_index, at, change, episode_id, decided from alerts order by seq'),
      deliveries: new Map(
        all<{ id: string; body: Buffer }>('select id, body from deliveries').map(({ id, body }) => [id, body]),
      ),
      escalations: new Set(
        all<{ run_id: string }>(
          `select run_id from inbox where kind = 'escalation' and run_id is not null and exists
             (select 1 from outbox where outbox.run_id = inbox.run_id and outbox.topic = 'escalation')`,
        ).map(({ run_id: id }) => id),
      ),
      untold: all<{ id: string }>(
        `select id from episodes where exhausted = 1
           and not exists (select 1 from runs where episode_id = episodes.id and cause in ('denied', 'cancelled'))
           and not exists (select 1 from inbox where kind = 'escalation' and episode_id = episodes.id)`,
      ).map(({ id }) => id),
    };
  } finally {
    database.close();
  }
};
