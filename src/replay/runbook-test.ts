// A test of a runbook: the real engine goes through it, its steps come out as the test says, and the way it took is held
// against the one that was expected.
import type { Result } from '../base/failure.ts';
import { ok, refused } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { Config, ConfiguredComponent } from '../config.ts';
import type { Loaded } from '../engine/context.ts';
import type { Sources } from '../port/sources.ts';
import type { InboxRow, RunRow } from '../port/record.ts';
import { createRuleSet } from '../rule/decide.ts';
import { loadRules } from '../rule/load.ts';
import type { Outcome, OutcomeCause, StoredEvent } from '../run/events.ts';
import { fold } from '../run/state.ts';
import type { RunState, StepStatus } from '../run/state.ts';
import type { Runbook } from '../runbook/runbook.ts';
import { cannedActions } from './canned.ts';
import { begin, DEFAULT_START, TestStopped } from './rule-test.ts';
import type { RunbookTest } from './test-schema.ts';
import type { TestParts, TestWorld } from './test-world.ts';
import { createTestWorld } from './test-world.ts';

/** The way that a run took, in the words of a test's `exp_` members. Steps are named by their ids. */
export type RunObserved = {
  readonly path: readonly string[];
  readonly with: Readonly<Record<string, JsonObject>>;
  readonly outputs: Readonly<Record<string, JsonObject>>;
  readonly steps: Readonly<Record<string, StepStatus>>;
  readonly tries: Readonly<Record<string, number>>;
  readonly outcome: Outcome | null;
  readonly cause: OutcomeCause | null;
  readonly error: string;
  readonly undone: readonly string[];
  readonly rollback: readonly string[];
  readonly after: readonly string[];
  readonly degraded: readonly string[];
  readonly escalated: string | null;
  readonly inbox: readonly string[];
};

export type Placed = {
  readonly loaded: Loaded;
  readonly runbook: Runbook;
  readonly component: ConfiguredComponent;
  readonly target: string;
};

const RULE = 'the-test';

export const observeRunbookTest = async (
  parts: TestParts,
  placed: Placed,
  test: RunbookTest,
): Promise<Result<RunObserved>> => {
  const { runbook, component, target } = placed;
  const own = ownRule(parts, placed, test);
  if (!own.ok) return own;
  const canned = cannedActions(parts.actions, test.actions ?? {});
  const labels = { alertname: RULE, ...test.alert?.labels, component: component.name, target };
  const sources: Sources = {
    alert: async () => ({ state: 'firing', detail: 'as the test says' }),
    query: async (promql) => canned.query(promql, runbook, labels),
  };
  const start = Date.parse(DEFAULT_START);
  const world = await createTestWorld({
    parts,
    loaded: own.value,
    start,
    actions: canned.actions,
    sources: () => sources,
  });
  try {
    await begin(world, test.degraded ?? [], component.name, target);
    await world.post([
      { status: 'firing', labels, annotations: test.alert?.annotations ?? {}, startsAt: world.clock.now() },
    ]);
    return ok(await observe(world, await toItsEnd(world, test), runbook));
  } finally {
    await world.close();
  }
};

/** The runbook as the only thing that may be done, whenever its component has an alert; nothing stands in its way. */
const ownRule = (parts: TestParts, { loaded, runbook, component }: Placed, test: RunbookTest): Result<Loaded> => {
  const { config, catalog } = loaded;
  const rule = {
    name: RULE,
    conditions: { all: [{ fact: 'component', operator: 'equal', value: component.name }] },
    event: {
      type: 'remediate',
      params: {
        runbook: runbook.name,
        mode: 'auto',
        accept_destructive: true,
        with: test.inputs ?? {},
        // One more would be one too many: then the run is the last that is tried.
        ...(test.exhausted === true ? { limits: { attempts: [{ max: 1, per: '1h' }] } } : {}),
      },
    },
  };
  const policy = {
    ...component.policy,
    mode: 'auto' as const,
    maintenance: [],
    minHealthy: null,
    attempts: [{ max: 100, per: 3_600_000 }],
  };
  const components = new Map([...config.components, [component.name, { ...component, policy }]]);
  const free: Config = { ...config, recovery: { ...config.recovery, mode: 'auto' }, components, alertmanagers: [] };
  const { rules, problems } = loadRules([{ file: RULE, text: JSON.stringify(rule) }], {
    facts: parts.facts,
    runbooks: catalog.runbooks,
    conditionFiles: [],
    recovery: free.recovery,
    components,
    degradedModes: new Set(config.degradedModes.keys()),
  });
  if (problems.length > 0) return refused(problems);
  return ok({ config: free, catalog: { ...catalog, rules: createRuleSet(rules, parts.facts) } });
};

const MOST_QUESTIONS = 100;

