// Decides about every alert that was kept: exactly one decision each, in slices, so that a storm keeps nobody waiting.
import type { Alert, Entry } from '../alert/alert.ts';
import { parseDelivery } from '../alert/webhook.ts';
import { admit } from '../run/admission.ts';
import type { Reason } from '../run/reasons.ts';
import { WHEN_WOKEN } from '../run/writes.ts';
import type { Write } from '../run/writes.ts';
import type { Admit, Decided, DecisionRequest, EpisodeRow, Received } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Evaluated, Subject } from './evaluate.ts';
import { evaluateAlert } from './evaluate.ts';
import type { Kept } from './intake.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { markIneffective, withdrawResolved } from './withdraw.ts';

export type Decider = Loop & {
  tick(): Promise<void>;
  /** A kept delivery is next in line; past the bound it is read from the store again when its turn comes. */
  offer(kept: Kept): void;
  /** Decides at once about a subject of another origin: a manual request by failure type. */
  decideNow(subject: Subject): Promise<{ readonly request: DecisionRequest; readonly decided: Decided }>;
};

const EVERY_MS = 1_000;
const SLICE = 100;
/** Alerts that wait in memory; what comes beyond waits in the store alone. */
const MOST_IN_LINE = 20_000;
const MOST_REDECISIONS = 3;
const FIRST_RETRY_MS = 30_000;
const LONGEST_RETRY_MS = 300_000;
/** Held for want of knowledge, not by a clock: asked again in 30s, doubling to 5m. */
const BACKING_OFF: ReadonlySet<Reason> = new Set<Reason>([
  'undecidable',
  'silenced',
  'unconfirmed',
  'unhealthy',
  'storm',
]);

