// What an approval is bound to besides its run: the rule, the runbook and the configuration as they were when it was asked,
// and, where something would be destroyed, a second person.
import { digest } from '../base/json.ts';
import type { RunRow } from '../port/record.ts';
import type { Plan } from '../run/plan.ts';
import { renderConnect } from '../runbook/template.ts';
import type { EngineContext, Loaded } from './context.ts';

/** What has changed since the plan was made, or null. A reload that leaves everything in the plan as it was changes nothing. */
export const changedSince = ({ config, catalog }: Loaded, plan: Plan): string | null => {
  const { digests } = plan;
  if (catalog.runbooks.get(plan.runbook.name)?.digest !== digests.runbook)
    return 'the runbook has changed since it was asked';
  if (plan.rule !== null) {
    const rule = catalog.rules.rules.find((candidate) => candidate.name === plan.rule);
    if (rule === undefined) return 'the rule was removed since it was asked';
    if (rule.digest !== digests.rule) return 'the rule has changed since it was asked';
  }
  return config.digest === digests.config || configuredAs(config, plan)
    ? null
    : 'the configuration has changed since it was asked';
};

/** Whether the configuration, different as it is, says the same of everything that the plan was made of. */
const configuredAs = (config: Loaded['config'], plan: Plan): boolean => {
  const component = config.components.get(plan.component.name);
  const target = component?.targets.get(plan.target.name);
  if (component === undefined || target === undefined) return false;
  const connect = renderConnect(target.connect, target.name);
  const { name, kind, team, allowedActions, policy } = component;
  const now = {
    component: { name, kind, team, allowedActions },
    target: { name: target.name, connect: connect.ok ? connect.value : null, labels: target.labels },
    policy,
  };
  return digest(now) === digest({ component: plan.component, target: plan.target, policy: plan.policy });
};

/** Who asked for the run by hand, also where the rules chose the runbook; null: an alert did. */
const requesterOf = async (
  { store }: Pick<EngineContext, 'store'>,
  run: RunRow,
  plan: Plan,
): Promise<string | null> => {
  if (plan.manual !== null) return plan.manual.by;
  const decision = await store.decision(run.decisionId);
  return decision?.origin === 'manual' ? decision.caller : null;
};

/** `ops` and `ops/ann` may be one person: a credential that names nobody could be any of those who share it. */
const maybeSame = (one: string, other: string): boolean =>
  one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);

/** Why this person may not approve the run: what destroys something needs two of them. */
export const needsAnother = async (
  context: Pick<EngineContext, 'store'>,
  runId: string,
  by: string,
): Promise<string | null> => {
  const found = await context.store.run(runId);
  if (found === null || found.plan.runbook.effect !== 'destroy') return null;
  const requester = await requesterOf(context, found.run, found.plan);
  return requester !== null && maybeSame(requester, by)
    ? `${found.plan.runbook.name} destroys something, and ${requester} asked for it: somebody else has to approve`
    : null;
};
