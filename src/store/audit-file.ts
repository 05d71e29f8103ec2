// Reads the audit from the file, beside a process that writes it or without one: whoever checks a record does not ask the
// one who keeps it.
import type { Clock } from '../base/clock.ts';
import type { AuditRow } from '../port/store.ts';
import type { Plan } from '../run/plan.ts';
import type { AuditHead, AuditVerdict } from './audit.ts';
import { toAuditRow, verifyAudit } from './audit.ts';
import { openConnection } from './connection.ts';
import { pathsIn } from './folder.ts';
import { toRunRow } from './rows.ts';

const PAGE = 1_000;

export type StoredRun = ReturnType<typeof toRunRow> & { readonly settled: boolean; readonly plan: Plan };

export type AuditFile = {
  readonly path: string;
  verify(noted: AuditHead | null): Promise<AuditVerdict>;
  /** Oldest first. */
  rows(): AsyncIterable<AuditRow>;
  runs(): AsyncIterable<StoredRun>;
  close(): void;
};

/** Throws when there is no database in the folder, or none that can be read. */
export const openAuditFile = (folder: string, clock: Clock): AuditFile => {
  const path = pathsIn(folder).database;
  const { queries, database } = openConnection(path, clock, { writes: false, maxPages: null });
  // All of it as it is at this moment, whatever is written meanwhile.
  database.exec('begin');
  return {
    path,
    verify: (noted) => verifyAudit(queries, noted),
    async *rows() {
      for (let last = 0; ;) {
        const select = queries.selectFrom('audit').selectAll().where('seq', '>', last).orderBy('seq').limit(PAGE);
        const page = await select.execute();
        for (const row of page) yield toAuditRow(row);
        const end = page.at(-1);
        if (end === undefined) return;
        last = end.seq;
      }
    },
    async *runs() {
      for (let last = ''; ;) {
        const select = queries.selectFrom('runs').selectAll().where('id', '>', last).orderBy('id').limit(PAGE);
        const page = await select.execute();
        for (const row of page)
          yield { ...toRunRow(row), settled: row.settle_ended === 1, plan: JSON.parse(row.plan) as Plan };
        const end = page.at(-1);
        if (end === undefined) return;
        last = end.id;
      }
    },
    close: () => void database.close(),
  };
};
