// The file in which keys are kept before they are deleted: a line for each key as RESTORE takes it back, on disk before
// the key is gone. What was written is read back, and a line that is torn or was changed is seen.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';

export type DumpHeader = {
  readonly type: 'redis-dump';
  readonly server: string;
  readonly db: number;
  readonly run_id: string;
  readonly run: string;
  readonly at: string;
};
export type DumpedKey = { readonly key: Buffer; readonly value: Buffer };

export type DumpWriter = {
  readonly path: string;
  /** On disk, and read back, when it resolves. */
  append(keys: readonly DumpedKey[]): Promise<void>;
  /** These were not deleted after all. */
  revoke(keys: readonly Buffer[]): Promise<void>;
  readonly bytes: () => number;
  close(): Promise<void>;
};

const HEADER = z.strictObject({
  type: z.literal('redis-dump'),
  server: z.string(),
  db: z.int(),
  run_id: z.string(),
  run: z.string(),
  at: z.string(),
});
const LINE = z.union([
  z.strictObject({ key: z.base64(), value: z.base64(), sha256: z.string() }),
  z.strictObject({ revoked: z.array(z.base64()) }),
]);

const digest = (key: Buffer, value: Buffer): string =>
  createHash('sha256').update(`${key.length}:`).update(key).update(value).digest('hex').slice(0, 32);

/** Another process could put something else in its place between two looks, so a link is refused at the opening. */
const PLAIN = constants.O_NOFOLLOW | constants.O_NONBLOCK;

const makeFolder = async (folder: string): Promise<void> => {
  const found = await lstat(folder).catch(() => null);
  if (found?.isDirectory() === true) return;
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    throw new ActionError(
      'permanent',
      `the folder ${folder} is not there and cannot be made (${(error as NodeJS.ErrnoException).code ?? 'unknown'}); mend: make it, writable for amends`,
      { cause: error },
    );
  }
};

/** `cache-6379-0-<run>.ndjson`, so that a second try of a step goes on in the same file. */
const dumpName = (header: DumpHeader): string =>
  `${`${header.server}-${header.db}-${header.run}`.replaceAll(/[^A-Za-z0-9.-]+/g, '-')}.ndjson`;

const readEarlier = async (path: string): Promise<Dump | null> =>
  (await lstat(path).catch(() => null)) === null ? null : readDump(path);

/** How many keys an earlier try of the same step has deleted. */
export const keptBefore = async (folder: string, header: DumpHeader): Promise<number> =>
  (await readEarlier(join(folder, dumpName(header))))?.keys.length ?? 0;

/** Opens the file of this run, mode 0600; what an earlier try left in it is kept. */
export const openDump = async (folder: string, header: DumpHeader, room: number): Promise<DumpWriter> => {
  await makeFolder(folder);
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < room)
    throw new ActionError(
      'permanent',
      `${folder} has ${bavail * bsize} bytes free and ${room} may be needed for the copy of the keys; mend: make room`,
    );
  const path = join(folder, dumpName(header));
  const earlier = await readEarlier(path);
  if (earlier !== null && (earlier.header.run !== header.run || earlier.header.server !== header.server))
    throw new ActionError('permanent', `${path} is the copy of another run; mend: move it away`);
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | PLAIN, 0o600);
  try {
    if (!(await file.stat()).isFile()) throw new ActionError('permanent', `${path} is not a plain file`);
    await file.chmod(0o600);
    // A torn last line of an earlier try was never followed by a deletion.
    let position = earlier?.soundBytes ?? 0;
    await file.truncate(position);
    const write = async (lines: readonly object[]): Promise<void> => {
      position = await writeChecked(file, lines, position, path);
    };
    if (position === 0) {
      await write([header]);
      await syncFolder(folder);
    }
    return {
      path,
      append: (keys) =>
        write(
          keys.map(({ key, value }) => ({
            key: key.toString('base64'),
            value: value.toString('base64'),
            sha256: digest(key, value),
          })),
        ),
      revoke: (keys) => write([{ revoked: keys.map((key) => key.toString('base64')) }]),
      bytes: () => position,
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
};

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Resolves to the new end of the file once the lines are on disk and are what is read from it. */
const writeChecked = async (
  file: FileHandle,
  lines: readonly object[],
  position: number,
  path: string,
): Promise<number> => {
  const block = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  for (let written = 0; written < block.length;)
    written += (await file.write(block, written, block.length - written, position + written)).bytesWritten;
  await file.sync();
  const back = Buffer.alloc(block.length);
  let read = 0;
  for (let got = 1; got > 0 && read < back.length; read += got)
    got = (await file.read(back, read, back.length - read, position + read)).bytesRead;
  if (read !== block.length || !back.equals(block))
    throw new ActionError('permanent', `${path} does not hold what was written to it`);
  return position + block.length;
};

export type Dump = {
  readonly header: DumpHeader;
  readonly keys: readonly DumpedKey[];
  /** Up to the end of the last whole line. */
  readonly soundBytes: number;
};

export const LARGEST_DUMP = 1024 ** 3;

/** Throws `permanent` for a file that is no dump or whose lines were changed; a torn last line is left out. */
export const readDump = async (path: string): Promise<Dump> => {
  const refuse = (why: string): never => {
    throw new ActionError('permanent', `the copy ${path} ${why}`);
  };
  const file = await open(path, constants.O_RDONLY | PLAIN).catch((error: NodeJS.ErrnoException) =>
    refuse(error.code === 'ENOENT' ? 'is not there' : `cannot be read (${error.code ?? 'unknown'})`),
  );
  try {
    const stat = await file.stat();
    if (!stat.isFile()) refuse('is not a plain file');
    if (stat.size > LARGEST_DUMP) refuse(`is larger than ${LARGEST_DUMP} bytes`);
    return await readLines(file, stat.size, refuse);
  } finally {
    await file.close();
  }
};

/** Line by line, so that nobody waits for a long file. Each line is ASCII: as many bytes as characters. */
const readLines = async (file: FileHandle, size: number, refuse: (why: string) => never): Promise<Dump> => {
  const keys = new Map<string, DumpedKey>();
  let header: DumpHeader | null = null;
  let end = 0;
  for await (const text of file.readLines({ autoClose: false, encoding: 'latin1' })) {
    // The last line has no end: the write was torn, and what it was to keep was not deleted.
    if (end + text.length + 1 > size) break;
    end += text.length + 1;
    const line = parseLine(text);
    if (header === null) {
      const parsed = HEADER.safeParse(line);
      header = parsed.success ? parsed.data : refuse('is not one of ours: its first line does not say what it is');
      continue;
    }
    const parsed = LINE.safeParse(line);
    if (!parsed.success) return refuse(`is damaged at byte ${end}`);
    if ('revoked' in parsed.data) {
      for (const key of parsed.data.revoked) keys.delete(key);
      continue;
    }
    const key = Buffer.from(parsed.data.key, 'base64');
    const value = Buffer.from(parsed.data.value, 'base64');
    if (digest(key, value) !== parsed.data.sha256) return refuse(`is damaged at byte ${end}`);
    keys.set(parsed.data.key, { key, value });
  }
  return header === null ? refuse('is empty') : { header, keys: [...keys.values()], soundBytes: end };
};

const parseLine = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
};
