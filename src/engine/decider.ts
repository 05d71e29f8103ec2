// Decides about every alert that was kept: exactly one decision each, in slices, so that a storm keeps nobody waiting.
import { admit } from '../run/admission.ts';
import type { Reason } from '../run/reasons.ts';
import type { Write } from '../run/writes.ts';
import type { EpisodeRow } from '../port/record.ts';
import type { Admit, Claimed, Decided, DecisionRequest, Store, Taker } from '../port/store.ts';
import type { Bundle, Item, Letter } from './backlog.ts';
import { bundleOf, readBacklog } from './backlog.ts';
import type { EngineContext } from './context.ts';
import type { Evaluated, Subject } from './evaluate.ts';
import { evaluateAlert } from './evaluate.ts';
import type { Kept } from './intake.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { inItsTrace, isGone, retryOf, subjectAgain, subjectOf } from './retry.ts';
import { aboutRun, tellRules } from './telling.ts';
import { historyByTimePassed } from './time-passed.ts';
import { contradicted, markIneffective, settlingNear, withdrawResolved } from './withdraw.ts';

export type Decider = Loop & {
  tick(): Promise<void>;
  /** A kept delivery is next in line; past the bound it is read from the store again when its turn comes. */
  offer(kept: Kept): void;
  /** Decides at once about a subject of another origin: a manual request by failure type. */
  decideNow(subject: Subject): Promise<{ readonly request: DecisionRequest; readonly decided: Decided }>;
};

const EVERY_MS = 1_000;
/** Turns of the event loop that posts have to themselves between two commits of decisions, as long as they keep coming. */
const TURNS_FOR_POSTS = 4;
const SLICE = 100;
/** Alerts that wait in memory; what comes beyond waits in the store alone. */
const MOST_IN_LINE = 20_000;
const MOST_REDECISIONS = 3;
/** An evaluated alert before its commit; the letter is null when no delivery brought it. */
type Pending = { readonly one: Evaluated; readonly letter: Letter | null; readonly backoff: number };

type Entries = {
  readonly letter: Letter;
  readonly episodes: ReadonlyMap<string, EpisodeRow>;
  /** Episodes that were evaluated a moment ago, and are not yet written down as such. */
  readonly looked: Set<string>;
};
type Slice = Entries & {
  readonly items: readonly Item[];
  readonly settling: Awaited<ReturnType<Store['settlingRuns']>>;
};
type Entering = Entries &
  Item & {
    readonly after: Array<() => Promise<void>>;
  };

/** Where admitted runs go. */
export type Admitted = {
  taker(): Taker | null;
  /** `claimed` is what was taken up with the admission of the run, or null. */
  admitted(runId: string, claimed: Claimed | null): void;
};