const toItsEnd = async (world: TestWorld, test: RunbookTest): Promise<RunRow> => {
  const find = async (): Promise<RunRow> => {
    const { items } = await world.store.list('runs', { limit: 1, cursor: null, filters: {}, since: null });
    const [run] = items;
    if (run !== undefined) return run;
    const decided = await world.store.list('decisions', { limit: 1, cursor: null, filters: {}, since: null });
    const note = decided.items[0]?.record['note'];
    throw new TestStopped(
      `there was no run: ${decided.items[0]?.reason ?? ''} ${typeof note === 'string' ? note : ''}`.trim(),
    );
  };
  for (let question = 0; question < MOST_QUESTIONS; question += 1) {
    const run = await find();
    if (run.state === 'done') return run;
    if (run.state !== 'awaiting_approval') throw new TestStopped(`the run came to rest as ${run.state}`);
    await answer(world, test, run);
  }
  throw new TestStopped('the run asks without end');
};

const answer = async (world: TestWorld, test: RunbookTest, run: RunRow): Promise<void> => {
  const stored = await world.store.run(run.id);
  const asked = stored === null ? null : fold(stored.plan, stored.events).asked;
  const id = (asked?.step ?? '').split('/').at(-1) ?? '';
  const said = test.actions?.[id] ?? 'approve';
  const { desk } = world.engine;
  if (said === 'expire') await world.goOnTo((asked?.expiresAt ?? world.clock.now()) + 1_000);
  else if (said === 'deny') await desk.deny({ runId: run.id, step: null, by: 'test', comment: 'as the test says' });
  else await desk.approve({ runId: run.id, step: null, by: 'test', comment: 'as the test says' });
  await world.settle();
};

const observe = async (world: TestWorld, row: RunRow, runbook: Runbook): Promise<RunObserved> => {
  const stored = await world.store.run(row.id);
  if (stored === null) throw new TestStopped('the run is not on record');
  const { plan, events } = stored;
  const state = fold(plan, events);
  const { items } = await world.store.list('inbox', { limit: 500, cursor: null, filters: {}, since: null });
  const begun = (...phases: readonly string[]): readonly string[] => begunIn(events, phases);
  const known = [...state.steps].filter(([key]) => !key.startsWith('undo/'));
  const of = <T>(value: (key: string, step: RunState['steps'] extends ReadonlyMap<string, infer S> ? S : never) => T) =>
    Object.fromEntries(known.map(([key, step]) => [idOf(key), value(key, step)]));
  return {
    path: begun('before', 'steps'),
    with: Object.fromEntries(
      events.flatMap(({ event }) => (event.type === 'step_started' ? [[nameOf(event.step), event.input]] : [])),
    ),
    outputs: of((_, { outputs }) => outputs),
    steps: { ...statusesOf(runbook), ...of((key, step) => undoneOr(state, key, step.status)) },
    tries: of((_, { tries }) => tries),
    outcome: state.outcome,
    cause: state.cause,
    error: errorOf(state),
    undone: [...state.steps].flatMap(([key, { status }]) => (status === 'undone' ? [idOf(key)] : [])),
    rollback: begun('rollback'),
    after: begun('on_success', 'on_failure', 'on_exhausted'),
    degraded: [...new Set((await world.store.degraded()).map(({ mode }) => mode))].toSorted(),
    escalated: highest(items),
    inbox: items
      .filter(({ kind }) => kind === 'note')
      .map(({ title }) => title)
      .toReversed(),
  };
};

const idOf = (key: string): string => key.slice(key.indexOf('/') + 1);
/** An undo has the id of its step; apart from that ids are unique. */
const nameOf = (key: string): string => (key.startsWith('undo/') ? key : idOf(key));

const begunIn = (events: readonly StoredEvent[], phases: readonly string[]): readonly string[] =>
  events.flatMap(({ event }) => {
    const key =
      event.type === 'step_started' && event.try === 1
        ? event.step
        : event.type === 'approval_requested'
          ? event.step
          : null;
    return key !== null && phases.includes(key.slice(0, key.indexOf('/'))) ? [idOf(key)] : [];
  });

const statusesOf = (runbook: Runbook): Record<string, StepStatus> =>
  Object.fromEntries([...runbook.before, ...runbook.steps].map(({ id }) => [id, 'pending']));

const undoneOr = (state: RunState, key: string, status: StepStatus): StepStatus => {
  const undo = state.steps.get(`undo/${idOf(key)}`)?.status;
  return undo === 'undone' || undo === 'undo_failed' ? undo : status;
};

const errorOf = (state: RunState): string => {
  const failed = [...state.steps].flatMap(([key, { error, status }]) =>
    error !== null && (status === 'failed' || status === 'unknown' || status === 'undo_failed')
      ? [`${key}: ${error}`]
      : [],
  );
  const checks = (state.verification?.checks ?? []).filter((check) => !check.passed);
  return [...new Set([state.detail, ...failed, ...checks.map(({ check, detail }) => `${check}: ${detail}`)])]
    .filter((text) => text !== '')
    .join('; ');
};

const highest = (items: readonly InboxRow[]): string | null =>
  items
    .filter(({ kind }) => kind === 'escalation')
    .flatMap(({ severity }) => severity ?? [])
    .toSorted()[0] ?? null;
