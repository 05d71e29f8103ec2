// The desk: what people ask for, each act one transaction with its audit row.
import type { Json, JsonObject } from '../base/json.ts';
import { bare } from '../base/json.ts';
import type { Result } from '../base/failure.ts';
import { ok } from '../base/failure.ts';
import type { Answer, Desk, Recovery, RecoverRequest } from '../port/desk.ts';
import type { DecisionRequest, RunView } from '../port/store.ts';
import { planDigest } from '../run/admission.ts';
import type { RunEvent } from '../run/events.ts';
import { firstRefusal, restOf } from '../run/guards.ts';
import { haltedSince } from '../run/halted.ts';
import type { Plan } from '../run/plan.ts';
import type { RunState } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import type { ConfiguredComponent } from '../config.ts';
import type { Target } from '../alert/component.ts';
import { changedSince, needsAnother } from './bound.ts';
import type { EngineContext } from './context.ts';
import { admitter } from './decider.ts';
import type { Decider } from './decider.ts';
import { historyQueryOf, presentOf } from './evaluate.ts';
import { closeBreaker } from './breaker.ts';
import { makePlan } from './planner.ts';
import { askPresent } from './present.ts';
import type { Addition } from './record.ts';
import { record } from './record.ts';
import { restoreRule } from './restore.ts';
import { endNow } from './withdraw.ts';

type Wakes = {
  readonly decider: Pick<Decider, 'wake' | 'decideNow'>;
  readonly runner: { wake(): void; killSteps(why: string): void };
};

type No = { readonly ok: false; readonly status: 404 | 409 | 422; readonly problem: string; readonly mend?: string };
const no = (status: No['status'], problem: string): No => ({ ok: false, status, problem });
/** `list` is the route that has them all. */
const none = (what: string, list: string): No => ({
  ...no(404, `There is no ${what}.`),
  mend: `GET /api/v1/${list} lists what there is`,
});

