import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync, fork } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import clean from '../../../src/actions/files/clean.ts';
import { PROGRESS_BYTES, listOld, removeListed } from '../../../src/actions/files/cleaning.ts';
import usage from '../../../src/actions/files/usage.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import { HOUR, fileOfAge, heldOpen, itAsRoot, makeOld, mountSmallDisk, percentUsed } from '../../support/small-disk.ts';

const contexts = createContexts();
afterAll(() => contexts.stop());

let count = 0;
let root: string;
let outside: string;
beforeEach(() => {
  count += 1;
  root = join(contexts.folder, `root-${count}`);
  outside = join(contexts.folder, `outside-${count}`);
  mkdirSync(root);
  mkdirSync(outside);
});

const OLD = 25 * HOUR;
const run = (input: JsonObject = {}): Promise<JsonObject> =>
  perform(clean, { roots: [root], ...input }, contexts.make());
const leftovers = (folder: string): readonly string[] =>
  (readdirSync(folder, { recursive: true }) as string[]).filter((name) => name.includes('.amends-'));

describe('files.clean deletes what is old', () => {
  it('R14: deletes plain files older than a day in all folders below, says which and how many, and leaves the folders', async () => {
    const files = ['a', 'b/c', 'b/d/e', 'b/d/.hidden', 'b/new\nline', 'b/\u00fcml\u00e4ut'].map((name) =>
      join(root, name),
    );
    for (const file of files) fileOfAge(file, OLD, 5_000);
    const young = [fileOfAge(join(root, 'b/young'), 23 * HOUR), fileOfAge(join(root, 'future'), -HOUR)];
    const outputs = await run();
    expect(outputs).toMatchObject({
      files_found: 6,
      files_deleted: 6,
      bytes_deleted: 6 * 8_192,
      changed: 0,
      failed: 0,
      kept: { young: 2 },
    });
    expect(outputs['first_files']).toEqual(expect.arrayContaining(files));
    expect(files.filter((file) => existsSync(file))).toEqual([]);
    expect(young.filter((file) => !existsSync(file))).toEqual([]);
    expect(existsSync(join(root, 'b/d'))).toBe(true);
  });

  it('R14: names that are no text are deleted and shown', async () => {
    const name = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe, 0x41])]);
    writeFileSync(name, 'x');
    const at = new Date(Date.now() - OLD);
    const { utimesSync } = await import('node:fs');
    utimesSync(name, at, at);
    expect(await run()).toMatchObject({ files_deleted: 1 });
    expect(readdirSync(root)).toEqual([]);
  });

  it('dry_run says the same and deletes nothing', async () => {
    fileOfAge(join(root, 'a'), OLD);
    const context = contexts.make();
    expect(await perform(clean, { roots: [root], dry_run: true }, context)).toMatchObject({
      files_found: 1,
      files_deleted: 0,
      first_files: [join(root, 'a')],
    });
    expect(context.beganCount()).toBe(0);
    expect(existsSync(join(root, 'a'))).toBe(true);
  });

  it('a folder that is not there is named, two that overlap are walked once', async () => {
    fileOfAge(join(root, 'in/a'), OLD);
    expect(await run({ roots: [root, join(root, 'in'), join(root, 'none')] })).toMatchObject({
      files_found: 1,
      files_deleted: 1,
      missing_roots: [join(root, 'none')],
    });
  });
});

