// The one checker: reads the database file, the ledger that the targets wrote and what the process holds, never the
// engine's memory, and names the invariant that is broken, I1 to I14.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { canonical, digest, sha256 } from '../src/base/json.ts';
import type { JsonObject } from '../src/base/json.ts';
import { isApproval } from '../src/runbook/runbook.ts';
import type { Phase, StoredEvent } from '../src/run/events.ts';
import { maintenanceEnd } from '../src/run/maintenance.ts';
import type { Plan } from '../src/run/plan.ts';
import { project } from '../src/run/projection.ts';
import { fold } from '../src/run/state.ts';
import { stepsOf } from '../src/run/steps.ts';
import { rebuildRuns } from '../src/replay/runs.ts';
import { decidedAgain } from './again.ts';
import type { Emitted } from './emitted.ts';
import type { Felt } from './ledger.ts';
import { licensed } from './licences.ts';
import { readRecord } from './record.ts';
import type { Known, Run } from './record.ts';
import { notGivenBack } from './resources.ts';
import type { Resources } from './resources.ts';

export type Checked = {
  /** The database file. */
  readonly database: string;
  readonly ledger: readonly Felt[];
  /** Values of the label `n` of every alert entry that was answered 202. */
  readonly acknowledged?: readonly string[];
  /** Nothing is under way any more: every alert must be decided, every run must have ended. */
  readonly atRest?: boolean;
  /** Ledger and database share one clock, so their times can be compared. */
  readonly oneClock?: boolean;
  readonly secrets?: readonly string[];
  /** What the case has shown to others: log, metrics, notifications, answers. */
  readonly emitted?: readonly Emitted[];
  /** How many effects there are without the faults that this case is about. */
  readonly reference?: number;
};

/** What a process held before a case and after it. */
export type Held = { readonly before: Resources; readonly after: Resources };

export type Breach = { readonly id: string; readonly what: string };

type Say = (id: string, what: string) => void;

/** Every breach; an empty list is what is wanted. */
export const check = (checked: Checked): readonly Breach[] => {
  const known = readRecord(checked.database);
  const breaches: Breach[] = [];
  const say: Say = (id, what) => void breaches.push({ id, what });
  caps(known, say);
  oneAtATime(known, checked, say);
  decided(known, checked, say);
  ended(known, checked, say);
  effects(known, checked, say);
  halts(known, checked, say);
  chain(known, say);
  rebuilt(known, say);
  told(known, checked, say);
  rests(known, say);
  secrets(checked, say);
  decidedAgain(known, (what) => say('I11', what));
  licensed(known, checked.ledger, checked.reference, (what) => say('I12', what));
  return breaches;
};

/** The part that is asked when a case is over and nothing of it should be left. */
export const checkHeld = ({ before, after }: Held): readonly Breach[] =>
  notGivenBack(before, after).map((what) => ({ id: 'I14', what }));

/** I1: counted from the attempts' rows alone, at the moment of each of them. */
const caps = ({ attempts, plans }: Known, say: Say): void => {
  const kept = attempts.filter((attempt) => attempt.released_at === null);
  for (const attempt of kept) {
    const plan = plans.get(attempt.run_id ?? '');
    if (plan === undefined) continue;
    const until = kept.filter((other) => other.ledger === attempt.ledger && other.at <= attempt.at);
    const mine = until.filter((other) => other.component === attempt.component);
    const { policy, limits } = plan;
    const scopes = [
      [
        'component',
        policy.fleet === null ? mine : mine.filter((other) => other.target === attempt.target),
        policy.attempts,
      ],
      ['fleet', mine, policy.fleet?.attempts ?? []],
      ['rule', mine.filter((other) => other.rule === attempt.rule), attempt.rule === null ? [] : limits.attempts],
      ['budget', until, policy.budget],
    ] as const;
    for (const [scope, those, windows] of scopes)
      for (const { max, per } of windows) {
        const count = those.filter((other) => attempt.at - other.at < per).length;
        if (count > max)
          say('I1', `${count} attempts of the ${scope} ${attempt.component} within ${per} ms, ${max} are allowed`);
      }
  }
};

