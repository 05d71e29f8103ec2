// What is told of a decision, beside the record: which run a line of the log is about, and what came of a rule.
import type { LogFields } from '../base/log.ts';
import { traceIdOf } from '../base/trace.ts';
import type { Decided, DecisionRequest } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Evaluated } from './evaluate.ts';

export const aboutRun = (
  runId: string,
  { episodeId, component, target, strategy, wishes }: DecisionRequest,
): LogFields => {
  const trace = wishes.at(-1)?.plan.traceparent;
  return {
    run_id: runId,
    ...(episodeId === null ? {} : { episode_id: episodeId }),
    ...(trace === undefined ? {} : { trace_id: traceIdOf(trace) }),
    component,
    target,
    strategy,
  };
};

export const tellRules = (
  context: EngineContext,
  one: Evaluated,
  decided: Extract<Decided, { type: 'decided' }>,
): void => {
  for (const shadow of one.shadows) context.telemetry.ruleDecision(shadow, 'shadow');
  const { rule } = one.request;
  if (rule === null) return;
  const { reason } = decided;
  const verdict =
    reason === 'shadow'
      ? 'shadow'
      : reason === 'escalated'
        ? 'escalated'
        : decided.runId === null && reason !== 'observed' && reason !== 'ignored'
          ? 'held'
          : 'acted';
  context.telemetry.ruleDecision(rule, verdict);
};