describe('files.clean leaves alone', () => {
  it('C8 F31: links, what they lead to, second names, sockets and pipes, and what a process has open', async () => {
    const behind = fileOfAge(join(outside, 'behind'), OLD);
    const folder = join(outside, 'folder');
    const inside = fileOfAge(join(folder, 'inside'), OLD);
    symlinkSync(behind, join(root, 'link'));
    symlinkSync(folder, join(root, 'folder-link'));
    linkSync(behind, join(root, 'second-name'));
    execFileSync('mkfifo', [join(root, 'pipe')]);
    makeOld(join(root, 'pipe'), OLD);
    const opened = fileOfAge(join(root, 'open'), OLD);
    // By another process: what amends itself has open keeps it out of the folder as a whole.
    const holder = fork(join(fileURLToPath(new URL('../../support', import.meta.url)), 'file-holder.mjs'), [opened]);
    await new Promise((resolve) => holder.once('message', resolve));
    try {
      const error = await failureOf(run());
      expect(error).toMatchObject({
        kind: 'permanent',
        message: expect.stringContaining('nothing was deleted: no plain file'),
      });
      expect(error.outputs).toMatchObject({ files_found: 0, kept: { linked: 1, not_plain: 3, open: 1, young: 0 } });
    } finally {
      holder.kill('SIGKILL');
      await new Promise((resolve) => holder.once('exit', resolve));
    }
    for (const path of [behind, inside, opened]) expect(existsSync(path)).toBe(true);
    for (const name of ['link', 'folder-link', 'second-name', 'pipe']) expect(lstatSync(join(root, name))).toBeTruthy();
    expect(await run()).toMatchObject({ files_deleted: 1 });
  });

  itAsRoot('C8: other mounts, also one of the same file system', async () => {
    fileOfAge(join(root, 'here'), OLD);
    const elsewhere = fileOfAge(join(outside, 'elsewhere'), OLD);
    mkdirSync(join(root, 'bound'));
    execFileSync('mount', ['--bind', outside, join(root, 'bound')]);
    const disk = mountSmallDisk(root, 1, 'mounted');
    const mounted = fileOfAge(join(disk.path, 'file'), OLD);
    try {
      expect(await run()).toMatchObject({ files_deleted: 1, kept: { other_mounts: 2 } });
      expect([elsewhere, mounted].map((path) => existsSync(path))).toEqual([true, true]);
    } finally {
      disk.unmount();
      execFileSync('umount', [join(root, 'bound')]);
    }
  });

  it('C8: a folder that is a link, that allow.paths does not name, that the system lives in, or that holds our own files', async () => {
    symlinkSync(outside, join(root, 'link'));
    fileOfAge(join(outside, 'a'), OLD);
    const mine = fileOfAge(join(root, 'mine/store.db'), OLD);
    const held = heldOpen(mine);
    const refuse = async (
      paths: readonly string[],
      allowed: readonly string[] = [contexts.folder],
    ): Promise<string> => {
      const context = contexts.make({ allow: { paths: allowed } });
      const error = await failureOf(perform(clean, { roots: [...paths] }, context));
      expect([error.kind, context.beganCount()]).toEqual(['permanent', 0]);
      return error.message;
    };
    expect(await refuse([join(root, 'link')])).toContain('symbolic link');
    expect(await refuse(['/var/tmp'])).toContain('not allowed');
    expect(await refuse(['/etc/ssl'], ['/etc'])).toContain('belongs to the system');
    expect(await refuse(['/var'], ['/var'])).toContain('too much of the machine');
    expect(await refuse([join(root, 'none')])).toContain('does not exist');
    expect(await refuse([mine])).toContain('cannot be opened as a folder');
    expect(await refuse([root])).toContain('files of amends itself');
    held.close();
    for (const bad of ['/', '', 'tmp', '/tmp/../etc', '/tmp//a', '/tmp/a\0b'])
      expect(clean.input.safeParse({ roots: [bad] }).success).toBe(false);
    for (const bad of [[], Array.from({ length: 21 }, () => root)])
      expect(clean.input.safeParse({ roots: bad }).success).toBe(false);
    expect(clean.input.safeParse({ roots: [root], older_than: '1s' }).success).toBe(false);
    expect(existsSync(join(outside, 'a'))).toBe(true);
  });
});