/** I2: runs on one target follow each other, and so do the effects that it felt; never more at once than allowed. */
const oneAtATime = ({ runs, plans, events }: Known, { ledger }: Checked, say: Say): void => {
  const last = new Map<string, Run>();
  for (const run of runs) {
    const place = `${run.kind} ${run.target}`;
    const before = last.get(place);
    if (before !== undefined && (before.ended_at ?? Number.POSITIVE_INFINITY) > run.created_at)
      say('I2', `runs ${before.id} and ${run.id} overlap on ${place}`);
    last.set(place, run);
  }
  const felt = ledger.toSorted((left, right) => left.at - right.at);
  const open = new Map<string, Felt>();
  for (const effect of felt) {
    const before = open.get(effect.target);
    if (before !== undefined && before.run !== effect.run && before.left !== null && before.left > effect.at)
      say('I2', `effects of ${before.run} and ${effect.run} overlap on ${effect.target}`);
    open.set(effect.target, effect);
  }
  const spans = runs.flatMap((run) => {
    const from = events.get(run.id)?.find(({ event }) => event.type === 'started')?.at;
    return from === undefined ? [] : [{ run, from, to: run.ended_at ?? Number.POSITIVE_INFINITY }];
  });
  for (const { run, from } of spans) {
    const policy = plans.get(run.id)?.policy;
    if (policy === undefined) continue;
    const together = spans.filter((other) => other.from <= from && other.to > from);
    const here = together.filter((other) => other.run.component === run.component).length;
    const most = policy.fleet?.maxConcurrent ?? policy.maxConcurrent;
    if (here > most) say('I2', `${here} runs of ${run.component} at once, ${most} are allowed`);
    if (together.length > policy.maxConcurrentTotal) say('I2', `${together.length} runs at once in all`);
  }
};

/** I3, I9: what was acknowledged is kept, and each entry has exactly one decision of origin `delivery`. */
const decided = ({ alerts, decisions, deliveries }: Known, checked: Checked, say: Say): void => {
  const first = new Map<string, number>();
  for (const decision of decisions) {
    if (decision.origin === 'delivery')
      first.set(decision.alert_id ?? '', (first.get(decision.alert_id ?? '') ?? 0) + 1);
    if (decision.origin === 'retry' && decision.episode_id === null)
      say('I3', `the decision ${decision.id} of origin retry names no episode`);
    if (decision.origin === 'manual' && decision.caller === null)
      say('I3', `the decision ${decision.id} of origin manual names nobody`);
  }
  for (const { id, decided: mark } of alerts) {
    const count = first.get(id) ?? 0;
    if (count > 1 || (count === 0 && (mark === 1 || checked.atRest === true)))
      say('I3', `the alert ${id} has ${count} decisions of origin delivery`);
  }
  if (checked.acknowledged === undefined) return;
  const kept = new Set<string>();
  const bodies = new Map<string, { alerts: ReadonlyArray<{ labels: { n?: string } }> }>();
  for (const [id, body] of deliveries) bodies.set(id, JSON.parse(body.toString('utf8')) as never);
  for (const alert of alerts) kept.add(bodies.get(alert.delivery_id)?.alerts[alert.entry_index]?.labels.n ?? '');
  const lost = checked.acknowledged.filter((n) => !kept.has(n));
  if (lost.length > 0) say('I9', `${lost.length} acknowledged alerts are lost: ${lost.slice(0, 5).join(', ')}`);
};

/** I4: one end each, no illegal transition, and the row says what its events say. */
const ended = ({ runs, plans, events }: Known, { atRest }: Checked, say: Say): void => {
  for (const run of runs) {
    const history = events.get(run.id) ?? [];
    const ends = history.filter(({ event }) => event.type === 'done').length;
    if (ends > 1) say('I4', `the run ${run.id} ended ${ends} times`);
    if (atRest === true && ends === 0) say('I4', `the run ${run.id} on ${run.target} is ${run.state} and has no end`);
    try {
      const { state, outcome, cause } = project(fold(plans.get(run.id) as Plan, history));
      if (state !== run.state || outcome !== run.outcome || cause !== run.cause)
        say('I8', `the row of run ${run.id} says ${run.state} ${run.outcome}, its events ${state} ${outcome}`);
    } catch (error) {
      say('I4', `the run ${run.id}: ${(error as Error).message}`);
    }
  }
};

