// Makes a new database from a schema file, in a place where there is none. For worker threads.
import Database from 'better-sqlite3';
import { closeSync, constants, existsSync, fstatSync, linkSync, openSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { removeWithCompanions, takeOver } from './files.ts';
import { companions, explained, sizeOf, syncFile, syncFolderOf, unsound } from './opening.ts';

const LONGEST_SCHEMA = 1024 * 1024;

export type CreateInput = { readonly path: string; readonly schemaFile: string };

export const readSchema = ({ schemaFile }: { readonly schemaFile: string }): string => {
  let descriptor: number;
  try {
    descriptor = openSync(schemaFile, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw new ActionError(
      'permanent',
      `the schema file ${schemaFile} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      { cause: error },
    );
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size === 0 || stat.size > LONGEST_SCHEMA) {
      throw new ActionError('permanent', `the schema file ${schemaFile} is not a file of 1 to ${LONGEST_SCHEMA} bytes`);
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
};

/** Refuses when anything of a database is there: what looks lost may be only half of one. */
export const refuseExisting = ({ path }: { readonly path: string }): void => {
  if (existsSync(path))
    throw new ActionError(
      'permanent',
      `${path} exists: a database is never created over another; mend: sqlite.restore, or move it away by hand`,
    );
  const left = companions(path).filter((file) => existsSync(file));
  if (left.length > 0) {
    throw new ActionError(
      'permanent',
      `${path} is not there, but ${left.map((file) => basename(file)).join(' and ')} is, and would be read into a new database; mend: sqlite.restore, or move it away by hand`,
    );
  }
};

export const createFresh = ({ path, schemaFile }: CreateInput): { readonly bytes: number } => {
  const schema = readSchema({ schemaFile });
  refuseExisting({ path });
  const fresh = join(dirname(path), `.${basename(path)}.creating`);
  removeWithCompanions(fresh);
  try {
    const file = new Database(fresh);
    try {
      file.exec(schema);
    } finally {
      file.close();
    }
    const reason = unsound(fresh, 'quick');
    if (reason !== null)
      throw new ActionError('permanent', `the schema ${schemaFile} does not make a database: it ${reason}`);
    takeOver(fresh, path);
    syncFile(fresh);
    // A link, since a rename would replace what another process has put there meanwhile.
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new ActionError('permanent', `${path} was made by another process meanwhile and is left as it is`, {
        cause: error,
      });
    throw explained(error, schemaFile);
  } finally {
    rmSync(fresh, { force: true });
    for (const file of companions(fresh)) rmSync(file, { force: true });
  }
  syncFolderOf(path);
  return { bytes: sizeOf(path) ?? 0 };
};
