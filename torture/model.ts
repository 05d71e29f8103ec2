// What admission is meant to do, written down a second time as simply as possible and without a look at the first: whole
// lists are searched each time, nothing is kept that can be counted. The torment `model` compares the two.

const S = 1_000;
const M = 60 * S;
const H = 60 * M;
const NEVER = Number.POSITIVE_INFINITY;

/** The policy of the torment's configuration. */
const POLICY = {
  attempts: [
    { max: 3, per: H },
    { max: 5, per: 24 * H },
  ],
  budget: [{ max: 6, per: H }],
  afterFailure: 5 * M,
  afterSuccess: M,
  concurrentTotal: 2,
  settle: 15 * M,
  hold: 15 * M,
  ttl: 24 * H,
  stale: 10 * M,
  expires: 30 * M,
  breaker: { failures: 2, trials: [H, 4 * H] },
  stormWindow: 5 * M,
};

/** Components by name; more than `storm` targets at once are a storm. `asks`: its rule waits for a human. */
export const COMPONENTS = {
  cache: { targets: ['c0', 'c1', 'c2', 'c3'], storm: 3, asks: false },
  shop: { targets: ['s0', 's1', 's2', 's3'], storm: 3, asks: true },
} as const;
export type ComponentName = keyof typeof COMPONENTS;
export const componentOf = (target: string): ComponentName => (target.startsWith('c') ? 'cache' : 'shop');

type Episode = {
  readonly target: string;
  state: 'firing' | 'quiet' | 'closed';
  readonly openedAt: number;
  startsAt: number;
  lastFiring: number;
  resolvedAt: number | null;
  next: number | null;
  backoff: number;
  exhausted: boolean;
};
type Run = {
  readonly target: string;
  readonly episode: Episode | null;
  readonly createdAt: number;
  state: 'awaiting_approval' | 'queued' | 'held' | 'lost' | 'done';
  outcome: string | null;
  cause: string | null;
  notBefore: number;
  releasedAt: number;
  endedAt: number | null;
  settleUntil: number | null;
  recoveries: number;
  givenBack: boolean;
};

export type Decision = readonly [origin: 'delivery' | 'retry' | 'manual', target: string, reason: string];