/** I5, I6: each effect has its intent, its admission and its leave, and is not repeated beyond what was declared. */
const effects = (known: Known, { ledger, oneClock }: Checked, say: Say): void => {
  const counts = new Map<string, number>();
  const admitted = new Map(known.decisions.filter((one) => one.run_id !== null).map((one) => [one.run_id, one.reason]));
  const reserved = new Set(known.attempts.filter(({ released_at: at }) => at === null).map(({ run_id: id }) => id));
  for (const effect of ledger) {
    const place = `${effect.step} of run ${effect.run} on ${effect.target}`;
    const plan = known.plans.get(effect.run);
    const reason = admitted.get(effect.run);
    if (plan === undefined || reason === undefined) {
      say('I5', `the effect ${place} belongs to no admitted run`);
      continue;
    }
    if (!reserved.has(effect.run)) say('I5', `the effect ${place} happened although its attempt was given back`);
    const history = known.events.get(effect.run) ?? [];
    const intents = history.filter(({ event }) => event.type === 'step_started' && event.step === effect.step);
    if (intents.length === 0) say('I5', `the effect ${place} has no intent`);
    const yes = history.find(({ event }) => event.type === 'approved' && event.step === null);
    if (reason !== 'admitted' && yes === undefined) say('I5', `the effect ${place} was asked about and not approved`);
    if (oneClock === true && yes !== undefined && effect.at < yes.at)
      say('I5', `the effect ${place} came before its approval`);
    counts.set(`${effect.run} ${effect.step}`, (counts.get(`${effect.run} ${effect.step}`) ?? 0) + 1);
  }
  for (const [key, count] of counts) {
    const [run = '', step = ''] = key.split(' ');
    const [phase = '', id = ''] = step.split('/');
    const found = stepsOf((known.plans.get(run) as Plan).runbook, phase as Phase).find((one) => one.id === id);
    if (found === undefined || isApproval(found)) continue;
    const history = known.events.get(run) ?? [];
    const intents = history.filter(({ event }) => event.type === 'step_started' && event.step === step).length;
    const most = found.idempotent ? found.retry.attempts + Math.min(interruptions(history, step), MOST_RECOVERIES) : 1;
    if (count > most) say('I6', `${step} of run ${run} was felt ${count} times, ${most} are allowed`);
    if (count > intents) say('I6', `${step} of run ${run} was felt ${count} times on ${intents} intents`);
  }
};

/** After so many a run is put before a human (F11). */
const MOST_RECOVERIES = 3;
/** How often a worker died between this step's intent and its result. */
const interruptions = (history: readonly StoredEvent[], step: string): number => {
  let open = false;
  let count = 0;
  for (const { event } of history) {
    if (event.type === 'claimed' && event.recovery && open) count += 1;
    if ('step' in event && event.step === step) open = event.type === 'step_started';
  }
  return count;
};

/** I7: nothing begins later than a second after a halt, nor in a window of maintenance; a shadow has no run. */
const halts = ({ audit, attempts, runs, plans, events }: Known, { ledger, oneClock }: Checked, say: Say): void => {
  for (const { id } of runs) {
    const from = events.get(id)?.find(({ event }) => event.type === 'started')?.at;
    if (from !== undefined && maintenanceEnd(plans.get(id)?.policy.maintenance ?? [], from) !== null)
      say('I7', `the run ${id} began during maintenance`);
  }
  for (const attempt of attempts)
    if (attempt.ledger !== 'live' && attempt.run_id !== null) say('I7', `a shadow has the run ${attempt.run_id}`);
  if (oneClock !== true) return;
  let since: number | null = null;
  const spans: Array<readonly [number, number]> = [];
  for (const { action, at } of audit) {
    if (action === 'halt') since ??= at;
    if (action === 'resume' && since !== null) {
      spans.push([since, at]);
      since = null;
    }
  }
  if (since !== null) spans.push([since, Number.POSITIVE_INFINITY]);
  for (const effect of ledger)
    for (const [from, to] of spans)
      if (effect.at > from + 1_000 && effect.at < to)
        say('I7', `${effect.step} of run ${effect.run} began while halted`);
};

/** I8: the chain holds, and each run's beginning and end have one row each. */
const chain = ({ audit, runs }: Known, say: Say): void => {
  let prev = '0'.repeat(64);
  const rows = new Map<string, number>();
  for (const [index, row] of audit.entries()) {
    const hash = sha256(row.prev + canonical([row.seq, row.at, row.actor, row.action, row.subject, row.detail]));
    if (row.seq !== index + 1 || row.prev !== prev || row.hash !== hash) {
      say('I8', `the audit chain breaks at row ${row.seq}`);
      break;
    }
    prev = row.hash;
    rows.set(`${row.action} ${row.subject}`, (rows.get(`${row.action} ${row.subject}`) ?? 0) + 1);
  }
  for (const run of runs) {
    const of = (...actions: readonly string[]): number =>
      actions.reduce((sum, action) => sum + (rows.get(`run.${action} ${run.id}`) ?? 0), 0);
    if (of('admitted', 'asked') !== 1)
      say('I8', `the run ${run.id} has ${of('admitted', 'asked')} rows of its admission`);
    const ends = of('resolved', 'unresolved', 'stuck', 'withdrawn');
    if (ends !== (run.state === 'done' ? 1 : 0))
      say('I8', `the run ${run.id} is ${run.state} and has ${ends} rows of its end`);
  }
};

