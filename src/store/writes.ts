// Puts each kind of Write into the open transaction.
import { sql } from 'kysely';
import type { Outcome, OutcomeCause, RunEvent } from '../run/events.ts';
import type { Attempt, Halt } from '../run/history.ts';
import { WHEN_WOKEN } from '../run/writes.ts';
import type { EpisodePatch, NewRun, Write } from '../run/writes.ts';
import { appendAudit } from './audit.ts';
import { bumpAllVersions, bumpVersion, controlsRow, toHalt } from './controls.ts';
import { prepared } from './prepared.ts';
import type { Queries, Row } from './tables.ts';

type Of<Type extends Write['type']> = Extract<Write, { type: Type }>;

/** In the order given: a later one sees what an earlier one did. */
export const applyWrites = async (queries: Queries, writes: readonly Write[], now: number): Promise<void> => {
  for (const write of writes) await applyWrite(queries, write, now);
};

const applyWrite = async (queries: Queries, write: Write, now: number): Promise<void> => {
  switch (write.type) {
    case 'run.create':
      return createRun(queries, write.run, write.events, now);
    case 'attempt.add':
      return addAttempt(queries, write.attempt);
    case 'attempt.end':
    case 'attempt.release':
      return endAttempt(queries, write);
    case 'episode.update':
      return updateEpisode(queries, write.id, write.patch, now);
    case 'episodes.wake':
      return wakeEpisodes(queries, write);
    case 'disable':
      return disable(queries, write, now);
    case 'enable':
      await queries.deleteFrom('disabled').where('scope', '=', write.scope).where('name', '=', write.name).execute();
      return bumpScope(queries, write);
    case 'halt':
      return setHalt(queries, write, now);
    case 'degraded':
      return setDegraded(queries, write, now);
    case 'inbox.open':
      return openInbox(queries, write, now);
    case 'inbox.close':
      await closeInbox(queries, write.by, write.comment, now).where('id', '=', write.id).execute();
      return;
    case 'inbox.close_for_run':
      await closeInbox(queries, write.by, write.comment, now)
        .where('run_id', '=', write.runId)
        .where('kind', '=', write.kind)
        .execute();
      return;
    case 'notify':
      return notify(queries, write, now);
    case 'breaker.close':
      await queries
        .insertInto('breakers')
        .values({ component: write.component, strategy: write.strategy, closed_at: now })
        .onConflict((conflict) => conflict.columns(['component', 'strategy']).doUpdateSet({ closed_at: now }))
        .execute();
      return bumpVersion(queries, write.component);
    case 'rule.demote': {
      const said = { mode: write.mode, until: write.until, reason: write.reason, since: now };
      await queries
        .insertInto('demotions')
        .values({ rule: write.rule, ...said })
        .onConflict((conflict) => conflict.column('rule').doUpdateSet(said))
        .execute();
      return bumpAllVersions(queries);
    }
    case 'rule.restore':
      await queries.deleteFrom('demotions').where('rule', '=', write.rule).execute();
      return bumpAllVersions(queries);
    case 'clock.suspect':
      await queries.updateTable('controls').set({ clock_suspect_until: write.until }).where('id', '=', 1).execute();
      return;
    case 'audit':
      await appendAudit(queries, write, now);
      return;
  }
};

const newEvent = prepared((queries, given: Row<'run_events'>) => queries.insertInto('run_events').values(given));
const newRun = prepared((queries, given: Row<'runs'>) => queries.insertInto('runs').values(given));
const newAttempt = prepared((queries, given: Row<'attempts'>) => queries.insertInto('attempts').values(given));
const attemptEnded = prepared(
  (queries, given: { runId: string; at: number; outcome: Outcome; cause: OutcomeCause; releasedAt: number | null }) =>
    queries
      .updateTable('attempts')
      .set({
        ended_at: given.at,
        outcome: given.outcome,
        cause: given.cause,
        released_at: sql`coalesce(${given.releasedAt}, released_at)`,
      })
      .where('run_id', '=', given.runId)
      .returning('component'),
);
const newMessage = prepared((queries, given: Omit<Row<'outbox'>, 'seq'>) => queries.insertInto('outbox').values(given));

