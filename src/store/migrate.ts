// Brings a database file to the schema this program knows, in one transaction and with a copy of the file made before;
// a schema that is newer than the program is refused.
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { first } from './migrations/0001_first.ts';
import { auditArchives } from './migrations/0002_audit_archives.ts';
import { traces } from './migrations/0003_traces.ts';
import { configurations } from './migrations/0004_configurations.ts';
import { tallies } from './migrations/0005_tallies.ts';
import { StoreRefused } from './refused.ts';

export type Migration = { readonly version: number; readonly sqlite: readonly string[] };

/** In order; a migration that was released never changes, another one is added. */
export const MIGRATIONS: readonly Migration[] = [first, auditArchives, traces, configurations, tallies];

/** `amds`: marks the file as ours. */
export const APPLICATION_ID = 0x616d6473;

/** 0 for a file without a schema. */
export const schemaVersion = (database: Database): number => {
  const known = database.prepare(`select 1 from sqlite_master where type = 'table' and name = 'schema_version'`).get();
  if (known === undefined) return 0;
  const row = database.prepare('select max(version) as version from schema_version').get() as {
    version: number | null;
  };
  return row.version ?? 0;
};

/** Call before anything is written to the file. */
export const refuseNewer = (database: Database, file: string, migrations: readonly Migration[]): void => {
  const newest = migrations.at(-1)?.version ?? 0;
  const found = schemaVersion(database);
  if (found <= newest) return;
  throw new StoreRefused(
    `${file} has schema ${found}, and this amends knows up to ${newest}`,
    'start the newer amends again, or restore the copy that it made before it upgraded (amends.db.before-schema-*)',
  );
};

/** Returns the file of the copy that was made, or null when nothing had to be upgraded. `finish` shares the transaction. */
export const migrate = (
  database: Database,
  file: string,
  now: number,
  migrations: readonly Migration[] = MIGRATIONS,
  finish: () => void = () => {},
): string | null => {
  const found = schemaVersion(database);
  const missing = migrations.filter((migration) => migration.version > found);
  if (missing.length === 0) return null;
  const copy = found === 0 ? null : backUp(database, file, found);
  database.exec('begin immediate');
  try {
    if (found === 0) {
      database.pragma(`application_id = ${APPLICATION_ID}`);
      database.exec('create table schema_version (version integer primary key, applied_at integer not null) strict');
    }
    for (const migration of missing) {
      for (const statement of migration.sqlite) database.exec(statement);
      database.prepare('insert into schema_version (version, applied_at) values (?, ?)').run(migration.version, now);
    }
    finish();
    database.exec('commit');
  } catch (error) {
    if (database.inTransaction) database.exec('rollback');
    throw error;
  }
  return copy;
};

/** Under its final name only once it is whole and on the disk. */
const backUp = (database: Database, file: string, version: number): string => {
  const copy = `${file}.before-schema-${version + 1}`;
  const unfinished = `${copy}.unfinished`;
  rmSync(unfinished, { force: true });
  database.prepare('vacuum into ?').run(unfinished);
  const handle = openSync(unfinished, 'r');
  fsyncSync(handle);
  closeSync(handle);
  renameSync(unfinished, copy);
  return copy;
};
