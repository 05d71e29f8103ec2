// How much of its caps each component has used, and what stands in its way: for the API, the health answer and the metrics.
import type { Clock } from '../base/clock.ts';
import type { Loaded } from '../engine/context.ts';
import type { HaltFile } from '../engine/halt-file.ts';
import type { Collected, Vocabulary } from '../metrics.ts';
import type { DegradedRow, RunRow } from '../port/record.ts';
import type { Store } from '../port/store.ts';
import { cooldownEnd } from '../run/cooldown.ts';
import { inWindow } from '../run/guards.ts';
import type { Attempt, Disabled } from '../run/history.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Limit } from '../rule/limits.ts';
import type { BreakerState } from '../run/breaker.ts';
import { breakerState } from '../run/breaker.ts';

type WindowFigures = { readonly window: number; readonly used: number; readonly limit: number };
type BreakerFigures = BreakerState & { readonly strategy: string };

export type ComponentFigures = {
  readonly name: string;
  readonly disabled: Disabled | null;
  /** Of the component; where it is split by target, of the target that has used most. */
  readonly attempts: readonly WindowFigures[];
  /** Of all targets together, where it is split. */
  readonly fleet: readonly WindowFigures[];
  /** Where it is split, of the target that rests longest. */
  readonly cooldownUntil: number | null;
  /** One for each strategy that its kind has. */
  readonly breakers: readonly BreakerFigures[];
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
      ...[...policy.attempts, ...(policy.fleet?.attempts ?? [])].map((limit) => limit.per),
      policy.cooldown.max,
      policy.cooldown.afterSuccess,
    ]),
  );
  // A run may have ended long after its attempt was made.
  const strategies = strategiesOf(loaded());
  const pairs = components.flatMap(({ name, kind }) =>
    (strategies.get(kind) ?? []).map((strategy) => ({ component: name, strategy })),
  );
  const [attempts, controls, active, degraded, judged] = await Promise.all([
    store.attempts({ component: null, ledger: 'live', since: now - longest * 2 }),
    store.controls(),
    store.activeRuns(),
    store.degraded(),
    store.breakerAttempts(pairs),
  ]);
  return components.map(({ name, policy }) => {
    const own = attempts.filter((attempt) => attempt.component === name);
    const shares = policy.fleet === null ? [own] : [...byTarget(own).values()];
    const ends = shares.flatMap((share) => cooldownEnd(share, policy.cooldown, null) ?? []);
    const end = ends.length === 0 ? null : Math.max(...ends);
    const disabled = controls.components.get(name) ?? null;
    return {
      name,
      disabled: disabled === null || (disabled.until !== null && disabled.until <= now) ? null : disabled,
      attempts: policy.attempts.map((limit) => ({
        window: limit.per,
        limit: limit.max,
        used: Math.max(0, ...shares.map((share) => usedOf(share, limit, now))),
      })),
      fleet: (policy.fleet?.attempts ?? []).map((limit) => ({
        window: limit.per,
        limit: limit.max,
        used: usedOf(own, limit, now),
      })),
      breakers: pairs.flatMap(({ component, strategy }, index) =>
        component === name ? [{ strategy, ...breakerState(judged[index] ?? [], policy.breaker) }] : [],
      ),
      cooldownUntil: end === null || end <= now ? null : end,
      runs: active.filter((run) => run.component === name),
      degraded: degraded.filter((row) => row.component === name),
    };
  });
};

const usedOf = (attempts: readonly Attempt[], { per }: Limit, now: number): number =>
  attempts.filter((attempt) => inWindow(attempt.at, per, now)).length;

const byTarget = (attempts: readonly Attempt[]): ReadonlyMap<string, readonly Attempt[]> => {
  const targets = new Map<string, Attempt[]>();
  for (const attempt of attempts) targets.set(attempt.target, [...(targets.get(attempt.target) ?? []), attempt]);
  return targets;
};

/** By kind. */
const strategiesOf = ({ catalog }: Loaded): ReadonlyMap<string, readonly string[]> => {
  const strategies = new Map<string, string[]>();
  for (const { kind, strategy } of catalog.runbooks.values())
    strategies.set(kind, [...(strategies.get(kind) ?? []), strategy]);
  return strategies;
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
    demoted: [...controls.demotions.keys()],
    components: components.map(({ name, disabled, attempts, cooldownUntil, breakers }) => ({
      name,
      disabled: disabled !== null,
      attempts,
      cooldownUntil,
      breakers,
    })),
  };
};

/** The label values that what is loaded can give rise to. */
export const vocabularyOf = (loaded: Loaded): Vocabulary => {
  const { config, catalog } = loaded;
  const strategies = strategiesOf(loaded);
  return {
    components: [...config.components.values()].map(({ name, kind }) => ({
      name,
      strategies: strategies.get(kind) ?? [],
    })),
    rules: catalog.rules.rules.map((rule) => rule.name),
    actions: actionsOf(loaded),
    probes: config.probes.map(({ name: probe, component, target }) => ({ probe, component, target })),
    degradedModes: [...config.degradedModes.keys()],
    receivers: config.receivers.map((receiver) => receiver.name),
  };
};

/** What the runbooks of the declared components do, whichever way they go. */
const actionsOf = ({ config, catalog }: Loaded): readonly string[] => {
  const kinds = new Set([...config.components.values()].map(({ kind }) => kind));
  const runbooks = [...catalog.runbooks.values()].filter(({ kind }) => kinds.has(kind));
  const steps = runbooks.flatMap(({ before, steps: own, rollback, onSuccess, onFailure, onExhausted }) =>
    [before, own, rollback ?? [], onSuccess.steps, onFailure.steps, onExhausted.steps].flat(),
  );
  const named = steps.flatMap((step) =>
    isApproval(step) ? [] : [step.uses, ...(step.undo === null ? [] : [step.undo.uses])],
  );
  const checks = runbooks.flatMap(({ verify }) =>
    verify.flatMap((check) => (check.type === 'action' ? [check.uses] : [])),
  );
  return [...new Set([...named, ...checks])].toSorted();
};
