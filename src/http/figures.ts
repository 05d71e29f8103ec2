// How much of its caps each component has used, and what stands in its way: for the API, the health answer and the metrics.
import type { Clock } from '../base/clock.ts';
import type { Loaded } from '../engine/context.ts';
import type { HaltFile } from '../engine/halt-file.ts';
import type { Collected, Vocabulary } from '../metrics.ts';
import type { DegradedRow, RunRow, Store } from '../port/store.ts';
import { cooldownEnd } from '../run/cooldown.ts';
import type { Disabled } from '../run/history.ts';

export type ComponentFigures = {
  readonly name: string;
  readonly disabled: Disabled | null;
  readonly attempts: ReadonlyArray<{ readonly window: number; readonly used: number; readonly limit: number }>;
  readonly cooldownUntil: number | null;
  readonly runs: readonly RunRow[];
  readonly degraded: readonly DegradedRow[];
};

export type FiguresContext = {
  readonly store: Store;
  readonly clock: Pick<Clock, 'now'>;
  readonly halt: HaltFile;
  readonly loaded: () => Loaded;
};

export const componentFigures = async ({
  store,
  clock,
  loaded,
}: FiguresContext): Promise<readonly ComponentFigures[]> => {
  const now = clock.now();
  const components = [...loaded().config.components.values()];
  const longest = Math.max(
    0,
    ...components.flatMap(({ policy }) => [
      ...policy.attempts.map((limit) => limit.per),
      policy.cooldown.max,
      policy.cooldown.afterSuccess,
    ]),
  );
  // A run may have ended long after its attempt was made.
  const [attempts, controls, active, degraded] = await Promise.all([
    store.attempts({ component: null, ledger: 'live', since: now - longest * 2 }),
    store.controls(),
    store.activeRuns(),
    store.degraded(),
  ]);
  return components.map(({ name, policy }) => {
    const own = attempts.filter((attempt) => attempt.component === name);
    const end = cooldownEnd(own, policy.cooldown, null);
    const disabled = controls.components.get(name) ?? null;
    return {
      name,
      disabled: disabled === null || (disabled.until !== null && disabled.until <= now) ? null : disabled,
      attempts: policy.attempts.map(({ max, per }) => ({
        window: per,
        limit: max,
        used: own.filter((attempt) => attempt.at > now - per).length,
      })),
      cooldownUntil: end === null || end <= now ? null : end,
      runs: active.filter((run) => run.component === name),
      degraded: degraded.filter((row) => row.component === name),
    };
  });
};

/** What a scrape needs beyond the counters. */
export const createCollector = (context: FiguresContext) => async (): Promise<Collected> => {
  const [store, controls, degraded, components] = await Promise.all([
    context.store.figures(),
    context.store.controls(),
    context.store.degraded(),
    componentFigures(context),
  ]);
  return {
    store,
    halted: controls.halt.on || context.halt.reason() !== null,
    degraded: [...new Set(degraded.map((row) => row.mode))],
    components: components.map(({ name, disabled, attempts, cooldownUntil }) => ({
      name,
      disabled: disabled !== null,
      attempts,
      cooldownUntil,
    })),
  };
};

/** The label values that what is loaded can give rise to. */
export const vocabularyOf = ({ config, catalog }: Loaded): Vocabulary => {
  const strategies = new Map<string, string[]>();
  for (const { kind, strategy } of catalog.runbooks.values())
    strategies.set(kind, [...(strategies.get(kind) ?? []), strategy]);
  return {
    components: [...config.components.values()].map(({ name, kind }) => ({
      name,
      strategies: strategies.get(kind) ?? [],
    })),
    rules: catalog.rules.rules.map((rule) => rule.name),
    degradedModes: [...config.degradedModes.keys()],
    receivers: config.receivers.map((receiver) => receiver.name),
  };
};