export const createDesk = (context: EngineContext, wakes: Wakes): Desk => {
  const { store, clock } = context;

  /** An act on a run: what may not be is answered 409 and audited all the same. */
  const onRun = async (
    runId: string,
    by: string,
    action: string,
    why: string,
    act: (view: RunView, state: RunState) => Addition | string,
  ): Promise<Answer<{ runId: string; state: string }>> => {
    let refusal: string | null = null;
    const audit = (outcome: string): Write => ({
      type: 'audit',
      actor: by,
      action: `run.${action}`,
      subject: runId,
      detail: { outcome, ...(why === '' ? {} : { why }) },
    });
    const recorded = await record(context, runId, null, (view, state) => {
      const addition = act(view, state);
      if (typeof addition === 'string') {
        refusal = addition;
        return { events: [], writes: [audit(`refused: ${addition}`)] };
      }
      return { ...addition, writes: [...addition.writes, audit('done')] };
    });
    if (recorded === null) return none(`run ${runId}`, 'runs');
    if (refusal !== null) return no(409, refusal);
    wakes.runner.wake();
    wakes.decider.wake();
    return { ok: true, value: { runId, state: recorded.state.name } };
  };

  const answerable = (view: RunView, state: RunState, step: string | null): string | null => {
    if (state.name !== 'awaiting_approval' || state.asked === null)
      return `the run is ${state.name}${state.cause === null ? '' : ` (${state.cause})`}: nobody is asked`;
    if (step !== null && state.asked.step !== step)
      return `the run asks about ${state.asked.step ?? 'its start'}, not about ${step}`;
    const stoodStill = haltedSince(view.history.halt, state.asked.at, view.now);
    if (view.now - stoodStill >= state.asked.expiresAt) return 'the question has expired';
    if (state.asked.planDigest !== planDigest(view.plan)) return 'the plan is not the one that was asked about';
    return null;
  };
  const closeQuestion = (runId: string, by: string, comment: string): Write => ({
    type: 'inbox.close_for_run',
    runId,
    kind: 'approval',
    by,
    comment,
  });

  return {
    async approve({ runId, step, by, comment }) {
      const another = await needsAnother(context, runId, by);
      return onRun(runId, by, 'approve', comment, (view, state) => {
        const refusal = answerable(view, state, step) ?? changedSince(context.loaded(), view.plan) ?? another;
        if (refusal !== null) return refusal;
        const asked = state.asked?.step ?? null;
        const rest = asked === null ? restOf(view.plan, view.history) : null;
        const event: RunEvent = { type: 'approved', step: asked, by, notBefore: Math.max(view.now, rest ?? 0) };
        return { events: [event], writes: [closeQuestion(runId, by, comment)] };
      });
    },
    deny: ({ runId, step, by, comment }) =>
      onRun(runId, by, 'deny', comment, (view, state) => {
        const refusal = answerable(view, state, step);
        if (refusal !== null) return refusal;
        const event: RunEvent = { type: 'denied', step: state.asked?.step ?? null, by, reason: comment };
        if (event.step !== null) return { events: [event], writes: [closeQuestion(runId, by, comment)] };
        return endNow(
          context,
          view,
          state,
          [event],
          'withdrawn',
          'denied',
          `denied by ${by}${comment === '' ? '' : `: ${comment}`}`,
        );
      }),
    cancel: ({ runId, by, reason }) =>
      onRun(runId, by, 'cancel', reason, (view, state) => {
        if (state.name === 'done') return `the run is done (${state.outcome ?? ''})`;
        if (state.stop !== null) return 'the run is being stopped already';
        const event: RunEvent = { type: 'stop_requested', by, why: `cancelled${reason === '' ? '' : `: ${reason}`}` };
        const idle = state.startedAt === null && view.run.leaseOwner === null;
        if (idle) return endNow(context, view, state, [event], 'withdrawn', 'cancelled', `cancelled by ${by}`);
        if (state.name === 'awaiting_approval') {
          return {
            events: [event, { type: 'denied', step: state.asked?.step ?? null, by, reason: 'cancelled' }],
            writes: [closeQuestion(runId, by, 'cancelled')],
          };
        }
        return { events: [event], writes: [] };
      }),
    async disable({ scope, name, forMs, by, reason }) {
      if (!isDeclared(context.loaded(), scope, name)) return none(`${scope} ${name}`, `${scope}s`);
      const until = forMs === null ? null : clock.now() + forMs;
      await store.write(
        [{ type: 'disable', scope, name, until, by, reason }, audited(by, `${scope}.disable`, name, { until, reason })],
        clock.now(),
      );
      return { ok: true, value: { until } };
    },
    async enable({ scope, name, by }) {
      // One that is gone from the files may be disabled still.
      const { components, rules } = await store.controls();
      const disabled = scope === 'component' ? components : rules;
      if (!isDeclared(context.loaded(), scope, name) && !disabled.has(name))
        return none(`${scope} ${name}`, `${scope}s`);
      const component = scope === 'component' ? name : null;
      await store.write(
        [
          { type: 'enable', scope, name, by },
          { type: 'episodes.wake', component, at: clock.now() },
          audited(by, `${scope}.enable`, name, {}),
        ],
        clock.now(),
      );
      wakes.decider.wake();
      return { ok: true, value: { name } };
    },
    restore: (act) => restoreRule(context, act),
    async halt({ by, reason, hard }) {
      await store.write(
        [{ type: 'halt', on: true, hard, by, reason }, audited(by, 'halt', 'all', { reason, hard })],
        clock.now(),
      );
      if (hard) wakes.runner.killSteps(`halted by ${by}`);
      return { ok: true, value: { on: true } };
    },
    async resume({ by, reason }) {
      const file = context.halt.reason();
      if (file !== null) return no(409, `${file}: remove it first`);
      const { on } = (await store.controls()).halt;
      // Once more is no mistake, and nothing that anybody has to read about later; but what a file held that was gone before it
      // was on record need not wait any longer.
      const lifted: readonly Write[] = on
        ? [{ type: 'halt', on: false, hard: false, by, reason }, audited(by, 'resume', 'all', { reason })]
        : [];
      const wake: Write = { type: 'episodes.wake', component: null, at: clock.now(), heldBy: 'halted' };
      await store.write([...lifted, wake], clock.now());
      wakes.runner.wake();
      wakes.decider.wake();
      return { ok: true, value: { on: false, changed: on } };
    },
    recover: (request) => recover(context, wakes, request),
    async closeBreaker(act) {
      const answer = await closeBreaker(context, act);
      if (answer.ok) wakes.decider.wake();
      return answer;
    },
    async closeInbox({ id, by, comment }) {
      const entry = await store.inbox(id);
      if (entry === null) return none(`inbox entry ${id}`, 'inbox');
      if (entry.status === 'closed') return no(409, `it was closed by ${entry.closedBy ?? 'somebody'}`);
      if (entry.kind === 'approval') return no(409, 'an approval is closed by approve, deny or cancel');
      await store.write(
        [{ type: 'inbox.close', id, by, comment }, audited(by, 'inbox.close', id, { comment })],
        clock.now(),
      );
      return { ok: true, value: { id } };
    },
  };
};

const audited = (
  actor: string,
  action: string,
  subject: string,
  detail: Readonly<Record<string, Json | undefined>>,
): Write => ({ type: 'audit', actor, action, subject, detail });

const isDeclared = (
  { config, catalog }: ReturnType<EngineContext['loaded']>,
  scope: 'component' | 'rule',
  name: string,
): boolean =>
  scope === 'component' ? config.components.has(name) : catalog.rules.rules.some((rule) => rule.name === name);