export const createDecider = (context: EngineContext, runs: Admitted): Decider => {
  const { store, clock, log } = context;
  const line: Kept[] = [];
  let inLine = 0;
  let offered = 0;
  let backlog = true;

  const tick = async (): Promise<void> => {
    for (;;) {
      const kept = nextInLine();
      if (kept.length > 0) await decideBundles(kept.map(bundleOf));
      else if (backlog) {
        const left = await readBacklog(store, SLICE * 5, new Set(line.map(({ deliveryId }) => deliveryId)));
        backlog = left.length > 0;
        await decideBundles(left);
      } else break;
    }
    await decideDue();
  };

  /** An acknowledgement waits for nothing but its commit; a decision may wait for a few of those. */
  const letPostsIn = async (): Promise<void> => {
    for (let turn = 0; turn < TURNS_FOR_POSTS; turn += 1) {
      const before = offered;
      await yieldTurn();
      if (offered === before) return;
    }
  };

  /** Small deliveries that wait together are decided together: a commit each would cost more than all the rest. */
  const nextInLine = (): readonly Kept[] => {
    let alerts = 0;
    let count = 0;
    while (count < line.length && (count === 0 || alerts + (line[count]?.entries.length ?? 0) <= SLICE)) {
      alerts += line[count]?.entries.length ?? 0;
      count += 1;
    }
    inLine -= alerts;
    return line.splice(0, count);
  };

  /** In order. What admission or another act follows from is committed by itself, so that whatever comes after sees it. */
  const decideBundles = async (bundles: readonly Bundle[]): Promise<void> => {
    const all = bundles.flatMap(({ items }) => items);
    const episodes = await store.episodesById(
      all.flatMap(({ received: { change, episodeId } }) => (change === 'opened' ? [] : (episodeId ?? []))),
    );
    const looked = new Set<string>();
    let settling = await settlingNear(context, all);
    let pending: Pending[] = [];
    const flush = async (): Promise<void> => {
      await commit(pending);
      pending = [];
      await letPostsIn();
    };
    for (const { letter, items } of bundles) {
      for (let at = 0; at < items.length; at += SLICE) {
        const { evaluated, after } = await evaluateSlice({
          letter,
          items: items.slice(at, at + SLICE),
          episodes,
          looked,
          settling,
        });
        const acts = after.length > 0 || evaluated.some(({ request }) => request.wishes.length > 0);
        if (acts || pending.length + evaluated.length > SLICE) await flush();
        pending.push(...evaluated.map((one) => ({ one, letter, backoff: 0 })));
        if (!acts) continue;
        await flush();
        for (const act of after) await act();
        if (after.length > 0) settling = await settlingNear(context, all);
      }
    }
    await flush();
  };

  const evaluateSlice = async ({
    letter,
    items,
    episodes,
    looked,
    settling,
  }: Slice): Promise<{
    readonly evaluated: readonly Evaluated[];
    readonly after: ReadonlyArray<() => Promise<void>>;
  }> => {
    const evaluated: Evaluated[] = [];
    const after: Array<() => Promise<void>> = [];
    for (const { entry, received } of items) {
      evaluated.push(await evaluateEntry({ letter, entry, received, episodes, looked, after }));
      if (!entry.valid || entry.alert.status !== 'firing') continue;
      const wrong = contradicted(context, settling, entry.alert, received.episodeId);
      if (wrong.length > 0) after.push(() => markIneffective(context, wrong, entry.alert, received.episodeId));
    }
    return { evaluated: evaluated.toSorted(byPriority), after };
  };

  const evaluateEntry = async ({ letter, entry, received, episodes, looked, after }: Entering): Promise<Evaluated> => {
    const base = {
      origin: 'delivery',
      caller: null,
      alertId: received.alertId,
      deliveryId: letter.deliveryId,
      episodeId: received.episodeId,
    } as const;
    if (!entry.valid) return plain(context, base, 'invalid', { problem: entry.problem });
    const { alert } = entry;
    if (alert.status === 'resolved') {
      if (received.change === 'resolved' && received.episodeId !== null) {
        const { episodeId } = received;
        after.push(() => withdrawResolved(context, episodeId, 'the alert resolved'));
      }
      return plain(context, base, 'resolved', {});
    }
    const episode = received.episodeId === null ? undefined : episodes.get(received.episodeId);
    if (episode?.exhausted === true)
      return plain(context, base, 'duplicate', { note: 'nothing automatic is left in this episode: a human has it' });
    if (received.change === 'repeated' && !worthAnotherLook(episode, looked))
      return plain(context, base, 'duplicate', {});
    if (received.episodeId !== null) looked.add(received.episodeId);
    const { source, groupSize, truncated, traceparent } = letter;
    return evaluateAlert(context, { alert, source, groupSize, truncated, traceparent, ...base });
  };

  /** The rules changed since it was decided, and nothing was done about it yet. */
  const worthAnotherLook = (episode: EpisodeRow | undefined, looked: ReadonlySet<string>): boolean =>
    episode !== undefined &&
    !episode.hadRun &&
    !episode.exhausted &&
    episode.catalogDigest !== null &&
    episode.catalogDigest !== context.loaded().catalog.digest &&
    !looked.has(episode.id);

  /** The open episodes whose guard has ended: in the order in which one delivery of them all would have been decided. */
  const decideDue = async (): Promise<void> => {
    const due: Pending[] = [];
    for (const episode of await store.dueEpisodes(clock.now(), SLICE)) {
      const one = await evaluateAlert(context, subjectOf(episode));
      due.push({ one: await inItsTrace(store, one), letter: null, backoff: episode.backoff });
      await yieldTurn();
    }
    for (const pending of due.toSorted((left, right) => byPriority(left.one, right.one))) {
      await commit([pending]);
      await yieldTurn();
    }
  };

  const commit = async (pending: readonly Pending[]): Promise<void> => {
    let open = pending;
    for (let round = 0; open.length > 0;) {
      const began = clock.monotonic();
      const decided = await store.decide(
        open.map(({ one }) => one.request),
        clock.now(),
        admitter(context),
        runs.taker(),
      );
      context.telemetry.admission(clock.monotonic() - began);
      const changed = open.filter((_, index) => decided[index]?.type === 'changed');
      const now = clock.now();
      const writes = open.flatMap(({ one, letter, backoff }, index) => {
        const answer = decided[index];
        if (answer?.type !== 'decided') return [];
        if (letter !== null) context.telemetry.decided(Math.max(0, now - letter.receivedAt));
        return concluded(one, answer, backoff);
      });
      if (writes.length > 0) await store.write(writes, clock.now());
      // An admission of our own changes the history for those behind it; only what others change is given up on.
      if (changed.length === open.length) round += 1;
      open = await again(changed, round);
    }
  };

  const again = async (changed: readonly Pending[], round: number): Promise<readonly Pending[]> => {
    const next: Pending[] = [];
    for (const waiting of changed) {
      const { one, letter } = waiting;
      const subject = round > MOST_REDECISIONS ? null : subjectAgain(one.request, letter);
      next.push({ ...waiting, one: subject === null ? givenUp(one) : await evaluateAlert(context, subject, true) });
    }
    return next;
  };

  /** Tells of a decision; answers when its episode is to be looked at again. */
  const concluded = (
    one: Evaluated,
    decided: Extract<Decided, { type: 'decided' }>,
    backoff: number,
  ): readonly Write[] => {
    const { request } = one;
    context.telemetry.decision(decided.reason, request.origin);
    tellRules(context, one, decided);
    log.debug(
      {
        decision_id: request.id,
        reason: decided.reason,
        rule: request.rule,
        component: request.component,
        target: request.target,
        run_id: decided.runId,
        ...(request.episodeId === null ? {} : { episode_id: request.episodeId }),
      },
      'decided',
    );
    if (decided.runId !== null) {
      runs.admitted(decided.runId, decided.claimed ?? null);
      // An alert waits for the first step.
      const about = aboutRun(decided.runId, request);
      setImmediate(() => log.info(about, 'a run was admitted'));
    }
    if (request.episodeId === null || decided.runId !== null) return [];
    if (isGone(request, decided.reason, backoff)) {
      const patch = { quiet: true, nextEvaluationAt: null, backoff: 0 } as const;
      return [{ type: 'episode.update', id: request.episodeId, patch }];
    }
    const retry = retryOf(decided, backoff, clock.now());
    if (retry === null && request.origin !== 'retry') return [];
    return [
      {
        type: 'episode.update',
        id: request.episodeId,
        patch: { nextEvaluationAt: retry?.at ?? null, backoff: retry?.backoff ?? 0 },
      },
    ];
  };

  const loop = createLoop({ name: 'decider', clock, everyMs: EVERY_MS, log, tick });
  return {
    ...loop,
    tick,
    offer(kept) {
      offered += 1;
      if (inLine + kept.entries.length > MOST_IN_LINE) backlog = true;
      else {
        line.push(kept);
        inLine += kept.entries.length;
      }
      loop.wake();
    },
    async decideNow(subject) {
      let evaluated = await evaluateAlert(context, subject, true);
      for (let round = 0; ; round += 1) {
        const [decided] = await store.decide([evaluated.request], clock.now(), admitter(context), runs.taker());
        if (decided?.type === 'decided') {
          concluded(evaluated, decided, 0);
          return { request: evaluated.request, decided };
        }
        if (round >= MOST_REDECISIONS) throw new Error('the history of the component changed during each of the tries');
        evaluated = await evaluateAlert(context, subject, true);
      }
    },
  };
};