export const createModel = (start: number) => {
  let now = start;
  let halted: number | null = null;
  const halts: Array<readonly [number, number]> = [];
  const demoted = new Set<ComponentName>();
  const disabled = new Map<ComponentName, number>();
  const episodes: Episode[] = [];
  const runs: Run[] = [];
  const decisions: Decision[] = [];
  const effects: string[] = [];
  const manners = new Map<string, 'well' | 'refuses' | 'breaks' | 'holds'>();
  const sick = new Set<string>();

  /** How long ago, without the time in which everything stood still. */
  const age = (since: number): number =>
    [...halts, [halted ?? now, now] as const].reduce(
      (sum, [from, to]) => sum - Math.max(0, to - Math.max(from, since)),
      now - since,
    );
  const mine = (component: ComponentName) => runs.filter((run) => componentOf(run.target) === component);
  const used = (list: readonly Run[]) => list.filter((run) => !run.givenBack);
  const active = () => runs.filter((run) => run.state !== 'done');
  const failed = (run: Run) => run.outcome === 'unresolved' || run.outcome === 'stuck';
  const byEnd = (list: readonly Run[]) =>
    used(list)
      .filter((run) => run.endedAt !== null)
      .toSorted((left, right) => (left.endedAt ?? 0) - (right.endedAt ?? 0));
  const isDisabled = (component: ComponentName) => (disabled.get(component) ?? 0) > now;

  const restEnd = (component: ComponentName): number => {
    const last = byEnd(mine(component)).at(-1);
    if (last === undefined) return 0;
    return (last.endedAt ?? 0) + (failed(last) ? POLICY.afterFailure : POLICY.afterSuccess);
  };
  /** When there is room again in every window; 0: there is. */
  const roomAt = (list: readonly Run[], limits: typeof POLICY.attempts): number => {
    let at = 0;
    for (const { max, per } of limits) {
      const inside = used(list).filter((run) => now - run.createdAt < per);
      if (inside.length >= max) at = Math.max(at, (inside.at(-max)?.createdAt ?? now) + per);
    }
    return at;
  };
  const trialAt = (component: ComponentName): number => {
    let failures = 0;
    for (const run of byEnd(mine(component)).toReversed()) {
      if (!failed(run)) break;
      failures += 1;
    }
    const { failures: most, trials } = POLICY.breaker;
    if (failures < most) return 0;
    return (byEnd(mine(component)).at(-1)?.endedAt ?? 0) + (trials[Math.min(failures - most, trials.length - 1)] ?? 0);
  };
  const storms = (component: ComponentName): boolean => {
    const lately = episodes.filter(
      (one) => componentOf(one.target) === component && one.openedAt >= now - POLICY.stormWindow,
    );
    return new Set(lately.map((one) => one.target)).size >= COMPONENTS[component].storm;
  };
  const crowded = (self: Run | null, component: ComponentName): boolean => {
    const others = active().filter((run) => run !== self && run.state !== 'awaiting_approval');
    return others.some((run) => componentOf(run.target) === component) || others.length >= POLICY.concurrentTotal;
  };

  /** The first guard that refuses, with the time to ask again; null: admitted. */
  const refusal = (target: string, manual: boolean, asks: boolean): readonly [string, number] | null => {
    const component = componentOf(target);
    if (halted !== null) return ['halted', NEVER];
    if (isDisabled(component)) return ['disabled', disabled.get(component) ?? 0];
    const settling = runs.find((run) => run.target === target && (run.settleUntil ?? 0) > now);
    if (!manual && settling !== undefined) return ['settling', settling.settleUntil ?? 0];
    if (!manual && storms(component)) return ['storm', 0];
    if (trialAt(component) > now) return ['breaker_open', trialAt(component)];
    const stuck = runs.some((run) => run.target === target && run.outcome === 'stuck');
    if (stuck || active().some((run) => run.target === target)) return ['busy', now + 10 * S];
    if (!asks && crowded(null, component)) return ['concurrency', now + 10 * S];
    if (!asks && restEnd(component) > now) return ['cooldown', restEnd(component)];
    if (roomAt(mine(component), POLICY.attempts) > now)
      return ['attempts_used_up', roomAt(mine(component), POLICY.attempts)];
    if (roomAt(runs, POLICY.budget) > now) return ['budget', roomAt(runs, POLICY.budget)];
    return null;
  };

  const ask = (target: string, episode: Episode | null, origin: Decision[0]): void => {
    const component = componentOf(target);
    const asks = episode !== null && (COMPONENTS[component].asks || demoted.has(component));
    const refused = refusal(target, episode === null, asks);
    decisions.push([origin, target, refused?.[0] ?? (asks ? 'awaiting_approval' : 'admitted')]);
    if (refused === null) {
      runs.push({
        target,
        episode,
        createdAt: now,
        state: asks ? 'awaiting_approval' : 'queued',
        outcome: null,
        cause: null,
        notBefore: now,
        releasedAt: now,
        endedAt: null,
        settleUntil: null,
        recoveries: 0,
        givenBack: false,
      });
      if (episode !== null) Object.assign(episode, { next: null, backoff: 0 });
      return;
    }
    if (episode === null) return;
    if (refused[0] === 'storm') {
      const before = origin === 'retry' ? episode.backoff : 0;
      Object.assign(episode, { next: now + Math.min(30 * S * 2 ** before, 5 * M), backoff: before + 1 });
    } else Object.assign(episode, { next: Math.max(refused[1], now + 1), backoff: 0 });
  };

  const withdraw = (run: Run, cause: string): void => {
    Object.assign(run, { state: 'done', outcome: 'withdrawn', cause, endedAt: now, givenBack: true });
    if (run.episode === null) return;
    if (cause === 'denied' || cause === 'expired') Object.assign(run.episode, { exhausted: true, next: null });
    else run.episode.next = cause === 'stale' ? now + 30 * S : null;
  };
  const judge = (run: Run): void => {
    if (run.episode === null) return;
    const component = componentOf(run.target);
    const over =
      run.outcome === 'stuck' ||
      run.cause === 'ineffective' ||
      roomAt(mine(component), POLICY.attempts) > now ||
      trialAt(component) > now;
    Object.assign(run.episode, over ? { exhausted: true, next: null } : { next: now, backoff: 0 });
  };
  const finish = (run: Run, outcome: string, cause: string): void => {
    Object.assign(run, { state: 'done', outcome, cause, endedAt: now });
    if (outcome !== 'resolved') judge(run);
    else if (run.episode !== null) run.settleUntil = now + POLICY.settle;
  };
  const verify = (run: Run): void =>
    sick.has(run.target) ? finish(run, 'unresolved', 'not_verified') : finish(run, 'resolved', 'verified');
  const ineffective = (run: Run): void => {
    Object.assign(run, { outcome: 'unresolved', cause: 'ineffective', settleUntil: null });
    const alike = mine(componentOf(run.target)).filter((one) => one.cause === 'ineffective' && one.episode !== null);
    if (run.episode !== null && alike.some((one) => one !== run && now - one.createdAt < 24 * H))
      demoted.add(componentOf(run.target));
    judge(run);
  };

  const act = (run: Run): void => {
    const manner = manners.get(run.target) ?? 'well';
    if (manner === 'refuses') return finish(run, 'unresolved', 'step_failed');
    effects.push(run.target);
    if (manner === 'holds') run.state = 'held';
    else if (manner === 'breaks') finish(run, 'unresolved', 'step_failed');
    else verify(run);
  };
  const work = (): void => {
    if (halted !== null) return;
    for (const run of runs.filter((one) => one.state === 'lost')) {
      run.recoveries += 1;
      if (run.recoveries > 3) finish(run, 'stuck', 'indeterminate');
      else act(run);
    }
    for (const run of runs.filter((one) => one.state === 'queued' && one.notBefore <= now)) {
      const component = componentOf(run.target);
      const manual = run.episode === null;
      if (isDisabled(component) || age(run.releasedAt) > POLICY.stale || (!manual && storms(component)))
        withdraw(run, 'stale');
      else if (crowded(run, component)) run.notBefore = now + S;
      else act(run);
    }
  };
  const decideDue = (): void => {
    const due = episodes
      .filter((one) => one.state === 'firing' && one.next !== null && one.next <= now)
      .filter((one) => !active().some((run) => run.episode === one))
      .toSorted((left, right) => (left.next ?? 0) - (right.next ?? 0));
    for (const episode of due) ask(episode.target, episode, 'retry');
  };
  const resolve = (episode: Episode): void => {
    Object.assign(episode, { state: 'quiet', resolvedAt: now });
    for (const run of active())
      if (run.episode === episode && (run.state === 'awaiting_approval' || run.state === 'queued'))
        withdraw(run, 'resolved');
  };
  const tidy = (): void => {
    if (halted !== null) return;
    for (const run of runs)
      if (run.state === 'awaiting_approval' && age(run.createdAt) >= POLICY.expires) withdraw(run, 'expired');
    for (const run of runs) {
      if (run.settleUntil === null || run.settleUntil > now) continue;
      if (run.episode?.state === 'firing') ineffective(run);
      else run.settleUntil = null;
    }
    for (const one of episodes) {
      if (one.state === 'quiet' && (one.resolvedAt ?? 0) <= now - POLICY.hold) one.state = 'closed';
      else if (one.state === 'firing' && one.lastFiring <= now - POLICY.ttl) resolve(one);
    }
  };
  const current = (target: string): Episode | undefined => {
    const found = episodes.findLast((one) => one.target === target && one.state !== 'closed');
    if (found?.state === 'quiet' && now - (found.resolvedAt ?? 0) >= POLICY.hold) found.state = 'closed';
    return found?.state === 'closed' ? undefined : found;
  };

  return {
    decisions,
    effects,
    runs,
    now: () => now,
    halted: () => halted !== null,
    /** Something waits that has waited through a halt before: only the last one is left out of its age. */
    waitedThrough: () => active().some((run) => halts.some(([, to]) => to > run.releasedAt)),
    held: () => runs.filter((run) => run.state === 'held').map((run) => run.target),
    asking: () => runs.filter((run) => run.state === 'awaiting_approval').map((run) => run.target),
    isDisabled,
    startsAt: (target: string) => {
      const found = current(target);
      return found?.state === 'firing' ? found.startsAt : now;
    },
    fire(target: string): void {
      let episode = current(target);
      const settling = runs.filter((run) => run.target === target && run.settleUntil !== null);
      const repeated = episode?.state === 'firing';
      if (episode === undefined) {
        episode = {
          target,
          state: 'firing',
          openedAt: now,
          startsAt: now,
          lastFiring: now,
          resolvedAt: null,
          next: null,
          backoff: 0,
          exhausted: false,
        };
        episodes.push(episode);
      } else if (!repeated) Object.assign(episode, { state: 'firing', startsAt: now, resolvedAt: null });
      episode.lastFiring = now;
      if (repeated || episode.exhausted) decisions.push(['delivery', target, 'duplicate']);
      else ask(target, episode, 'delivery');
      for (const run of settling)
        if (episode.startsAt > (run.endedAt ?? 0) && episode.startsAt <= (run.settleUntil ?? 0)) ineffective(run);
    },
    resolve(target: string): void {
      const episode = current(target);
      decisions.push(['delivery', target, 'resolved']);
      if (episode?.state === 'firing') resolve(episode);
    },
    manner: (target: string, manner: 'well' | 'refuses' | 'breaks' | 'holds') => void manners.set(target, manner),
    well: (target: string, yes: boolean) => void (yes ? sick.delete(target) : sick.add(target)),
    release(target: string, good: boolean): void {
      const run = runs.find((one) => one.target === target && one.state === 'held');
      if (run === undefined) return;
      if (good) verify(run);
      else finish(run, 'unresolved', 'step_failed');
    },
    answer(target: string, yes: boolean): void {
      const run = runs.find((one) => one.target === target && one.state === 'awaiting_approval');
      if (run === undefined || age(run.createdAt) >= POLICY.expires) return;
      if (!yes) return withdraw(run, 'denied');
      const notBefore = Math.max(now, restEnd(componentOf(target)));
      Object.assign(run, { state: 'queued', releasedAt: now, notBefore });
    },
    recover: (target: string) => ask(target, null, 'manual'),
    halt: () => void (halted = now),
    resume(): void {
      halts.push([halted ?? now, now]);
      halted = null;
      for (const one of episodes) if (one.state === 'firing' && one.next === NEVER && !one.exhausted) one.next = now;
    },
    disable: (component: ComponentName, ms: number) => void disabled.set(component, now + ms),
    enable(component: ComponentName): void {
      disabled.delete(component);
      for (const one of episodes)
        if (one.state === 'firing' && one.next === NEVER && !one.exhausted && componentOf(one.target) === component)
          one.next = now;
    },
    advance: (ms: number) => void (now += ms),
    crash: () => {
      for (const run of runs) if (run.state === 'held') run.state = 'lost';
    },
    /** What the loops do until nothing moves. */
    settle(): void {
      for (let round = 0; round < 2; round += 1) {
        decideDue();
        work();
        tidy();
      }
    },
  };
};
