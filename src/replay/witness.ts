// Stands around the scratch store of a backtest: sees what is decided, and knows without asking when something happens by
// itself. Most posts of a month repeat what is known, and for them nothing has to be looked up twice.
import { isObject } from '../base/json.ts';
import type { RunRow } from '../port/record.ts';
import type { Decided, DecisionRequest, NewDelivery, Received, Store } from '../port/store.ts';
import type { Outcome } from '../run/events.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { Write } from '../run/writes.ts';
import type { AssumedRun } from './virtual.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** One decision of the backtest. `delivery` is the place in the journal, null for what amends' own clock decided. */
export type Judged = {
  readonly at: number;
  readonly origin: Origin;
  readonly delivery: number | null;
  /** Numbers episodes in the order in which they opened; the same journal opens the same ones. */
  readonly episode: number | null;
  readonly alertname: string;
  readonly component: string | null;
  readonly target: string | null;
  readonly rule: string | null;
  readonly strategy: string | null;
  readonly reason: Reason;
  /** Of a shadow decision: what live would have come to, a guard's name or `admitted`. */
  readonly would: string | null;
};

export type EndedRun = { readonly strategy: string; readonly component: string; readonly outcome: Outcome };

type Watched = {
  readonly store: Store;
  readonly clock: VirtualClock;
  /** How long an episode of this component is believed without a firing entry, milliseconds. */
  readonly ttlOf: (component: string | null) => number;
  /** When somebody looked at an episode that was due. */
  lookedAt(episodeKey: string, due: number): number;
  /** When a question that nobody answers is seen to have expired. */
  expiredAt(run: AssumedRun, due: number): number;
  /** `id` is the decision's in the store. */
  decided(judged: Judged, id: string): void;
};

export type Witness = {
  /** The place in the journal of what is being decided. */
  delivery: number | null;
  halted: boolean;
  readonly store: Store;
  readonly runs: EndedRun[];
  /** The rule of each run after which a human was called. */
  readonly handedOver: string[];
  ended(run: EndedRun): void;
  /** A verified run is watched no longer, or is no longer verified. */
  settled(): void;
  /** When something happens by itself, milliseconds UTC, and whether the janitor does it; null: nothing will. */
  nextDue(): Promise<{ readonly at: number; readonly byJanitor: boolean } | null>;
  /** Whether a run might be taken up now. */
  hasWork(): Promise<boolean>;
  /** The janitor has looked at what was due by now. */
  tidied(): Promise<void>;
};

const FAR = Number.MAX_SAFE_INTEGER;
/** What is still asked after its time, as after a halt, is looked at again. */
const AGAIN_MS = 60_000;

export const createWitness = (watched: Watched): Witness => {
  const { store, clock } = watched;
  const silence = createSilence(watched.ttlOf);
  const questions = new Map<string, number>();
  const judge = createJudge();
  /** Undefined: something has changed since. */
  let evaluation: { readonly due: number; readonly looked: number } | null | undefined;
  let settling: number | null | undefined = null;
  let open: readonly RunRow[] | undefined = [];

  const evaluationDue = async (): Promise<typeof evaluation> => {
    if (evaluation !== undefined) return evaluation;
    const [first] = await store.dueEpisodes(FAR, 1);
    const due = first?.nextEvaluationAt ?? null;
    evaluation = first === undefined || due === null ? null : { due, looked: watched.lookedAt(first.key, due) };
    return evaluation;
  };
  const openRuns = async (): Promise<readonly RunRow[]> => (open ??= await store.activeRuns());
  const changed = (): void => {
    evaluation = undefined;
    open = undefined;
  };
  const ask = (request: DecisionRequest, runId: string): void => {
    const plan = request.wishes.at(-1)?.plan;
    if (plan === undefined) return;
    const run = { component: plan.component.name, target: plan.target.name, strategy: plan.runbook.strategy };
    const at = clock.now();
    questions.set(runId, watched.expiredAt({ ...run, at }, at + plan.policy.approval.expires));
  };

  const around: Store = {
    ...store,
    async receive(deliveries) {
      const received = await store.receive(deliveries);
      // Rules say who is decided first, so incidents are numbered before any rule is asked.
      judge.number(received);
      silence.hear(deliveries, received);
      // One that opens is decided first; one that is over is found to be so when its time comes.
      if (received.some((entries) => entries.some(({ change }) => change === 'reopened'))) changed();
      return received;
    },
    async decide(requests, now, admit, taker) {
      const decided = await store.decide(requests, now, admit, taker);
      decided.forEach((answer, index) => {
        const request = requests[index];
        if (request === undefined || answer.type !== 'decided') return;
        if (request.wishes.length > 0) changed();
        if (answer.reason === 'awaiting_approval' && answer.runId !== null) ask(request, answer.runId);
        watched.decided(judge.judged(request, answer, witness.delivery), request.id);
      });
      return decided;
    },
    async dueEpisodes(now, limit) {
      const due = (await evaluationDue())?.due ?? FAR;
      if (due > now) return [];
      evaluation = undefined;
      return store.dueEpisodes(now, limit);
    },
    settlingRuns: async (near) => (settling === null ? [] : store.settlingRuns(near)),
    async write(writes, now) {
      await store.write(writes, now);
      if (writes.some(({ type }) => MOVES.has(type))) changed();
    },
    async changeRun(runId, lease, now, change) {
      changed();
      return store.changeRun(runId, lease, now, (view) => {
        const made = change(view);
        if (view.run.rule !== null && made?.writes.some(isEscalation) === true) witness.handedOver.push(view.run.rule);
        return made;
      });
    },
    async extendRun(...given) {
      changed();
      return store.extendRun(...given);
    },
    async sweepEpisodes(now, holdOf, ttlOf) {
      const swept = await store.sweepEpisodes(now, holdOf, ttlOf);
      silence.swept(now);
      if (swept.expired.length > 0) changed();
      return swept;
    },
    // Nobody reads the inbox and the messages of a backtest, so nothing in them is brought up again or closed.
    list: async (kind, query) =>
      kind === 'inbox' || kind === 'outbox' ? { items: [], next: null } : store.list(kind, query),
  };

  const witness: Witness = {
    delivery: null,
    halted: false,
    store: around,
    runs: [],
    handedOver: [],
    ended(run) {
      witness.runs.push(run);
      if (run.outcome === 'resolved') settling = undefined;
    },
    settled() {
      settling = undefined;
    },
    async nextDue() {
      const byItself = [(await evaluationDue())?.looked ?? FAR, clock.next() ?? FAR];
      const byJanitor = [FAR];
      if (!witness.halted) {
        if (settling === undefined) settling = (await store.settledRuns(FAR))[0]?.settleUntil ?? null;
        byJanitor.push(settling ?? FAR, silence.endsAt(), ...questions.values());
        for (const { state, notBefore, leaseOwner } of await openRuns())
          if (state !== 'awaiting_approval' && leaseOwner === null) byItself.push(notBefore);
      }
      const [first, tidy] = [Math.min(...byItself), Math.min(...byJanitor)];
      const at = Math.min(first, tidy);
      return at === FAR ? null : { at, byJanitor: tidy === at };
    },
    async hasWork() {
      return !witness.halted && (await openRuns()).some(({ state }) => state !== 'awaiting_approval');
    },
    async tidied() {
      if (settling !== null && settling !== undefined && settling <= clock.now()) settling = undefined;
      for (const [runId, at] of questions) {
        if (at > clock.now()) continue;
        const waits = (await openRuns()).some(({ id, state }) => id === runId && state === 'awaiting_approval');
        if (waits) questions.set(runId, clock.now() + AGAIN_MS);
        else questions.delete(runId);
      }
    },
  };
  return witness;
};

