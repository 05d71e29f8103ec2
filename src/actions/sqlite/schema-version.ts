// Which version a SQLite database says that its schema has. For worker threads.
import { ActionError } from '../../base/failure.ts';
import type { FoundSchema } from '../schema.ts';
import { explained, openForReading, refuseOurOwn, sizeOf } from './opening.ts';
import type { SqliteFile } from './opening.ts';

/** Rows of a table of migrations that are read. */
const MOST_ROWS = 10_000;

export type VersionInput = {
  readonly path: string;
  readonly table: string | null;
  readonly column: string;
  readonly dirty: string | null;
  readonly busyMs: number;
};

export const schemaVersion = ({ path, table, column, dirty, busyMs }: VersionInput): FoundSchema => {
  if (sizeOf(path) === null) throw new ActionError('permanent', `${path} does not exist`);
  refuseOurOwn(path);
  let file: SqliteFile | null = null;
  try {
    file = openForReading(path, busyMs);
    if (table === null) return { versions: [String(file.pragma('user_version', { simple: true }))], dirty: false };
    const rows = file
      .prepare(
        `SELECT CAST("${column}" AS TEXT) AS version, ${dirty === null ? '0' : `"${dirty}"`} AS dirty FROM "${table}" LIMIT ${MOST_ROWS}`,
      )
      .all() as ReadonlyArray<{ version: string | null; dirty: number }>;
    return {
      versions: rows.flatMap((row) => (row.version === null ? [] : [row.version])),
      dirty: rows.some((row) => row.dirty !== 0 && row.dirty !== null),
    };
  } catch (error) {
    throw explained(error, path);
  } finally {
    file?.close();
  }
};
