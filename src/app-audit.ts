// Holds a record against itself: the chain of its audit, over archive files and table, and the table of runs against what
// the audit says of each.
import type { Clock } from './base/clock.ts';
import type { JsonObject } from './base/json.ts';
import { digest } from './base/json.ts';
import { rebuildRuns } from './replay/runs.ts';
import type { AuditedRun } from './run/audited.ts';
import { archiveLine } from './store/audit-archive.ts';
import { openAuditFile } from './store/audit-file.ts';
import type { AuditFile, StoredRun } from './store/audit-file.ts';
import type { AuditVerdict, NotedHead } from './store/audit-verify.ts';

export type RecordVerdict = {
  readonly file: string;
  /** The folder of the archive files. */
  readonly archives: string;
  readonly audit: AuditVerdict;
  /** Null when the audit itself cannot be trusted. */
  readonly runs: {
    readonly checked: number;
    /** Of these the beginning stands in an archive that is not there. */
    readonly unchecked: number;
    readonly problems: readonly string[];
  } | null;
};

export type RecordQuestion = {
  readonly noted: NotedHead | null;
  /** Where the archive files lie; null: in the folder of the record. */
  readonly archives: string | null;
  readonly acceptMissing: boolean;
};

type RunRow = Parameters<typeof rebuildRuns>[0] extends Iterable<infer Row> ? Row : never;

export const verifyRecord = async (folder: string, clock: Clock, asked: RecordQuestion): Promise<RecordVerdict> => {
  const file = openAuditFile(folder, clock, asked.archives ?? undefined);
  try {
    const rows: RunRow[] = [];
    const audit = await file.verify({
      ...(asked.noted === null ? {} : { noted: asked.noted }),
      acceptMissing: asked.acceptMissing,
      onRow({ seq, subject, detail: text }) {
        const detail = JSON.parse(text) as JsonObject;
        if ('run' in detail) rows.push({ seq, subject, detail });
      },
    });
    const runs = audit.ok ? await verifyRuns(file, rows, audit.unchecked) : null;
    return { file: file.path, archives: file.archives, audit, runs };
  } finally {
    file.close();
  }
};

const verifyRuns = async (
  file: AuditFile,
  rows: readonly RunRow[],
  uncheckedRows: number,
): Promise<NonNullable<RecordVerdict['runs']>> => {
  const stored: StoredRun[] = [];
  for await (const run of file.runs()) stored.push(run);
  const { runs, orphans } = rebuildRuns(rows);
  const known = new Set(stored.map(({ id }) => id));
  const lost = [...runs.keys()].filter((id) => !known.has(id));
  const begun = uncheckedRows === 0 ? stored : stored.filter(({ id }) => runs.has(id));
  return {
    checked: begun.length,
    unchecked: stored.length - begun.length,
    problems: [
      ...(uncheckedRows === 0 ? orphans : []).map((seq) => `row ${seq} changes a run whose beginning no row tells of`),
      ...lost.map((id) => `run ${id} is in the audit and not in the table of runs`),
      ...begun.flatMap((run) => differences(run, runs.get(run.id))),
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

export type Exported = {
  readonly rows: number;
  /** Archives that are not there, with how many rows each has. */
  readonly missing: ReadonlyArray<{ readonly file: string; readonly rows: number }>;
};

/** Rows whose time is from `since` to before `until`, oldest first, a line each, as an archive has them. */
export const exportAudit = async (
  folder: string,
  clock: Clock,
  asked: { readonly since: number | null; readonly until: number | null; readonly archives: string | null },
  onLine: (line: string) => void,
): Promise<Exported> => {
  const file = openAuditFile(folder, clock, asked.archives ?? undefined);
  const missing: Array<{ file: string; rows: number }> = [];
  let rows = 0;
  try {
    for await (const row of file.rows((name, lacking) => missing.push({ file: name, rows: lacking }))) {
      if (row.at < (asked.since ?? row.at) || row.at >= (asked.until ?? Number.POSITIVE_INFINITY)) continue;
      onLine(archiveLine(row));
      rows += 1;
    }
    return { rows, missing };
  } finally {
    file.close();
  }
};
