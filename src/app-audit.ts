// Holds a record against itself: the chain of its audit, and the table of runs against what the audit says of each.
import type { Clock } from './base/clock.ts';
import { digest } from './base/json.ts';
import { rebuildRuns } from './replay/runs.ts';
import type { AuditedRun } from './run/audited.ts';
import type { AuditHead, AuditVerdict } from './store/audit.ts';
import { openAuditFile } from './store/audit-file.ts';
import type { AuditFile, StoredRun } from './store/audit-file.ts';

export type RecordVerdict = {
  readonly file: string;
  readonly audit: AuditVerdict;
  /** Null when the audit itself cannot be trusted. */
  readonly runs: { readonly checked: number; readonly problems: readonly string[] } | null;
};

export const verifyRecord = async (folder: string, clock: Clock, noted: AuditHead | null): Promise<RecordVerdict> => {
  const file = openAuditFile(folder, clock);
  try {
    const audit = await file.verify(noted);
    return { file: file.path, audit, runs: audit.ok ? await verifyRuns(file) : null };
  } finally {
    file.close();
  }
};

const verifyRuns = async (
  file: AuditFile,
): Promise<{ readonly checked: number; readonly problems: readonly string[] }> => {
  const stored: StoredRun[] = [];
  for await (const run of file.runs()) stored.push(run);
  const rows: Array<Parameters<typeof rebuildRuns>[0] extends Iterable<infer Row> ? Row : never> = [];
  for await (const { seq, subject, detail } of file.rows()) if ('run' in detail) rows.push({ seq, subject, detail });
  const { runs, orphans } = rebuildRuns(rows);
  const known = new Set(stored.map(({ id }) => id));
  const lost = [...runs.keys()].filter((id) => !known.has(id));
  return {
    checked: stored.length,
    problems: [
      ...orphans.map((seq) => `row ${seq} changes a run whose beginning no row tells of`),
      ...lost.map((id) => `run ${id} is in the audit and not in the table of runs`),
      ...stored.flatMap((run) => differences(run, runs.get(run.id))),
    ],
  };
};

const differences = (run: StoredRun, audited: AuditedRun | undefined): readonly string[] => {
  if (audited === undefined) return [`run ${run.id} is in the table of runs and not in the audit`];
  const table = { ...run, plan: digest(run.plan) } as Readonly<Record<string, unknown>>;
  return Object.entries(audited).flatMap(([name, value]) =>
    table[name] === value
      ? []
      : [`run ${run.id}: ${name} is ${JSON.stringify(table[name])}, and by the audit ${JSON.stringify(value)}`],
  );
};
