// A real other process that holds a real SQLite lock, in every way in which one can be held.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, linkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type HolderOptions = {
  readonly path: string;
  /** What it does with the database: only opens it, reads in a transaction, writes in one, writes exclusively. */
  readonly does: 'open' | 'read' | 'write' | 'exclusive';
  readonly ignoreTerm?: boolean;
};

const PROGRAM = `
import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))};
const [path, does, ignoreTerm] = process.argv.slice(1);
if (ignoreTerm === 'true') process.on('SIGTERM', () => undefined);
const file = new Database(path);
file.prepare('SELECT count(*) FROM sqlite_schema').get();
if (does === 'read') { file.exec('BEGIN'); file.prepare('SELECT count(*) FROM sqlite_schema').get(); }
if (does === 'write') { file.exec('BEGIN IMMEDIATE'); file.exec('CREATE TABLE held (x)'); }
if (does === 'exclusive') file.exec('BEGIN EXCLUSIVE');
// As a process that works does: what it has done is committed, and the next is begun.
process.on('message', (ms) => {
  file.exec('COMMIT; BEGIN IMMEDIATE; CREATE TABLE next (x)');
  setTimeout(() => file.exec('COMMIT'), ms);
  process.send('ready');
});
process.send('ready');
setInterval(() => file.open, 1000);
`;

/** Resolves once it holds the lock. Its executable is called `name`, so that it can be told from other processes. */
export const startHolder = async (
  folder: string,
  { path, does, ignoreTerm = false }: HolderOptions,
  name = 'lock-holder',
): Promise<ChildProcess> => {
  const executable = join(folder, name);
  if (!existsSync(executable)) {
    try {
      linkSync(process.execPath, executable);
    } catch {
      copyFileSync(process.execPath, executable);
    }
  }
  const child = spawn(executable, ['--input-type=module', '-e', PROGRAM, path, does, String(ignoreTerm)], {
    detached: true,
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
  });
  return child;
};

/** It lets go of the lock, and takes it again at once for so long. */
export const workOn = async (child: ChildProcess, ms: number): Promise<void> => {
  const begun = new Promise((resolve) => child.once('message', resolve));
  child.send(ms);
  await begun;
};

export const endHolder = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
};
