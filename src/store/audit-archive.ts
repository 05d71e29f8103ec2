// An archive of the audit: a file of NDJSON, one row a line, as a rule compressed. It is whole under its name or not there.
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createGunzip, gunzip, gzip } from 'node:zlib';
import { rfc3339 } from '../base/clock.ts';
import type { Json } from '../base/json.ts';
import { canonical, isObject, sha256 } from '../base/json.ts';
import { sql } from 'kysely';
import type { Queries, Row } from './tables.ts';

export type Seal = Row<'audit_seals'>;

const LINES_A_TURN = 250;
/** A line more than that is none of ours; a row has some 500 bytes. */
const LONGEST_LINE = 16 * 1_024 * 1_024;

export const archiveFolder = (storage: string): string => join(storage, 'audit');

/** In the order of the rows when sorted by name. */
export const archiveName = (first: Row<'audit'>, last: Row<'audit'>, compressed: boolean): string => {
  const padded = (seq: number): string => String(seq).padStart(12, '0');
  const day = rfc3339(first.at).slice(0, 10);
  return `audit-${padded(first.seq)}-${padded(last.seq)}.${day}.ndjson${compressed ? '.gz' : ''}`;
};

/** `detail` as what it means, unless its text is one that cannot be had back from that. */
export const archiveLine = ({ detail, prev, hash, ...row }: Row<'audit'>): string => {
  const parsed = parsedOrNull(detail);
  const shown = isObject(parsed) && canonical(parsed) === detail ? detail : JSON.stringify(detail);
  const head = JSON.stringify({
    seq: row.seq,
    at: row.at,
    actor: row.actor,
    action: row.action,
    subject: row.subject,
  });
  return `${head.slice(0, -1)},"detail":${shown},"prev":${JSON.stringify(prev)},"hash":${JSON.stringify(hash)}}`;
};

const parsedOrNull = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
};

/** Null for a line that holds no row. */
export const readArchiveLine = (line: string): Row<'audit'> | null => {
  const parsed = parsedOrNull(line);
  if (!isObject(parsed)) return null;
  const { seq, at, actor, action, subject, detail, prev, hash } = parsed;
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(at)) return null;
  if (![actor, action, subject, prev, hash].every((text) => typeof text === 'string')) return null;
  const text = typeof detail === 'string' ? detail : isObject(detail) ? canonical(detail) : null;
  if (text === null) return null;
  const row = { seq, at, actor, action, subject, detail: text, prev, hash } as Row<'audit'>;
  return row;
};

const compressed = promisify(gzip) as (bytes: Buffer) => Promise<Buffer>;

/** On the disk under its name when it resolves, with the folder it stands in. What stood there before is set aside. */
export const writeArchive = async (
  folder: string,
  name: string,
  lines: readonly string[],
  now: number,
): Promise<{ readonly digest: string; readonly bytes: number }> => {
  const raw = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const bytes = name.endsWith('.gz') ? await compressed(raw) : raw;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const unfinished = join(folder, `${name}.unfinished`);
  const handle = await open(unfinished, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const file = join(folder, name);
  const digest = digestOf(bytes);
  // A death between here and the seal leaves the same file behind. Another one of this name is somebody's evidence.
  const there = await readArchive(file);
  if (there !== null && there.digest !== digest) await rename(file, `${file}.unsealed-${now}`);
  await rename(unfinished, file);
  await syncFolder(folder);
  return { digest, bytes: bytes.length };
};

const syncFolder = async (folder: string): Promise<void> => {
  for (const path of [folder, join(folder, '..')]) {
    const handle = await open(path, 'r');
    await handle.sync();
    await handle.close();
  }
};

const digestOf = (bytes: Buffer): string => `sha256:${sha256(bytes)}`;

export type Archive = {
  readonly digest: string;
  /** Its rows in order. What cannot be read comes once, without a row, and nothing behind it. */
  lines(): AsyncGenerator<Line>;
};

/** Null when there is no such file. It is read once: what is judged is what was digested. */
export const readArchive = async (file: string): Promise<Archive | null> => {
  try {
    const bytes = await readFile(file);
    return { digest: digestOf(bytes), lines: () => rowsIn(bytes, file.endsWith('.gz')) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
};

export const removeUnfinished = (folder: string, name: string): Promise<void> =>
  rm(join(folder, `${name}.unfinished`), { force: true });

export type Line = { readonly line: number } & (
  { readonly row: Row<'audit'> } | { readonly row: null; readonly problem: string }
);

async function* rowsIn(bytes: Buffer, packed: boolean): AsyncGenerator<Line> {
  let line = 0;
  try {
    for await (const text of linesOf(packed ? unpacked(bytes) : [bytes])) {
      line += 1;
      // A file is some tenths of a second of work, which may be done beside an amends that runs.
      if (line % LINES_A_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      const row = readArchiveLine(text.toString());
      // Bytes that are no UTF-8 would be read as others.
      const same = row !== null && text.equals(Buffer.from(archiveLine(row)));
      yield same ? { line, row } : { line, row: null, problem: 'it is no row as amends writes it' };
      if (!same) return;
    }
  } catch (error) {
    yield { line: line + 1, row: null, problem: (error as Error).message };
  }
}

const expanded = promisify(gunzip) as (bytes: Buffer) => Promise<Buffer>;

/** Of one that is damaged, what can be had before the damage: its first bad row is asked for. */
async function* unpacked(bytes: Buffer): AsyncGenerator<Buffer> {
  const whole = await expanded(bytes).catch(() => null);
  if (whole !== null) {
    yield whole;
    return;
  }
  const parts = createGunzip();
  parts.end(bytes);
  yield* parts as AsyncIterable<Buffer>;
}

const END_OF_LINE = 0x0a;

async function* linesOf(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let to = rest.indexOf(END_OF_LINE); to !== -1; to = rest.indexOf(END_OF_LINE, from)) {
      yield rest.subarray(from, to);
      from = to + 1;
    }
    rest = rest.subarray(from);
    if (rest.length > LONGEST_LINE) throw new Error(`it is longer than ${LONGEST_LINE} bytes`);
  }
  if (rest.length > 0) throw new Error('its end is missing');
}

/** In the order of their rows. A database of before there were archives, such as an old backup, has none. */
export const readSeals = async (queries: Queries): Promise<readonly Seal[]> => {
  const { rows } = await sql`select 1 from sqlite_master where name = 'audit_seals'`.execute(queries);
  return rows.length === 0 ? [] : queries.selectFrom('audit_seals').selectAll().orderBy('last_seq').execute();
};

export const lastSeal = (queries: Queries): Promise<Seal | undefined> =>
  queries.selectFrom('audit_seals').selectAll().orderBy('last_seq', 'desc').limit(1).executeTakeFirst();

/** What the row of the audit that seals an archive says of it. */
export const sealDetail = (seal: Omit<Seal, 'seal_seq' | 'file'>): Readonly<Record<string, Json>> => ({
  first: seal.first_seq,
  last: seal.last_seq,
  head: seal.last_hash,
  digest: seal.digest,
  bytes: seal.bytes,
});
