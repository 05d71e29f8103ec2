// What the audit says of each change of a run, so that the table of runs can be rebuilt from its rows alone. Leases are
// left out: who works on a run is no state of it.
import { digest } from '../base/json.ts';
import type { JsonObject } from '../base/json.ts';
import type { Projection } from './projection.ts';
import type { NewRun, Write } from './writes.ts';

/** All that the audit knows of a run; the plan, which never changes, by its digest. */
export type AuditedRun = Projection &
  Omit<NewRun, 'plan'> & {
    readonly plan: string;
    readonly createdAt: number;
    /** Verified, and watched no longer. */
    readonly settled: boolean;
  };

export const beginningOf = (
  { plan, ...run }: NewRun,
  { approval, notBefore }: { readonly approval: boolean; readonly notBefore: number },
  createdAt: number,
): AuditedRun => ({
  ...run,
  plan: digest(plan),
  createdAt,
  state: approval ? 'awaiting_approval' : 'queued',
  outcome: null,
  cause: null,
  notBefore,
  startedAt: null,
  firstStepAt: null,
  verifiedAt: null,
  endedAt: null,
  settleUntil: null,
  settled: false,
});

/** What is no longer as it was; null: all is. */
const changeOf = (before: Projection, after: Projection): JsonObject | null => {
  const changed = Object.entries(after).filter(([name, value]) => before[name as keyof Projection] !== value);
  return changed.length === 0 ? null : Object.fromEntries(changed);
};

/** On the row that tells of the change anyway, or else on one of its own: one row a change. */
export const withChange = (
  writes: readonly Write[],
  runId: string,
  before: Projection,
  after: Projection,
): readonly Write[] => {
  const run = changeOf(before, after);
  if (run === null) return writes;
  const tells = writes.findIndex((write) => write.type === 'audit' && write.subject === runId);
  if (tells === -1)
    return [...writes, { type: 'audit', actor: 'amends', action: 'run.changed', subject: runId, detail: { run } }];
  return writes.map((write, index) =>
    index === tells && write.type === 'audit' ? { ...write, detail: { ...write.detail, run } } : write,
  );
};