export const appendEvents = async (
  queries: Queries,
  runId: string,
  lastSeq: number,
  events: readonly RunEvent[],
  now: number,
): Promise<void> => {
  let seq = lastSeq;
  for (const event of events) {
    seq += 1;
    await newEvent.run(queries, { run_id: runId, seq, at: now, type: event.type, event: JSON.stringify(event) });
  }
};

const createRun = async (queries: Queries, run: NewRun, events: readonly RunEvent[], now: number): Promise<void> => {
  const admitted = events.find((event) => event.type === 'admitted');
  if (admitted === undefined) throw new Error(`the run ${run.id} would begin without an 'admitted' event`);
  await newRun.run(queries, {
    id: run.id,
    decision_id: run.decisionId,
    episode_id: run.episodeId,
    component: run.component,
    kind: run.kind,
    target: run.target,
    strategy: run.strategy,
    rule: run.rule,
    state: admitted.approval ? 'awaiting_approval' : 'queued',
    outcome: null,
    cause: null,
    created_at: now,
    not_before: admitted.notBefore,
    started_at: null,
    first_step_at: null,
    verified_at: null,
    ended_at: null,
    settle_until: null,
    settle_ended: 0,
    alert_started_at: run.alertStartedAt,
    recoveries: 0,
    lease_owner: null,
    lease_until: null,
    fence: 0,
    plan: JSON.stringify(run.plan),
  });
  await appendEvents(queries, run.id, 0, events, now);
  await bumpVersion(queries, run.component);
};

const addAttempt = async (queries: Queries, attempt: Attempt): Promise<void> => {
  await newAttempt.run(queries, {
    id: attempt.id,
    ledger: attempt.ledger,
    run_id: attempt.runId,
    episode_id: attempt.episodeId,
    component: attempt.component,
    kind: attempt.kind,
    target: attempt.target,
    strategy: attempt.strategy,
    rule: attempt.rule,
    rung: attempt.rung,
    at: attempt.at,
    ended_at: attempt.endedAt,
    outcome: attempt.outcome,
    cause: attempt.cause,
    released_at: null,
    domain: attempt.domain,
  });
  await bumpVersion(queries, attempt.component);
};

const endAttempt = async (queries: Queries, write: Of<'attempt.end'> | Of<'attempt.release'>): Promise<void> => {
  const { runId, at, outcome, cause } = write;
  const releasedAt = write.type === 'attempt.release' ? at : null;
  const changed = await attemptEnded.all(queries, { runId, at, outcome, cause, releasedAt });
  for (const row of changed) await bumpVersion(queries, row.component);
};

const updateEpisode = async (queries: Queries, id: string, patch: EpisodePatch, now: number): Promise<void> => {
  const set: Partial<Row<'episodes'>> = {
    ...(patch.nextEvaluationAt === undefined ? {} : { next_evaluation_at: patch.nextEvaluationAt }),
    ...(patch.backoff === undefined ? {} : { backoff: patch.backoff }),
    ...(patch.exhausted === undefined ? {} : { exhausted: patch.exhausted ? 1 : 0 }),
    ...(patch.catalogDigest === undefined ? {} : { catalog_digest: patch.catalogDigest }),
    ...(patch.hadRun === undefined ? {} : { had_run: patch.hadRun ? 1 : 0 }),
    ...(patch.quiet === undefined ? {} : { state: 'quiet', resolved_at: now }),
  };
  if (Object.keys(set).length > 0) await queries.updateTable('episodes').set(set).where('id', '=', id).execute();
};

const wakeEpisodes = async (queries: Queries, { component, at, heldBy }: Of<'episodes.wake'>): Promise<void> => {
  const last = sql<string>`(select reason from decisions where episode_id = episodes.id order by at desc, id desc limit 1)`;
  const held = queries
    .updateTable('episodes')
    .set({ next_evaluation_at: at })
    .where('state', '=', 'firing')
    .where('exhausted', '=', 0)
    .where('next_evaluation_at', 'is not', null)
    .where((where) =>
      where.or([
        where('next_evaluation_at', '=', WHEN_WOKEN),
        ...(heldBy === undefined ? [] : [sql<boolean>`${last} = ${heldBy}`]),
      ]),
    );
  await (component === null ? held : held.where('component', '=', component)).execute();
};