export const createDecider = (context: EngineContext, onAdmitted: () => void): Decider => {
  const { store, clock, log } = context;
  let line: Kept[] = [];
  let inLine = 0;
  let backlog = true;

  const tick = async (): Promise<void> => {
    for (;;) {
      const kept = line.shift();
      if (kept !== undefined) {
        inLine -= kept.entries.length;
        await decideDelivery(kept);
      } else if (backlog) {
        backlog = await decideBacklog();
      } else break;
    }
    await decideDue();
  };

  const decideDelivery = async (kept: Kept): Promise<void> => {
    const episodes = await store.episodesById(
      kept.received
        .filter((entry) => entry.change === 'repeated' || entry.change === 'reopened')
        .flatMap((entry) => entry.episodeId ?? []),
    );
    await decideEntries(
      kept,
      kept.entries.map((entry, index) => ({ entry, received: kept.received[index] })),
      episodes,
    );
  };

  /** What a crash or a storm left in the store. True: there may be more. */
  const decideBacklog = async (): Promise<boolean> => {
    const undecided = await store.undecided(SLICE * 5);
    const known = new Set(line.map((kept) => kept.deliveryId));
    const deliveries = new Map<string, (typeof undecided)[number][]>();
    for (const alert of undecided) {
      if (!known.has(alert.deliveryId))
        deliveries.set(alert.deliveryId, [...(deliveries.get(alert.deliveryId) ?? []), alert]);
    }
    for (const [deliveryId, alerts] of deliveries) {
      const first = alerts[0];
      if (first === undefined) continue;
      const parsed = parseDelivery(first.body, first.receivedAt);
      const entries = parsed.ok ? parsed.value.entries : [];
      const kept: Omit<Kept, 'entries' | 'received'> = {
        deliveryId,
        source: first.source,
        receivedAt: first.receivedAt,
        groupSize: entries.length + (parsed.ok ? parsed.value.truncatedAlerts : 0),
        truncated: parsed.ok ? parsed.value.truncatedAlerts : 0,
      };
      const episodes = await store.episodesById(alerts.flatMap((alert) => alert.episodeId ?? []));
      await decideEntries(
        kept,
        alerts.map((alert) => ({
          entry: entries[alert.index] ?? { valid: false, problem: 'the stored body cannot be read', raw: {} },
          received: alert,
        })),
        episodes,
      );
    }
    return undecided.length > 0 && deliveries.size > 0;
  };

  type Item = { readonly entry: Entry; readonly received: Received | undefined };
  const decideEntries = async (
    kept: Omit<Kept, 'entries' | 'received'>,
    items: readonly Item[],
    episodes: ReadonlyMap<string, EpisodeRow>,
  ): Promise<void> => {
    for (let at = 0; at < items.length; at += SLICE) {
      const evaluated: Evaluated[] = [];
      const after: Array<() => Promise<void>> = [];
      const settling = await store.settlingRuns();
      for (const { entry, received } of items.slice(at, at + SLICE)) {
        const one = await evaluateEntry(kept, entry, received, episodes, after);
        if (entry.valid && entry.alert.status === 'firing' && settling.length > 0)
          after.push(() => markIneffective(context, settling, entry.alert, received?.episodeId ?? null));
        if (one !== null) evaluated.push(one);
      }
      // A delivery's decisions are admitted by priority, then by rule name.
      const ordered = evaluated.toSorted(
        (left, right) =>
          right.priority - left.priority || (left.rule < right.rule ? -1 : left.rule > right.rule ? 1 : 0),
      );
      await commit(ordered, kept);
      for (const act of after) await act();
      await yieldTurn();
    }
  };

  const evaluateEntry = async (
    kept: Omit<Kept, 'entries' | 'received'>,
    entry: Entry,
    received: Received | undefined,
    episodes: ReadonlyMap<string, EpisodeRow>,
    after: Array<() => Promise<void>>,
  ): Promise<Evaluated | null> => {
    if (received === undefined) return null;
    const base = {
      origin: 'delivery',
      caller: null,
      alertId: received.alertId,
      deliveryId: kept.deliveryId,
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
    if (received.change === 'repeated' && !worthAnotherLook(received, episodes))
      return plain(context, base, 'duplicate', {});
    return evaluateAlert(context, {
      alert,
      source: kept.source,
      groupSize: kept.groupSize,
      truncated: kept.truncated,
      ...base,
    });
  };

  /** The rules changed since it was decided, and nothing was done about it yet. */
  const worthAnotherLook = (received: Received, episodes: ReadonlyMap<string, EpisodeRow>): boolean => {
    const episode = received.episodeId === null ? undefined : episodes.get(received.episodeId);
    return (
      episode !== undefined &&
      !episode.hadRun &&
      !episode.exhausted &&
      episode.catalogDigest !== null &&
      episode.catalogDigest !== context.loaded().catalog.digest
    );
  };

  /** The open episodes whose guard has ended. */
  const decideDue = async (): Promise<void> => {
    for (const episode of await store.dueEpisodes(clock.now(), SLICE)) {
      const evaluated = await evaluateAlert(context, subjectOf(episode));
      await commit([evaluated], null, episode.backoff);
      await yieldTurn();
    }
  };

  const commit = async (
    evaluated: readonly Evaluated[],
    kept: Omit<Kept, 'entries' | 'received'> | null,
    backoff = 0,
  ): Promise<void> => {
    let open = evaluated;
    for (let round = 0; open.length > 0; round += 1) {
      const decided = await store.decide(
        open.map((one) => one.request),
        clock.now(),
        admitter(context),
      );
      const changed = open.filter((_, index) => decided[index]?.type === 'changed');
      const writes = open.flatMap((one, index) => {
        const answer = decided[index];
        return answer?.type === 'decided' ? concluded(one, answer, backoff) : [];
      });
      if (writes.length > 0) await store.write(writes, clock.now());
      open = await again(changed, kept, round);
    }
  };

  const again = async (
    changed: readonly Evaluated[],
    kept: Omit<Kept, 'entries' | 'received'> | null,
    round: number,
  ): Promise<readonly Evaluated[]> => {
    const next: Evaluated[] = [];
    for (const one of changed) {
      if (round >= MOST_REDECISIONS) {
        next.push({
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
        continue;
      }
      const subject = subjectAgain(one.request, kept);
      next.push(subject === null ? one : await evaluateAlert(context, subject, true));
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
      },
      'decided',
    );
    if (decided.runId !== null) onAdmitted();
    if (request.episodeId === null || decided.runId !== null) return [];
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
        const [decided] = await store.decide([evaluated.request], clock.now(), admitter(context));
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

const yieldTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** The pure admission with ids made beforehand. */
export const admitter =
  (context: EngineContext, override: ReadonlySet<'cooldown'> = new Set()): Admit =>
  (wish, history, request) =>
    admit({
      plan: wish.plan,
      ledger: wish.ledger,
      history,
      decisionId: request.id,
      episodeId: request.episodeId,
      override,
      haltFile: context.halt.reason(),
      present: wish.present,
      runId: context.ids.next(),
      attemptId: context.ids.next(),
      inboxId: context.ids.next(),
      notifyId: context.ids.next(),
    });

const retryOf = (
  decided: Extract<Decided, { type: 'decided' }>,
  backoff: number,
  now: number,
): { readonly at: number; readonly backoff: number } | null => {
  if (BACKING_OFF.has(decided.reason))
    return { at: now + Math.min(FIRST_RETRY_MS * 2 ** Math.min(backoff, 10), LONGEST_RETRY_MS), backoff: backoff + 1 };
  if (decided.retryAt === null && (decided.reason === 'halted' || decided.reason === 'disabled'))
    return { at: WHEN_WOKEN, backoff: 0 };
  return decided.retryAt === null ? null : { at: Math.max(decided.retryAt, now + 1), backoff: 0 };
};

const tellRules = (context: EngineContext, one: Evaluated, decided: Extract<Decided, { type: 'decided' }>): void => {
  for (const shadow of one.shadows) context.telemetry.ruleDecision(shadow, 'shadow');
  const { rule } = one.request;
  if (rule === null) return;
  const { reason } = decided;
  const verdict =
    reason === 'shadow'
      ? 'shadow'
      : reason === 'escalated'
        ? 'escalated'
        : decided.runId === null && reason !== 'observed' && reason !== 'ignored'
          ? 'held'
          : 'acted';
  context.telemetry.ruleDecision(rule, verdict);
};

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

const firing = (labels: Alert['labels'], annotations: Alert['annotations'], startsAt: number): Alert => ({
  status: 'firing',
  labels,
  annotations,
  startsAt,
  endsAt: null,
  generatorURL: '',
  flags: [],
  hashed: {},
});

const subjectOf = (episode: EpisodeRow): Subject => ({
  alert: firing(episode.labels, episode.annotations, episode.startsAt),
  source: episode.source,
  groupSize: 1,
  truncated: 0,
  origin: 'retry',
  caller: null,
  alertId: null,
  deliveryId: null,
  episodeId: episode.id,
});

/** The subject of a request, from its own record. */
const subjectAgain = (request: DecisionRequest, kept: Omit<Kept, 'entries' | 'received'> | null): Subject | null => {
  const record = request.record as unknown as {
    labels?: Alert['labels'];
    annotations?: Alert['annotations'];
    starts_at?: number;
    source?: string;
    group_size?: number;
  };
  if (record.labels === undefined) return null;
  return {
    alert: firing(record.labels, record.annotations ?? {}, record.starts_at ?? request.at),
    source: record.source ?? kept?.source ?? '',
    groupSize: record.group_size ?? 1,
    truncated: kept?.truncated ?? 0,
    origin: request.origin,
    caller: request.caller,
    alertId: request.alertId,
    deliveryId: request.deliveryId,
    episodeId: request.episodeId,
  };
};
