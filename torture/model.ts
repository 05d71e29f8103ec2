// What admission is meant to do, written down a second time as simply as possible and without a look at the first: whole
// lists are searched each time, nothing is kept that can be counted. The torment `model` compares the two.

import { componentOf, COMPONENTS, H, M, newEpisode, newRun, POLICY, S } from './model-given.ts';
import type { ComponentName, Episode, Heard, Manner, Run } from './model-given.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** In vain, after which an alert is no longer believed in. */
const LOOKS = 4;
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
  const manners = new Map<string, Manner>();
  const sick = new Set<string>();
  const silenced = new Set<string>();
  const vanished = new Set<string>();
  let reachable = true;

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

  /** When the window ends that is open; 0: none is. */
  const maintenanceEnd = (component: ComponentName): number => {
    const { from, to, component: whose } = POLICY.maintenance;
    const time = now % (24 * H);
    return component === whose && time >= from && time < to ? now - time + to : 0;
  };

  const restEnd = (component: ComponentName): number => {
    const last = byEnd(mine(component)).at(-1);
    return last === undefined ? 0 : (last.endedAt ?? 0) + (failed(last) ? POLICY.afterFailure : POLICY.afterSuccess);
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
  /** A strategy has a breaker of its own. */
  const trialAt = (component: ComponentName, strategy: string): number => {
    const newest = byEnd(mine(component).filter((run) => run.strategy === strategy)).toReversed();
    const well = newest.findIndex((run) => !failed(run));
    const failures = well === -1 ? newest.length : well;
    const { failures: most, trials } = POLICY.breaker;
    if (failures < most) return 0;
    return (newest[0]?.endedAt ?? 0) + (trials[Math.min(failures - most, trials.length - 1)] ?? 0);
  };
  /** The failures of the episode pick the rung, the last one repeats; one that was ineffective is spent. Null: none is left. */
  const rungOf = (episode: Episode, since = 0): number | null => {
    const failures = runs.filter((run) => run.episode === episode && failed(run) && run.createdAt >= since);
    const { ladder } = COMPONENTS[componentOf(episode.target)];
    for (let rung = Math.min(failures.length, ladder.length - 1); rung < ladder.length; rung += 1)
      if (!failures.some((run) => run.cause === 'ineffective' && run.rung === rung)) return rung;
    return null;
  };
  const heard = (target: string): Heard => {
    if (!reachable) return 'unreachable';
    return vanished.has(target) ? 'absent' : silenced.has(target) ? 'silenced' : 'firing';
  };
  const storms = (component: ComponentName): boolean => {
    const lately = episodes.filter((one) => one.openedAt >= now - POLICY.stormWindow).map((one) => one.target);
    return new Set(lately.filter((target) => componentOf(target) === component)).size >= COMPONENTS[component].storm;
  };
  const crowded = (self: Run | null, component: ComponentName): boolean => {
    const others = active().filter((run) => run !== self && run.state !== 'awaiting_approval');
    return others.some((run) => componentOf(run.target) === component) || others.length >= POLICY.concurrentTotal;
  };

  /** The first guard that refuses, with the time to ask again; null: admitted. */
  const refusal = (
    target: string,
    manual: boolean,
    asks: boolean,
    strategy: string,
  ): readonly [string, number] | null => {
    const component = componentOf(target);
    if (halted !== null) return ['halted', NEVER];
    if (isDisabled(component)) return ['disabled', disabled.get(component) ?? 0];
    if (maintenanceEnd(component) > now) return ['maintenance', maintenanceEnd(component)];
    const settling = runs.find((run) => run.target === target && (run.settleUntil ?? 0) > now);
    if (!manual && settling !== undefined) return ['settling', settling.settleUntil ?? 0];
    // Whoever is held by what amends knows by itself is not asked about.
    if (storms(component)) return ['storm', 0];
    if (!manual && heard(target) !== 'firing') return [heard(target) === 'silenced' ? 'silenced' : 'unconfirmed', 0];
    if (trialAt(component, strategy) > now) return ['breaker_open', trialAt(component, strategy)];
    const stuck = runs.some((run) => run.target === target && run.outcome === 'stuck');
    if (stuck || active().some((run) => run.target === target)) return ['busy', now + 10 * S];
    if (!asks && crowded(null, component)) return ['concurrency', now + 10 * S];
    if (!asks && restEnd(component) > now) return ['cooldown', restEnd(component)];
    const [room, budget] = [roomAt(mine(component), POLICY.attempts), roomAt(runs, POLICY.budget)];
    if (room > now) return ['attempts_used_up', room];
    return budget > now ? ['budget', budget] : null;
  };

  const ask = (target: string, episode: Episode | null, origin: Decision[0]): void => {
    const component = componentOf(target);
    const rung = episode === null ? 0 : (rungOf(episode, now - 24 * H) ?? 0);
    const step = COMPONENTS[component].ladder[rung] ?? { strategy: '', asks: false };
    const asks = episode !== null && (step.asks || demoted.has(component));
    const refused = refusal(target, episode === null, asks, step.strategy);
    decisions.push([origin, target, refused?.[0] ?? (asks ? 'awaiting_approval' : 'admitted')]);
    if (refused === null) {
      runs.push(newRun(target, episode, now, { ...step, asks }, rung));
      if (episode !== null) Object.assign(episode, { next: null, backoff: 0 });
      return;
    }
    if (episode === null) return;
    if (refused[1] === 0) {
      const before = origin === 'retry' ? episode.backoff : 0;
      if (refused[0] === 'unconfirmed' && heard(target) === 'absent' && before >= LOOKS) return forget(episode);
      Object.assign(episode, { next: now + Math.min(30 * S * 2 ** before, 5 * M), backoff: before + 1 });
    } else Object.assign(episode, { next: Math.max(refused[1], now + 1), backoff: 0 });
  };

  /** It was looked for again and again, and is not there: it counts as resolved. */
  const forget = (episode: Episode): void =>
    void Object.assign(episode, { state: 'quiet', resolvedAt: now, next: null, backoff: 0 });
  const withdraw = (run: Run, cause: string, again = cause === 'stale'): void => {
    Object.assign(run, { state: 'done', outcome: 'withdrawn', cause, endedAt: now, givenBack: true });
    if (run.episode === null) return;
    if (cause === 'denied' || cause === 'expired') Object.assign(run.episode, { exhausted: true, next: null });
    else run.episode.next = again ? now + 30 * S : null;
  };
  const judge = (run: Run): void => {
    if (run.episode === null) return;
    const component = componentOf(run.target);
    const spent = roomAt(mine(component), POLICY.attempts) > now || trialAt(component, run.strategy) > now;
    const over = spent || run.outcome === 'stuck' || rungOf(run.episode) === null;
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
      const closed = isDisabled(component) || maintenanceEnd(component) > now;
      const said = run.episode === null ? 'firing' : heard(run.target);
      if (closed || age(run.releasedAt) > POLICY.stale || said === 'silenced') withdraw(run, 'stale');
      else if (said === 'absent') withdraw(run, 'resolved', true);
      else if (said === 'unreachable') run.notBefore = now + S;
      else if (storms(component)) withdraw(run, 'stale');
      else if (crowded(run, component)) run.notBefore = now + S;
      else act(run);
    }
  };
  const decideDue = (): void => {
    const due = episodes
      .filter((one) => one.state === 'firing' && one.next !== null && one.next <= now)
      .filter((one) => !active().some((run) => run.episode === one))
      .toSorted((left, right) => (left.next ?? 0) - (right.next ?? 0))
      // By priority, which is the same, and then by the rule, which is called like the component.
      .toSorted((left, right) => componentOf(left.target).localeCompare(componentOf(right.target)));
    for (const episode of due) ask(episode.target, episode, 'retry');
  };
  const resolve = (episode: Episode): void => {
    Object.assign(episode, { state: 'quiet', resolvedAt: now });
    const waiting = active().filter((run) => run.state === 'awaiting_approval' || run.state === 'queued');
    for (const run of waiting) if (run.episode === episode) withdraw(run, 'resolved');
  };
  const tidy = (): void => {
    if (halted !== null) return;
    for (const run of runs)
      if (run.state === 'awaiting_approval' && age(run.createdAt) >= POLICY.expires) withdraw(run, 'expired');
    for (const run of runs.filter((one) => one.settleUntil !== null && one.settleUntil <= now))
      if (run.episode?.state === 'firing' && heard(run.target) !== 'absent') ineffective(run);
      else run.settleUntil = null;
    for (const one of episodes) {
      if (one.state === 'quiet' && (one.resolvedAt ?? 0) <= now - POLICY.hold) one.state = 'closed';
      else if (one.state === 'firing' && one.lastFiring <= now - POLICY.ttl) resolve(one);
    }
  };
  const wake = (list: readonly Episode[]): void => {
    for (const one of list) if (one.state === 'firing' && one.next === NEVER && !one.exhausted) one.next = now;
  };
  const current = (target: string): Episode | undefined => {
    for (const one of episodes)
      if (one.target === target && one.state === 'quiet' && now - (one.resolvedAt ?? 0) >= POLICY.hold)
        one.state = 'closed';
    return episodes.find((one) => one.target === target && one.state !== 'closed');
  };

  return {
    decisions,
    effects,
    runs,
    halted: () => halted !== null,
    held: () => runs.filter((run) => run.state === 'held').map((run) => run.target),
    asking: () => runs.filter((run) => run.state === 'awaiting_approval').map((run) => run.target),
    /** Nothing may begin there now, but for what has begun. */
    isClosed: (target: string) =>
      isDisabled(componentOf(target)) || maintenanceEnd(componentOf(target)) > now || heard(target) !== 'firing',
    silence: (target: string, on: boolean) => void (on ? silenced.add(target) : silenced.delete(target)),
    vanish: (target: string) => void vanished.add(target),
    reach: (yes: boolean) => void (reachable = yes),
    startsAt: (target: string) => (current(target)?.state === 'firing' ? (current(target)?.startsAt ?? now) : now),
    fire(target: string): void {
      vanished.delete(target);
      let episode = current(target);
      const settling = runs.filter((run) => run.target === target && run.settleUntil !== null);
      const repeated = episode?.state === 'firing';
      if (episode === undefined) {
        episode = newEpisode(target, now);
        episodes.push(episode);
      } else if (!repeated) Object.assign(episode, { state: 'firing', startsAt: now, resolvedAt: null });
      episode.lastFiring = now;
      if (repeated || episode.exhausted) decisions.push(['delivery', target, 'duplicate']);
      else ask(target, episode, 'delivery');
      for (const run of settling)
        if (episode.startsAt > (run.endedAt ?? 0) && episode.startsAt <= (run.settleUntil ?? 0)) ineffective(run);
    },
    resolve(target: string): void {
      vanished.add(target);
      const episode = current(target);
      decisions.push(['delivery', target, 'resolved']);
      if (episode?.state === 'firing') resolve(episode);
    },
    manner: (target: string, manner: Manner) => void manners.set(target, manner),
    well: (target: string, yes: boolean) => void (yes ? sick.delete(target) : sick.add(target)),
    release(target: string, good: boolean): void {
      for (const run of runs.filter((one) => one.target === target && one.state === 'held'))
        if (good) verify(run);
        else finish(run, 'unresolved', 'step_failed');
    },
    answer(target: string, yes: boolean): void {
      const run = runs.find((one) => one.target === target && one.state === 'awaiting_approval');
      if (run === undefined || age(run.createdAt) >= POLICY.expires) return;
      if (!yes) return withdraw(run, 'denied');
      Object.assign(run, { state: 'queued', releasedAt: now, notBefore: Math.max(now, restEnd(componentOf(target))) });
    },
    recover: (target: string) => ask(target, null, 'manual'),
    halt: () => void (halted = now),
    resume(): void {
      halts.push([halted ?? now, now]);
      halted = null;
      wake(episodes);
    },
    disable: (component: ComponentName, ms: number) => void disabled.set(component, now + ms),
    enable(component: ComponentName): void {
      disabled.delete(component);
      wake(episodes.filter((one) => componentOf(one.target) === component));
    },
    advance: (ms: number) => void (now += ms),
    crash: () => runs.filter((run) => run.state === 'held').forEach((run) => void (run.state = 'lost')),
    /** What the loops do until nothing moves. */
    settle(): void {
      for (const loop of [decideDue, work, tidy, decideDue, work, tidy]) loop();
    },
  };
};