const recover = async (context: EngineContext, wakes: Wakes, request: RecoverRequest): Promise<Answer<Recovery>> => {
  const loaded = context.loaded();
  const component = loaded.config.components.get(request.component);
  if (component === undefined)
    return no(
      404,
      `there is no component ${request.component}; there are: ${[...loaded.config.components.keys()].join(', ') || 'none'}`,
    );
  const target = targetOf(component, request.target);
  if (typeof target === 'string') return no(422, target);
  if (request.strategy === null) return recoverByType(context, wakes, request, component, target);
  const plan = manualPlan(context, request, component, target, request.strategy);
  if (!plan.ok) return no(422, plan.problems.map((problem) => problem.message).join('; '));
  const wish = { plan: plan.value, ledger: 'live', present: await askPresent(context, plan.value) } as const;
  const decision: DecisionRequest = {
    id: context.ids.next(),
    at: context.clock.now(),
    origin: 'manual',
    caller: request.by,
    alertId: null,
    deliveryId: null,
    episodeId: null,
    component: component.name,
    kind: component.kind,
    target: target.name,
    rule: null,
    strategy: plan.value.runbook.strategy,
    reason: null,
    wishes: [wish],
    historyQueries: [historyQueryOf(context, wish, null)],
    version: null,
    writes: [],
    record: {
      request: {
        by: request.by,
        reason: request.reason,
        override_cooldown: request.overrideCooldown,
        context: request.context,
        inputs: request.inputs,
      },
      plans: [{ runbook: plan.value.runbook.name, digests: { ...plan.value.digests } }],
      ...traceOf(request),
      present: presentOf([wish]),
    },
  };
  const [decided] = await context.store.decide(
    [decision],
    context.clock.now(),
    admitter(context, new Set(request.overrideCooldown ? ['cooldown'] : [])),
  );
  if (decided?.type !== 'decided') return no(409, 'the history of the component changed meanwhile: try again');
  context.telemetry.decision(decided.reason, 'manual');
  wakes.runner.wake();
  return { ok: true, value: recoveryOf(decision.id, decided) };
};

const recoveryOf = (
  decisionId: string,
  decided: { reason: Recovery['reason']; runId: string | null; verdicts: Recovery['verdicts']; retryAt: number | null },
): Recovery => ({
  decisionId,
  reason: decided.reason,
  runId: decided.runId,
  verdicts: decided.verdicts,
  endsAt: firstRefusal(decided.verdicts)?.endsAt ?? null,
});

const targetOf = (component: ConfiguredComponent, name: string | null): Target | string => {
  const names = [...component.targets.keys()];
  if (name === null) {
    const [only] = component.targets.values();
    return component.targets.size === 1 && only !== undefined
      ? only
      : `name a target of ${component.name}: ${names.slice(0, 20).join(', ') || 'its inventory is empty'}`;
  }
  return (
    component.targets.get(name) ??
    `${name} is not in the inventory of ${component.name}: ${names.slice(0, 20).join(', ') || 'it is empty'}`
  );
};

const traceOf = ({ traceparent = null }: RecoverRequest): { readonly traceparent?: string } =>
  traceparent === null ? {} : { traceparent };

const manualPlan = (
  context: EngineContext,
  request: RecoverRequest,
  component: ConfiguredComponent,
  target: Target,
  strategy: string,
): Result<Plan> => {
  const runbook = strategy.includes('/') ? strategy : `${component.kind}/${strategy}`;
  const plan = makePlan({
    loaded: context.loaded(),
    component,
    target,
    alert: null,
    source: 'manual',
    runbook,
    given: request.inputs,
    rule: null,
    rung: 0,
    mode: request.requireApproval ? 'approve' : 'auto',
    manual: { by: request.by, reason: request.reason },
  });
  return plan.ok ? ok({ ...plan.value, ...traceOf(request) }) : plan;
};

/** Named by what failed: the rules decide, as they would about an alert with `label.failure_type`. */
const recoverByType = async (
  context: EngineContext,
  wakes: Wakes,
  request: RecoverRequest,
  component: ConfiguredComponent,
  target: Target,
): Promise<Answer<Recovery>> => {
  if (request.failureType === null) return no(422, 'name a strategy or a failure type');
  const labels = bare<string>([
    ['alertname', 'ManualRecovery'],
    ['component', component.name],
    ['target', target.name],
    ['failure_type', request.failureType],
    ...texts(request.context),
  ]);
  const { request: decision, decided } = await wakes.decider.decideNow({
    alert: {
      status: 'firing',
      labels,
      annotations: bare<string>([['summary', request.reason]]),
      startsAt: context.clock.now(),
      endsAt: null,
      generatorURL: '',
      flags: [],
      hashed: {},
    },
    source: 'manual',
    groupSize: 1,
    truncated: 0,
    origin: 'manual',
    caller: request.by,
    alertId: null,
    deliveryId: null,
    episodeId: null,
    traceparent: request.traceparent ?? null,
  });
  wakes.runner.wake();
  return decided.type === 'decided'
    ? { ok: true, value: recoveryOf(decision.id, decided) }
    : no(409, 'the history of the component changed meanwhile: try again');
};

const RESERVED = new Set(['alertname', 'component', 'target', 'failure_type']);
const texts = (context: JsonObject): ReadonlyArray<readonly [string, string]> =>
  Object.entries(context).flatMap(([name, value]) =>
    RESERVED.has(name) || typeof value === 'object' ? [] : [[name, String(value)] as const],
  );
