// Decision and admission in one transaction: both or neither. What was settled before costs two prepared statements.
import type { Admission, Admit, Decided, DecisionRequest, Taker, Verdict } from '../port/store.ts';
import type { Reason } from '../run/reasons.ts';
import type { Write } from '../run/writes.ts';
import type { Statements } from './driver.ts';
import { readHistory } from './history.ts';
import { nextTurn } from './receive.ts';
import { claimRun } from './runs.ts';
import type { Queries } from './tables.ts';
import { addToTally } from './tally.ts';
import { applyWrites } from './writes.ts';

const PRIOR = `select reason, run_id, record from decisions where alert_id = ? and origin = 'delivery'`;
const VERSION = 'select version from components where name = ?';
const INSERT = `insert into decisions (id, at, origin, reason, caller, alert_id, delivery_id, episode_id, component, target, rule, strategy, run_id, record)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const MARK_DECIDED = 'update alerts set decided = 1 where id = ? and decided = 0';

const NOTE_CATALOG = 'update episodes set catalog_digest = ? where id = ?';

/** Settled requests between two turns of the event loop, about 10 ms; an admission takes as long as some dozens of them. */
const SLICE = 250;
const ADMISSION = 50;

/** Within an open transaction; `now` is the effective one. */
export const decideAll = async (
  queries: Queries,
  statements: Statements,
  requests: readonly DecisionRequest[],
  now: number,
  admit: Admit,
  taker: Taker | null = null,
): Promise<readonly Decided[]> => {
  const decided: Decided[] = [];
  let sinceTurn = 0;
  for (const request of requests) {
    decided.push(alreadyDecided(statements, request) ?? (await decideOne(queries, statements, request, now, admit)));
    sinceTurn += 1 + request.wishes.length * ADMISSION;
    if (sinceTurn < SLICE) continue;
    sinceTurn = 0;
    await nextTurn();
  }
  return taker === null ? decided : takeUp(queries, decided, now, taker);
};

/** An alert waits for its first step: a commit of its own for the claim would be the third before it. */
const takeUp = async (
  queries: Queries,
  decided: readonly Decided[],
  now: number,
  { owner, leaseMs }: Taker,
): Promise<readonly Decided[]> => {
  const first = decided.findIndex((one) => one.type === 'decided' && one.runId !== null);
  if (first < 0) return decided;
  const claimed = await claimRun(queries, owner, now, leaseMs);
  return claimed === null ? decided : decided.map((one, index) => (index === first ? { ...one, claimed } : one));
};

/** Every alert entry has exactly one decision of origin `delivery`, however often it is tried. */
const alreadyDecided = (statements: Statements, request: DecisionRequest): Decided | null => {
  if (request.origin !== 'delivery' || request.alertId === null) return null;
  const prior = statements.get<{ reason: Reason; run_id: string | null; record: string }>(PRIOR, [request.alertId]);
  if (prior === undefined) return null;
  const { verdicts } = JSON.parse(prior.record) as { verdicts: ReadonlyArray<readonly Verdict[]> };
  return { type: 'decided', reason: prior.reason, runId: prior.run_id, retryAt: null, verdicts: verdicts.at(-1) ?? [] };
};

const decideOne = async (
  queries: Queries,
  statements: Statements,
  request: DecisionRequest,
  now: number,
  admit: Admit,
): Promise<Decided> => {
  const version =
    request.component === null
      ? null
      : (statements.get<{ version: number }>(VERSION, [request.component])?.version ?? 0);
  if (request.version !== null && version !== null && request.version !== version) return { type: 'changed' };
  const admissions = await admitAll(queries, request, now, admit);
  if (admissions === null) return { type: 'changed' };
  const last = admissions.at(-1);
  const reason = request.reason ?? last?.reason;
  if (reason === undefined) throw new Error(`the decision ${request.id} has neither a reason nor a wish`);
  const writes = request.writes.filter((write) => !noteCatalog(statements, write));
  if (writes.length > 0) await applyWrites(queries, writes, now);
  const record = {
    ...request.record,
    now,
    verdicts: admissions.map((admission) => admission.verdicts),
    historyVersion: version,
  };
  statements.run(INSERT, [
    request.id,
    request.at,
    request.origin,
    reason,
    request.caller,
    request.alertId,
    request.deliveryId,
    request.episodeId,
    request.component,
    request.target,
    request.rule,
    request.strategy,
    last?.runId ?? null,
    JSON.stringify(record),
  ]);
  if (request.alertId !== null)
    addToTally(statements, 'alerts_undecided', -statements.run(MARK_DECIDED, [request.alertId]));
  return {
    type: 'decided',
    reason,
    runId: last?.runId ?? null,
    retryAt: last?.retryAt ?? null,
    verdicts: last?.verdicts ?? [],
  };
};

/** What every decision about an episode writes, by a prepared statement: a built query costs as much as all the rest of it. */
const noteCatalog = (statements: Statements, write: Write): boolean => {
  if (write.type !== 'episode.update') return false;
  const { catalogDigest, ...others } = write.patch;
  if (catalogDigest === undefined || Object.keys(others).length > 0) return false;
  statements.run(NOTE_CATALOG, [catalogDigest, write.id]);
  return true;
};

/** Wishes are counted on ledgers of their own, so none sees another. Null: one of them cannot be admitted or refused yet. */
const admitAll = async (
  queries: Queries,
  request: DecisionRequest,
  now: number,
  admit: Admit,
): Promise<readonly Admission[] | null> => {
  const admissions: Admission[] = [];
  for (const [index, wish] of request.wishes.entries()) {
    const query = request.historyQueries[index];
    if (query === undefined) throw new Error(`the decision ${request.id} names no history for its wish ${index}`);
    const admission = admit(wish, await readHistory(queries, query, now), request);
    if (admission === null) return null;
    admissions.push(admission);
  }
  for (const admission of admissions) await applyWrites(queries, admission.writes, now);
  return admissions;
};
