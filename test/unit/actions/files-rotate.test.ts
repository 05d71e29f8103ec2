import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import rotate from '../../../src/actions/files/rotate.ts';
import { matches } from '../../../src/actions/files/rotating.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import { itAsRoot, mountSmallDisk } from '../../support/small-disk.ts';

const contexts = createContexts();
afterAll(() => contexts.stop());

let count = 0;
let folder: string;
beforeEach(() => {
  count += 1;
  folder = join(contexts.folder, `logs-${count}`);
  mkdirSync(folder);
});

const run = (input: JsonObject = {}): Promise<JsonObject> =>
  perform(rotate, { folders: [folder], larger_than: 1_000, ...input }, contexts.make());
const linesOf = (bytes: number): string => {
  let text = '';
  for (let line = 0; text.length < bytes; line += 1) text += `line ${line} of a log that repeats itself\n`;
  return text;
};
const archives = (of = 'app.log'): readonly string[] =>
  readdirSync(folder).filter((name) => name.startsWith(`${of}.`) && name.endsWith('.gz'));
const unpacked = (name: string): string => gunzipSync(readFileSync(join(folder, name))).toString();

describe('files.rotate', () => {
  it('R14: compresses a large log with all its lines, cuts it to nothing, and keeps owner and mode', async () => {
    const text = linesOf(3_000_000);
    writeFileSync(join(folder, 'app.log'), text);
    chmodSync(join(folder, 'app.log'), 0o604);
    writeFileSync(join(folder, 'small.log'), 'little');
    writeFileSync(join(folder, 'data.bin'), text);
    const outputs = await run();
    expect(outputs).toMatchObject({ files_rotated: 1, bytes_before: text.length, removed_archives: 0, failures: [] });
    expect(archives()).toHaveLength(1);
    expect(outputs['archives']).toEqual([join(folder, archives()[0] ?? '')]);
    expect(unpacked(archives()[0] ?? '')).toBe(text);
    expect(statSync(join(folder, archives()[0] ?? '')).mode & 0o777).toBe(0o604);
    expect(outputs['bytes_after']).toBe(statSync(join(folder, archives()[0] ?? '')).size);
    expect(statSync(join(folder, 'app.log')).size).toBe(0);
    expect(readFileSync(join(folder, 'data.bin'), 'utf8')).toBe(text);
    expect(readFileSync(join(folder, 'small.log'), 'utf8')).toBe('little');
  });

  it('R14: a writer that keeps the log open writes on, and every line stands in the archive or in the log', async () => {
    const path = join(folder, 'app.log');
    writeFileSync(path, linesOf(2_000_000));
    const before = readFileSync(path, 'utf8');
    const program = `const fs = require('fs'); const fd = fs.openSync(${JSON.stringify(path)}, 'a'); let n = 0;
      setInterval(() => fs.writeSync(fd, 'written ' + (n++) + '\\n'), 2); process.on('SIGTERM', () => { fs.writeSync(1, String(n)); process.exit(0); });`;
    const writer = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    writer.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => statSync(path).size > before.length);
    await run();
    const size = statSync(path).size;
    await eventually(() => statSync(path).size > size);
    const gone = new Promise((resolve) => writer.once('close', resolve));
    writer.kill('SIGTERM');
    await gone;
    const all = unpacked(archives()[0] ?? '') + readFileSync(path, 'utf8');
    const numbers = [...all.matchAll(/^written (\d+)$/gm)].map((match) => Number(match[1]));
    expect(all.startsWith(before)).toBe(true);
    // In the instant of the cut one line may go, as with copytruncate.
    expect(new Set(numbers).size).toBeGreaterThanOrEqual(Number(said) - 1);
    expect(numbers).toEqual([...new Set(numbers)]);
  });

  it('keeps the newest archives of each log and counts those it deletes', async () => {
    for (let turn = 0; turn < 4; turn += 1) {
      appendFileSync(join(folder, 'app.log'), linesOf(2_000) + String(turn));
      appendFileSync(join(folder, 'app.log.old.log'), linesOf(2_000));
      await contexts.make().clock.sleep(2);
      expect(await run({ keep: 2 })).toMatchObject({ files_rotated: 2, removed_archives: turn < 2 ? 0 : 2 });
    }
    const own = archives().filter((name) => !name.includes('old'));
    expect(own).toHaveLength(2);
    expect(own.toSorted().map((name) => unpacked(name).slice(-1))).toEqual(['2', '3']);
    expect(archives('app.log.old.log')).toHaveLength(2);
  });

  it('C8: links, second names, hidden files and archives are not taken; nothing to do or too much of it has no effect', async () => {
    const outside = join(contexts.folder, `outside-${count}.log`);
    writeFileSync(outside, linesOf(2_000));
    symlinkSync(outside, join(folder, 'link.log'));
    linkSync(outside, join(folder, 'second.log'));
    writeFileSync(join(folder, '.hidden.log'), linesOf(2_000));
    writeFileSync(join(folder, 'x.log.gz'), linesOf(2_000));
    expect(await failureOf(run())).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('nothing was rotated'),
    });
    expect(await run({ if_none: 'succeed' })).toMatchObject({ files_rotated: 0 });
    for (const name of ['a.log', 'b.log', 'c.log']) writeFileSync(join(folder, name), linesOf(2_000));
    const context = contexts.make();
    expect(
      await failureOf(perform(rotate, { folders: [folder], larger_than: 1_000, max_files: 2 }, context)),
    ).toMatchObject({ kind: 'permanent', message: expect.stringContaining('3 logs') });
    expect(context.beganCount()).toBe(0);
    expect(statSync(outside).size).toBeGreaterThan(0);
    for (const names of [['*'], ['a/b'], [''], [], ['../x']])
      expect(rotate.input.safeParse({ folders: [folder], names }).success).toBe(false);
  });

  it.each([
    ['a.log', '*.log', true],
    ['a.log', 'a.log', true],
    ['a.log', 'b.log', false],
    ['.log', '*.log', true],
    ['app-7.log', 'app-*.log', true],
    ['app-.lo', 'app-*.log', false],
    ['ab', 'ab*b', false],
    ['axbxc', 'a*b*c', true],
    ['axc', 'a*b*c', false],
  ])('%s against %s: %s', (name, pattern, expected) => {
    expect(matches(name, pattern)).toBe(expected);
  });

  itAsRoot('F60: without room for the archive the log stays as it is, and the error says so', async () => {
    const disk = mountSmallDisk(folder, 1);
    try {
      const path = join(disk.path, 'app.log');
      // Random bytes do not get smaller.
      const { randomBytes } = await import('node:crypto');
      const bytes = randomBytes(700_000);
      writeFileSync(path, bytes);
      const error = await failureOf(run({ folders: [disk.path] }));
      expect(error.message).toContain(`${path}: ENOSPC`);
      expect(readFileSync(path).equals(bytes)).toBe(true);
      expect(readdirSync(disk.path)).toEqual(['app.log']);
      expect(existsSync(path)).toBe(true);
    } finally {
      disk.unmount();
    }
  });
});