/** Writes after which another episode or run may be due. */
const MOVES: ReadonlySet<Write['type']> = new Set(['episode.update', 'episodes.wake', 'halt', 'run.create']);

const isEscalation = (write: Write): boolean => write.type === 'inbox.open' && write.kind === 'escalation';

/** Episodes that are not heard of again. Those heard of last are the last of their map. */
const createSilence = (ttlOf: (component: string | null) => number) => {
  const firing = new Map<number, Map<string, number>>();
  return {
    hear(deliveries: readonly NewDelivery[], received: readonly (readonly Received[])[]): void {
      deliveries.forEach(({ at, alerts }, index) =>
        alerts.forEach(({ status, component }, entry) => {
          const episodeId = received[index]?.[entry]?.episodeId ?? null;
          if (episodeId === null || status === null) return;
          const ttl = ttlOf(component);
          const heard = firing.get(ttl) ?? new Map<string, number>();
          firing.set(ttl, heard);
          heard.delete(episodeId);
          if (status === 'firing') heard.set(episodeId, at);
        }),
      );
    },
    swept(now: number): void {
      for (const [ttl, heard] of firing) {
        for (const [episodeId, at] of heard) {
          if (at + ttl > now) break;
          heard.delete(episodeId);
        }
      }
    },
    endsAt(): number {
      let ends = FAR;
      for (const [ttl, heard] of firing) {
        const [first] = heard.values();
        if (first !== undefined) ends = Math.min(ends, first + ttl);
      }
      return ends;
    },
  };
};

const createJudge = () => {
  const episodes = new Map<string, number>();
  /** A name that comes a thousand times lies in memory once. */
  const names = new Map<string, string>();
  const numberOf = (id: string | null): number | null => {
    if (id === null) return null;
    const known = episodes.get(id) ?? episodes.size;
    episodes.set(id, known);
    return known;
  };
  const nameOf = (labels: unknown): string => {
    const name = isObject(labels) ? labels['alertname'] : undefined;
    if (typeof name !== 'string') return '';
    const known = names.get(name);
    if (known === undefined) names.set(name, name);
    return known ?? name;
  };
  return {
    number(received: readonly (readonly Received[])[]): void {
      for (const entries of received) for (const { episodeId } of entries) numberOf(episodeId);
    },
    judged(
      request: DecisionRequest,
      { reason, verdicts }: Extract<Decided, { type: 'decided' }>,
      delivery: number | null,
    ): Judged {
      const { origin, component, target } = request;
      // Where rules in shadow mode alone would have done something, nobody won: the last asked is named.
      const shadow = request.rule === null && reason === 'shadow' ? request.wishes.at(-1)?.plan : undefined;
      return {
        at: request.at,
        origin,
        delivery: origin === 'delivery' ? delivery : null,
        episode: numberOf(request.episodeId),
        alertname: nameOf(request.record['labels']),
        component,
        target,
        rule: request.rule ?? shadow?.rule ?? null,
        strategy: request.strategy ?? shadow?.runbook.strategy ?? null,
        reason,
        would: reason === 'shadow' ? (verdicts.find(({ passed }) => !passed)?.guard ?? 'admitted') : null,
      };
    },
  };
};