/** Decisions are admitted by priority, then by rule name, whatever the alerts' order. */
const byPriority = (left: Evaluated, right: Evaluated): number =>
  right.priority - left.priority || (left.rule < right.rule ? -1 : left.rule > right.rule ? 1 : 0);

const yieldTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** The pure admission with ids made beforehand. */
export const admitter =
  (context: EngineContext, override: ReadonlySet<'cooldown'> = new Set()): Admit =>
  (wish, history, request) =>
    admit({
      plan: wish.plan,
      ledger: wish.ledger,
      history: historyByTimePassed(context, history),
      decisionId: request.id,
      episodeId: request.episodeId,
      override,
      haltFile: context.halt.reason(),
      present: wish.present,
      runId: context.ids.next(),
      attemptId: context.ids.next(),
      inboxId: context.ids.next(),
      notifyId: context.ids.next(),
      alsoInboxId: context.ids.next(),
      alsoNotifyId: context.ids.next(),
    });

/** Decided without looking at the history any more. */
const givenUp = (one: Evaluated): Evaluated => ({
  ...one,
  request: {
    ...one.request,
    reason: 'undecidable',
    wishes: [],
    historyQueries: [],
    version: null,
    record: { ...one.request.record, note: 'the history of the component changed during each of the tries' },
  },
});

type Base = Pick<DecisionRequest, 'origin' | 'caller' | 'alertId' | 'deliveryId' | 'episodeId'>;

/** Settled by what it is, without any rule. */
const plain = (context: EngineContext, base: Base, reason: Reason, record: DecisionRequest['record']): Evaluated => ({
  request: {
    id: context.ids.next(),
    at: context.clock.now(),
    ...base,
    component: null,
    kind: null,
    target: null,
    rule: null,
    strategy: null,
    reason,
    wishes: [],
    historyQueries: [],
    version: null,
    record,
    writes: [],
  },
  priority: Number.POSITIVE_INFINITY,
  rule: '',
  shadows: [],
});
