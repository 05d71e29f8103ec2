// What the torment `model` is configured with: the policy and the components, as the reference model reads
// them, and the shape of what it keeps.
export const S = 1_000;
export const M = 60 * S;
export const H = 60 * M;

/** The policy of the torment's configuration. */
export const POLICY = {
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
  /** Every day, of one component. */
  maintenance: { component: 'shop', from: 13 * H, to: 17 * H },
};

type Rung = { readonly strategy: string; readonly asks: boolean };
type Component = { readonly targets: readonly string[]; readonly storm: number; readonly ladder: readonly Rung[] };
/** Components by name; more than `storm` targets at once are a storm. A rung that `asks` waits for a human. */
export const COMPONENTS: Readonly<Record<'cache' | 'shop', Component>> = {
  cache: {
    targets: ['c0', 'c1', 'c2', 'c3'],
    storm: 3,
    ladder: [
      { strategy: 'mend', asks: false },
      { strategy: 'rebuild', asks: true },
    ],
  },
  shop: { targets: ['s0', 's1', 's2', 's3'], storm: 3, ladder: [{ strategy: 'mend', asks: true }] },
};
export type ComponentName = keyof typeof COMPONENTS;
export const componentOf = (target: string): ComponentName => (target.startsWith('c') ? 'cache' : 'shop');

type Time = number | null;
/** What Alertmanager says of an alert that fires. */
export type Heard = 'firing' | 'silenced' | 'absent' | 'unreachable';
export type Manner = 'well' | 'refuses' | 'breaks' | 'holds';

// prettier-ignore
export const newEpisode = (target: string, now: number) => ({
  target, state: 'firing' as 'firing' | 'quiet' | 'closed', openedAt: now, startsAt: now, lastFiring: now,
  resolvedAt: null as Time, next: null as Time, backoff: 0, exhausted: false,
});
export type Episode = ReturnType<typeof newEpisode>;
// prettier-ignore
export const newRun = (target: string, episode: Episode | null, now: number, { strategy, asks }: Rung, rung: number) => ({
  target, episode, strategy, rung, createdAt: now, notBefore: now, releasedAt: now, endedAt: null as Time, settleUntil: null as Time,
  state: (asks ? 'awaiting_approval' : 'queued') as 'awaiting_approval' | 'queued' | 'held' | 'lost' | 'done',
  outcome: null as string | null, cause: null as string | null, recoveries: 0, givenBack: false,
});
export type Run = ReturnType<typeof newRun>;
