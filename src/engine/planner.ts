// Makes the plan of a run: the runbook, its inputs and its target as they are at this moment, frozen for good.
import type { Alert } from '../alert/alert.ts';
import type { Target } from '../alert/component.ts';
import type { Problem, Result } from '../base/failure.ts';
import { ok, refused } from '../base/failure.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { ConfiguredComponent } from '../config.ts';
import type { Rule } from '../rule/rule.ts';
import type { Mode } from '../rule/limits.ts';
import { weakest } from '../rule/limits.ts';
import type { Plan } from '../run/plan.ts';
import { resolveInputs } from '../runbook/inputs.ts';
import { RULE_ROOTS } from '../runbook/path.ts';
import { compileTemplate, render, renderConnect } from '../runbook/template.ts';
import type { Loaded } from './context.ts';

export type PlanRequest = {
  readonly loaded: Loaded;
  readonly component: ConfiguredComponent;
  readonly target: Target;
  readonly alert: Pick<Alert, 'labels' | 'annotations' | 'startsAt'> | null;
  readonly source: string;
  readonly runbook: string;
  readonly given: JsonObject;
  readonly rule: Rule | null;
  readonly rung: number;
  readonly mode: Mode;
  readonly manual: Plan['manual'];
};

const NO_LIMITS: Plan['limits'] = { attempts: [], cooldownAfterFailure: null };

export const makePlan = (request: PlanRequest): Result<Plan> => {
  const { loaded, component, target, alert, rule } = request;
  const runbook = loaded.catalog.runbooks.get(request.runbook);
  if (runbook === undefined)
    return refused([{ code: 'unknown-runbook', message: `there is no runbook ${request.runbook}` }]);
  const given = fillGiven(request);
  const inputs = given.ok ? resolveInputs(runbook, given.value) : given;
  const connect = renderConnect(target.connect, target.name);
  if (!inputs.ok || !connect.ok) return refused([...problemsOf(inputs), ...problemsOf(connect)]);
  return ok({
    runbook,
    inputs: inputs.value,
    component: {
      name: component.name,
      kind: component.kind,
      team: component.team,
      allowedActions: component.allowedActions,
    },
    target: { name: target.name, connect: connect.value, labels: target.labels },
    alert:
      alert === null
        ? null
        : { labels: alert.labels, annotations: alert.annotations, startsAt: alert.startsAt, source: request.source },
    confirmable: isConfirmable(loaded, request.source),
    rule: rule?.name ?? null,
    rung: request.rung,
    rungs: Math.max(1, rule?.ladder.length ?? 1),
    mode: request.mode,
    manual: request.manual,
    digests: {
      rule: rule?.digest ?? null,
      runbook: runbook.digest,
      config: loaded.config.digest,
      revision: loaded.revision ?? null,
    },
    policy: component.policy,
    inventorySize: component.targets.size,
    domain: component.policy.domain === null ? null : (target.labels[component.policy.domain] ?? ''),
    limits: rule?.limits ?? NO_LIMITS,
  });
};

/** Without any Alertmanager there is nobody to ask, and the guard is off. */
const isConfirmable = ({ config }: Loaded, source: string): boolean =>
  config.alertmanagers.length === 0 || config.alertmanagers.some(({ sources }) => sources.includes(source));

/** A rule's `with` may name labels, annotations, the target and the component. */
const fillGiven = ({ given, alert, target, component }: PlanRequest): Result<JsonObject> => {
  const compiled = compileTemplate(given, RULE_ROOTS);
  if (!compiled.ok) return compiled;
  const context: Readonly<Record<string, Json>> = {
    label: alert?.labels ?? {},
    annotation: alert?.annotations ?? {},
    target: { name: target.name, labels: target.labels },
    component: { name: component.name, kind: component.kind, team: component.team ?? '' },
  };
  return render(compiled.value, context) as Result<JsonObject>;
};

const problemsOf = (result: Result<unknown>): readonly Problem[] => (result.ok ? [] : result.problems);

/** The weakest of global, component, rule and rung, and of what a rule that did harm may still do. */
export const effectiveMode = (
  loaded: Loaded,
  component: ConfiguredComponent,
  rule: Rule,
  rung: number,
  demoted: Mode = 'auto',
): Mode =>
  weakest(loaded.config.recovery.mode, component.policy.mode, rule.mode, rule.ladder[rung]?.mode ?? 'auto', demoted);
