// Reads the audit from its files, beside a process that writes them or without one: whoever checks a record does not ask
// the one who keeps it.
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Plan } from '../run/plan.ts';
import { auditRows } from './audit.ts';
import { archiveFolder, readArchive, readSeals } from './audit-archive.ts';
import { verifyAudit } from './audit-verify.ts';
import type { AuditVerdict, Verification } from './audit-verify.ts';
import { openConnection } from './connection.ts';
import { pathsIn } from './folder.ts';
import { toRunRow } from './rows.ts';
import type { Row } from './tables.ts';

const PAGE = 1_000;

export type StoredRun = ReturnType<typeof toRunRow> & { readonly settled: boolean; readonly plan: Plan };

export type AuditFile = {
  readonly path: string;
  readonly archives: string;
  verify(given: Omit<Verification, 'archives'>): Promise<AuditVerdict>;
  /** Oldest first, archives before the table. `onMissing` is told of an archive that is not there. */
  rows(onMissing: (file: string, rows: number) => void): AsyncIterable<Row<'audit'>>;
  runs(): AsyncIterable<StoredRun>;
  close(): void;
};

/** Throws when there is no database in the folder, or none that can be read. */
export const openAuditFile = (folder: string, clock: Clock, archives = archiveFolder(folder)): AuditFile => {
  const path = pathsIn(folder).database;
  const { queries, database } = openConnection(path, clock, { writes: false, maxPages: null });
  // All of it as it is at this moment, whatever is written meanwhile.
  database.exec('begin');
  return {
    path,
    archives,
    verify: (given) => verifyAudit(queries, { ...given, archives }),
    async *rows(onMissing) {
      let last = 0;
      for (const seal of await readSeals(queries)) {
        const archive = await readArchive(join(archives, seal.file));
        if (archive === null) onMissing(seal.file, seal.last_seq - seal.first_seq + 1);
        else
          for await (const line of archive.lines()) {
            if (line.row === null) throw new Error(`${seal.file}, line ${line.line}: ${line.problem}`);
            yield line.row;
          }
        last = seal.last_seq;
      }
      yield* auditRows(queries, last);
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