const setHalt = async (queries: Queries, write: Of<'halt'>, now: number): Promise<void> => {
  const { on, at, past } = toHalt(await controlsRow(queries));
  const said = write.on
    ? {
        halt_on: 1 as const,
        halt_hard: write.hard ? (1 as const) : (0 as const),
        halt_by: write.by,
        halt_reason: write.reason,
        halt_until: null,
        ...(on ? {} : { halt_at: now }),
      }
    : { halt_on: 0 as const, halt_until: now, halt_spans: await spansAfter(queries, on ? [...past, [at, now]] : past) };
  await queries.updateTable('controls').set(said).where('id', '=', 1).execute();
};

/** What waited stood still meanwhile, so its halts are kept; what began later than a halt's end never asks about it. */
const spansAfter = async (queries: Queries, spans: Halt['past']): Promise<string> => {
  const oldest = await queries
    .selectFrom('runs')
    .select('created_at')
    .where(sql<boolean>`state <> 'done'`)
    .orderBy('created_at')
    .limit(1)
    .executeTakeFirst();
  return JSON.stringify(oldest === undefined ? [] : spans.filter(([, to]) => to > oldest.created_at));
};

const bumpScope = (queries: Queries, { scope, name }: Of<'disable'> | Of<'enable'>): Promise<void> =>
  scope === 'component' ? bumpVersion(queries, name) : bumpAllVersions(queries);

const disable = async (queries: Queries, write: Of<'disable'>, now: number): Promise<void> => {
  const said = { until: write.until, by: write.by, reason: write.reason, since: now };
  await queries
    .insertInto('disabled')
    .values({ scope: write.scope, name: write.name, ...said })
    .onConflict((conflict) => conflict.columns(['scope', 'name']).doUpdateSet(said))
    .execute();
  await bumpScope(queries, write);
};

const setDegraded = async (queries: Queries, write: Of<'degraded'>, now: number): Promise<void> => {
  const result = write.on
    ? await queries
        .insertInto('degraded')
        .values({ mode: write.mode, component: write.component, target: write.target, run_id: write.runId, since: now })
        .onConflict((conflict) => conflict.columns(['mode', 'component', 'target']).doNothing())
        .returning('mode')
        .executeTakeFirst()
    : await queries
        .deleteFrom('degraded')
        .where('mode', '=', write.mode)
        .where('component', '=', write.component)
        .where('target', '=', write.target)
        .returning('mode')
        .executeTakeFirst();
  if (result === undefined) return;
  await bumpVersion(queries, write.component);
  const { mode, on, component, target, runId } = write;
  const detail = { component, target, run_id: runId };
  const action = on ? 'degraded.set' : 'degraded.clear';
  await appendAudit(queries, { type: 'audit', actor: 'amends', action, subject: mode, detail }, now);
};

/** One that is open with the same `dedup` is only counted, and pages nobody again. */
const openInbox = async (queries: Queries, write: Of<'inbox.open'>, now: number): Promise<void> => {
  const entry = await queries
    .insertInto('inbox')
    .values({
      id: write.id,
      at: now,
      kind: write.kind,
      status: 'open',
      dedup: write.dedup,
      severity: write.severity,
      component: write.component,
      target: write.target,
      run_id: write.runId,
      episode_id: write.episodeId,
      title: write.title,
      body: JSON.stringify(write.body),
      count: 1,
      closed_at: null,
      closed_by: null,
      comment: null,
    })
    .onConflict((conflict) =>
      conflict
        .column('dedup')
        .where(sql<boolean>`status = 'open' and dedup is not null`)
        .doUpdateSet({ count: sql`inbox.count + 1` }),
    )
    .returning('count')
    .executeTakeFirstOrThrow();
  const { page, severity, component, target, runId, title } = write;
  if (page === undefined || entry.count > 1) return;
  await notify(queries, { ...page, type: 'notify', receiver: null, severity, component, target, runId, title }, now);
};

const closeInbox = (queries: Queries, by: string, comment: string, now: number) =>
  queries
    .updateTable('inbox')
    .set({ status: 'closed', closed_at: now, closed_by: by, comment })
    .where(sql<boolean>`status = 'open'`);

const notify = async (queries: Queries, write: Of<'notify'>, now: number): Promise<void> => {
  await newMessage.run(queries, {
    id: write.id,
    at: now,
    topic: write.topic,
    receiver: write.receiver,
    severity: write.severity,
    component: write.component,
    target: write.target,
    run_id: write.runId,
    title: write.title,
    body: write.body,
    status: 'pending',
    tries: 0,
    next_at: now,
    error: null,
  });
};