/** I8: what the audit tells of the runs is their table, neither more nor less. */
const rebuilt = ({ audit, runs, plans }: Known, say: Say): void => {
  const { runs: told, orphans } = rebuildRuns(
    audit.map((row) => ({ ...row, detail: JSON.parse(row.detail) as JsonObject })),
  );
  if (orphans.length > 0 || told.size !== runs.length)
    say('I8', `the audit tells of ${told.size} runs and ${orphans.length} changes of none, there are ${runs.length}`);
  for (const run of runs) {
    const found = told.get(run.id);
    const row = [run.state, run.outcome, run.cause, run.created_at, run.ended_at, digest({ ...plans.get(run.id) })];
    const audited = [found?.state, found?.outcome, found?.cause, found?.createdAt, found?.endedAt, found?.plan];
    if (canonical(row) !== canonical(audited))
      say('I8', `the row of run ${run.id} says ${row.join(' ')}, the audit ${audited.join(' ')}`);
  }
};

/** I9: what a human has to know was paged. */
const told = ({ runs, escalations, untold }: Known, { atRest }: Checked, say: Say): void => {
  for (const id of untold) say('I9', `nothing automatic is left in the episode ${id} and nobody was told`);
  if (atRest !== true) return;
  for (const run of runs)
    if (run.outcome === 'stuck' && !escalations.has(run.id))
      say('I9', `the run ${run.id} is stuck and nobody was told`);
};

/** I10: between the end of an attempt and the next start of its component (its target, where it is split) lies the rest. */
const rests = ({ runs, plans, events, attempts, audit }: Known, say: Say): void => {
  // The clock may have stood still between an end and an admission; the audit says which came first.
  const rowOf = new Map(audit.map(({ action, subject, seq }) => [`${action} ${subject}`, seq]));
  const admissionOf = (run: string): number => rowOf.get(`run.admitted ${run}`) ?? rowOf.get(`run.asked ${run}`) ?? 0;
  const endOf = (run: string): number =>
    ['resolved', 'unresolved', 'stuck', 'withdrawn'].flatMap((end) => rowOf.get(`run.${end} ${run}`) ?? [])[0] ?? 0;
  const kept = attempts.filter((one) => one.ledger === 'live' && one.released_at === null && one.ended_at !== null);
  for (const run of runs) {
    const plan = plans.get(run.id);
    const from = events.get(run.id)?.find(({ event }) => event.type === 'started')?.at;
    if (plan === undefined || from === undefined || plan.manual !== null) continue;
    const { cooldown, fleet } = plan.policy;
    for (const attempt of kept) {
      if (attempt.run_id === run.id || attempt.component !== run.component) continue;
      if (fleet !== null && attempt.target !== run.target) continue;
      const failed =
        attempt.cause !== 'ineffective' && (attempt.outcome === 'unresolved' || attempt.outcome === 'stuck');
      const rest = failed ? cooldown.afterFailure : cooldown.afterSuccess;
      // Where several run at once, one may have started before the other ended.
      const gap = from - (attempt.ended_at as number);
      if (attempt.at < run.created_at && gap >= 0 && gap < rest && endOf(attempt.run_id ?? '') < admissionOf(run.id))
        say('I10', `the run ${run.id} started ${gap} ms after an attempt that asked for a rest of ${rest} ms`);
    }
  }
};

/** I13: nothing registered as secret is in any byte that is stored beside the record or was shown to anybody, in any form. */
const secrets = ({ database, secrets: words = [], emitted = [] }: Checked, say: Say): void => {
  if (words.length === 0) return;
  const forms = words.flatMap(formsOf);
  const holds = (bytes: Buffer | string): boolean => forms.some((form) => bytes.includes(form));
  const folder = dirname(database);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const bytes = readFileSync(file);
    if (holds(bytes) || (file.endsWith('.gz') && holds(gunzipSync(bytes)))) say('I13', `a secret is in ${file}`);
  }
  const places = new Set(emitted.filter(({ text }) => holds(text)).map(({ where }) => where));
  for (const where of places) say('I13', `a secret is in ${where}`);
};

/** How somebody could show it: as it is, and as JSON, base64, a URL and hex write it. */
const formsOf = (secret: string): readonly string[] => {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    base64,
    bytes.toString('base64url'),
    encodeURIComponent(secret),
    bytes.toString('hex'),
  ];
};
