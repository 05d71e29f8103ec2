// Rebuilds the table of runs from the audit: what the chain of rows vouches for can be held against what is stored.
import { isObject } from '../base/json.ts';
import type { AuditRow } from '../port/record.ts';
import type { AuditedRun } from '../run/audited.ts';

export type Rebuilt = {
  readonly runs: ReadonlyMap<string, AuditedRun>;
  /** Rows that change a run whose beginning no row tells of. */
  readonly orphans: readonly number[];
};

/** `rows` oldest first, from the beginning of the audit. */
export const rebuildRuns = (rows: Iterable<Pick<AuditRow, 'seq' | 'subject' | 'detail'>>): Rebuilt => {
  const runs = new Map<string, AuditedRun>();
  const orphans: number[] = [];
  for (const { seq, subject, detail } of rows) {
    const { run } = detail;
    if (!isObject(run)) continue;
    const before = runs.get(subject);
    if (before === undefined && run['id'] !== subject) orphans.push(seq);
    else runs.set(subject, { ...before, ...run } as AuditedRun);
  }
  return { runs, orphans };
};