describe('files.clean has limits', () => {
  it('F31: more files or bytes than declared means that nothing is deleted', async () => {
    const files = ['a', 'b', 'c'].map((name) => fileOfAge(join(root, name), OLD, 4_096));
    for (const input of [{ max_files: 2 }, { max_bytes: '8KiB' }]) {
      const error = await failureOf(run(input));
      expect(error).toMatchObject({ kind: 'permanent', outputs: { files_found: 3, files_deleted: 0 } });
      expect(error.message).toContain('nothing was deleted: 3 files (12288 bytes)');
    }
    expect(files.every((file) => existsSync(file))).toBe(true);
    expect(await run({ max_files: 3, max_bytes: '12KiB' })).toMatchObject({ files_deleted: 3 });
  });

  it('F31 F60: nothing to delete is a failure that says so, or by choice a success that deleted nothing', async () => {
    fileOfAge(join(root, 'young'), HOUR);
    expect(await failureOf(run())).toMatchObject({
      kind: 'permanent',
      outputs: { files_found: 0, kept: { young: 1 } },
    });
    expect(await run({ if_none: 'succeed' })).toMatchObject({ files_deleted: 0 });
    expect(existsSync(join(root, 'young'))).toBe(true);
  });

  it('F51: called off in the middle it stops within a second and says how far it came', async () => {
    for (let folder = 0; folder < 20; folder += 1)
      for (let file = 0; file < 300; file += 1) fileOfAge(join(root, `d${folder}/f${file}`), OLD, 1);
    const context = contexts.make();
    const failed = failureOf(perform(clean, { roots: [root] }, context));
    await eventually(() => context.beganCount() > 0);
    await eventually(() => readdirSync(join(root, 'd0')).length < 300);
    const start = context.clock.monotonic();
    context.abort();
    const error = await failed;
    expect(context.clock.monotonic() - start).toBeLessThan(1_000);
    expect(error.kind).toBe('indeterminate');
    const deleted = error.outputs?.['files_deleted'] as number;
    expect(deleted).toBeGreaterThan(0);
    expect(deleted).toBeLessThan(6_000);
    expect(error.message).toContain(`stopped after ${deleted} of 6000 files`);
    await eventually(() => {
      const left = (readdirSync(root, { recursive: true }) as string[]).length - 20;
      return Math.abs(6_000 - deleted - left) <= 1;
    });
  });
});

describe('files.clean deletes the files that were listed and no others', () => {
  const list = (): ReturnType<typeof listOld> =>
    listOld({ roots: [root], before: Date.now() - 24 * HOUR, maxFiles: 100_000, maxBytes: 1e12 });
  const remove = (listing: ReturnType<typeof listOld>): ReturnType<typeof removeListed> =>
    removeListed({ list: listing.list, progress: new SharedArrayBuffer(PROGRESS_BYTES) });

  it('C8: what changed since the list stays: written to, replaced, linked elsewhere, opened, gone', () => {
    const files = ['touched', 'replaced', 'linked', 'gone', 'opened', 'as-it-was'].map((name) =>
      fileOfAge(join(root, name), OLD),
    );
    const listing = list();
    expect(listing.files).toBe(6);
    truncateSync(join(root, 'touched'), 10);
    rmSync(join(root, 'replaced'));
    fileOfAge(join(root, 'replaced'), OLD);
    linkSync(join(root, 'linked'), join(outside, 'linked'));
    rmSync(join(root, 'gone'));
    const held = heldOpen(join(root, 'opened'));
    fileOfAge(join(root, 'late'), OLD);
    expect(remove(listing)).toMatchObject({ files: 1, changed: 5, failed: 0 });
    held.close();
    expect(files.map((file) => existsSync(file))).toEqual([true, true, true, false, true, false]);
    expect(existsSync(join(root, 'late'))).toBe(true);
    expect(leftovers(root)).toEqual([]);
  });

  it('C8: raced by a process that swaps folders for links, moves them away and puts young files in place, thousands of deletions touch nothing else', async () => {
    const folders = 60;
    const files = 40;
    let deleted = 0;
    let swaps = 0;
    let changed = 0;
    for (let folder = 0; folder < folders; folder += 1)
      for (let file = 0; file < files; file += 1) fileOfAge(join(outside, `d${folder}/f${file}`), OLD, 10);
    for (let round = 0; round < 2; round += 1) {
      for (let folder = 0; folder < folders; folder += 1)
        for (let file = 0; file < files; file += 1) fileOfAge(join(root, `d${folder}/f${file}`), OLD, 10);
      const racer = fork(
        fileURLToPath(new URL('../../support/symlink-racer.mjs', import.meta.url)),
        [root, outside, String(folders), String(files)],
        { execArgv: [] },
      );
      await new Promise((resolve) => racer.once('message', resolve));
      for (let pass = 0; pass < 2; pass += 1) {
        const removal = remove(list());
        deleted += removal.files;
        changed += removal.changed;
      }
      const answer = new Promise<{ swaps: number; young: readonly string[] }>((resolve) =>
        racer.once('message', (message) => resolve(message as { swaps: number; young: readonly string[] })),
      );
      racer.send('stop');
      const { swaps: made, young } = await answer;
      swaps += made;
      for (const name of young) expect([name, readFileSync(join(root, name), 'utf8')]).toEqual([name, 'young']);
      for (let folder = 0; folder < folders; folder += 1)
        expect([folder, readdirSync(join(outside, `d${folder}`)).length]).toEqual([folder, files]);
      expect(leftovers(root)).toEqual([]);
      rmSync(root, { recursive: true });
      mkdirSync(root);
    }
    expect(swaps).toBeGreaterThan(500);
    // It did get in between.
    expect(changed).toBeGreaterThan(0);
    expect(deleted).toBeGreaterThan(3_000);
  }, 90_000);
});

describe('on a small disk', () => {
  itAsRoot('R14: a file system at 95% goes under 80% and says so, down to the last block', async () => {
    const disk = mountSmallDisk(root, 20);
    try {
      fileOfAge(join(disk.path, 'cache/young'), HOUR, 10 * 2 ** 20);
      for (let file = 0; file < 9; file += 1) fileOfAge(join(disk.path, `cache/old-${file}`), OLD, 2 ** 20);
      expect(percentUsed(disk.path)).toBeGreaterThanOrEqual(95);
      const before = await perform(usage, { path: disk.path }, contexts.make());
      const outputs = await run({ roots: [join(disk.path, 'cache')] });
      expect(outputs).toMatchObject({ files_deleted: 9, bytes_deleted: 9 * 2 ** 20 });
      expect(outputs['usage_before_percent']).toBeGreaterThanOrEqual(95);
      expect(outputs['usage_after_percent']).toBeLessThan(80);
      const after = await perform(
        usage,
        { path: disk.path, since_used_bytes: before['used_bytes'] as number },
        contexts.make(),
      );
      expect(after).toMatchObject({ freed_bytes: 9 * 2 ** 20, total_bytes: 20 * 2 ** 20 });
      expect(after['disk_used_percent']).toBeLessThan(80);
      expect(percentUsed(disk.path)).toBeLessThan(80);
      expect(existsSync(join(disk.path, 'cache/young'))).toBe(true);
    } finally {
      disk.unmount();
    }
  });

  itAsRoot('R14: a disk on which no byte and no name is free is cleaned too', async () => {
    const disk = mountSmallDisk(root, 1);
    try {
      const old = fileOfAge(join(disk.path, 'cache/old'), OLD, 100_000);
      expect(() => writeFileSync(join(disk.path, 'fill'), Buffer.alloc(2 ** 20))).toThrow('ENOSPC');
      expect(percentUsed(disk.path)).toBe(100);
      expect(await run({ roots: [join(disk.path, 'cache')] })).toMatchObject({ files_deleted: 1 });
      expect(existsSync(old)).toBe(false);
    } finally {
      disk.unmount();
    }
  });

  itAsRoot('R14: a file that cannot be deleted is named, and the rest is gone', async () => {
    const files = ['a', 'b'].map((name) => fileOfAge(join(root, name), OLD));
    execFileSync('mount', ['--bind', files[0] ?? '', files[0] ?? '']);
    try {
      const error = await failureOf(run());
      expect(error).toMatchObject({ outputs: { files_deleted: 1, failed: 1 } });
      expect(error.message).toContain(`${join(root, 'a')}: EBUSY`);
    } finally {
      execFileSync('umount', [files[0] ?? '']);
    }
    expect(files.map((file) => existsSync(file))).toEqual([true, false]);
  });
});
