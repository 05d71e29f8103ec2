import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import restore from '../../../src/actions/files/restore.ts';
import snapshot from '../../../src/actions/files/snapshot.ts';
import { createContexts, failureOf, perform, textOf } from '../../support/action-context.ts';

const contexts = createContexts();
afterAll(() => contexts.stop());

let count = 0;
let path: string;
let snapshots: string;
beforeEach(() => {
  count += 1;
  path = join(contexts.folder, `index-${count}`);
  snapshots = join(contexts.folder, `snapshots-${count}`);
  mkdirSync(join(path, 'deep/er'), { recursive: true });
  writeFileSync(join(path, 'data.bin'), Buffer.alloc(2_500_000, 7));
  writeFileSync(join(path, 'deep/er/text'), 'text');
  chmodSync(join(path, 'deep/er/text'), 0o640);
  symlinkSync('../data.bin', join(path, 'deep/link'));
});

const take = (more: { keep?: number; max_bytes?: string } = {}) =>
  perform(snapshot, { path, snapshots, ...more }, contexts.make());
const bring = (more: { allow_open?: boolean } = {}) => perform(restore, { path, snapshots, ...more }, contexts.make());

describe('files.snapshot and files.restore', () => {
  it('bring a folder back byte for byte, with modes and links, and keep what was there', async () => {
    const taken = await take();
    expect(taken).toMatchObject({ files: 2, bytes: 2_500_004, skipped: 0 });
    truncateSync(join(path, 'data.bin'), 10);
    rmSync(join(path, 'deep'), { recursive: true });
    writeFileSync(join(path, 'new'), 'new');
    const restored = await bring();
    expect(restored).toMatchObject({ restored_from: taken['snapshot'], files: 2, skipped_snapshots: [] });
    expect(readFileSync(join(path, 'data.bin')).equals(Buffer.alloc(2_500_000, 7))).toBe(true);
    expect(statSync(join(path, 'deep/er/text')).mode & 0o777).toBe(0o640);
    expect(readlinkSync(join(path, 'deep/link'))).toBe('../data.bin');
    expect(existsSync(join(path, 'new'))).toBe(false);
    const kept = textOf(restored, 'replaced_to');
    expect([statSync(join(kept, 'data.bin')).size, readFileSync(join(kept, 'new'), 'utf8')]).toEqual([10, 'new']);
  });

  it('a folder that is gone is restored too', async () => {
    await take();
    rmSync(path, { recursive: true });
    expect(await bring()).toMatchObject({ replaced_to: '', files: 2 });
    expect(readFileSync(join(path, 'deep/er/text'), 'utf8')).toBe('text');
  });

  it('F58: a snapshot that is empty, damaged, cut or added to in its manifest is never restored; the one before is', async () => {
    const first = textOf(await take(), 'snapshot');
    const damage: ReadonlyArray<(at: string) => void> = [
      (at) => appendFileSync(join(at, 'files/data.bin'), 'x'),
      (at) => truncateSync(join(at, 'files/deep/er/text'), 0),
      (at) => rmSync(join(at, 'files/deep/link')),
      (at) => rmSync(join(at, 'manifest.json')),
      (at) => appendFileSync(join(at, 'manifest.json'), ' '),
      (at) => writeFileSync(join(at, 'manifest.json'), ''),
    ];
    for (const harm of damage) {
      await contexts.make().clock.sleep(2);
      harm(textOf(await take({ keep: 100 }), 'snapshot'));
    }
    const restored = await bring();
    expect(restored['restored_from']).toBe(first);
    expect(restored['skipped_snapshots']).toHaveLength(damage.length);
    rmSync(join(first, 'files/data.bin'));
    const context = contexts.make();
    expect(await failureOf(perform(restore, { path, snapshots }, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('none of 7 passes its check'),
    });
    expect(context.beganCount()).toBe(0);
    expect(statSync(join(path, 'data.bin')).size).toBe(2_500_000);
  });

  it('F58 F31: nothing to save, or more than declared, leaves no snapshot behind', async () => {
    expect(await failureOf(take({ max_bytes: '1MB' }))).toMatchObject({ kind: 'permanent' });
    rmSync(path, { recursive: true });
    mkdirSync(path);
    expect(await failureOf(take())).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('holds no byte'),
    });
    expect(readdirSync(snapshots)).toEqual([]);
  });

  it('keeps the newest', async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      await contexts.make().clock.sleep(2);
      await take({ keep: 2 });
    }
    expect(readdirSync(snapshots)).toHaveLength(2);
  });

  it('a folder that a process has open is left alone until it is told otherwise', async () => {
    await take();
    const holder = fork(fileURLToPath(new URL('../../support/file-holder.mjs', import.meta.url)), [
      join(path, 'data.bin'),
    ]);
    await new Promise((resolve) => holder.once('message', resolve));
    try {
      expect(await failureOf(bring())).toMatchObject({
        kind: 'retryable',
        message: expect.stringContaining(String(holder.pid)),
      });
      expect(await bring({ allow_open: true })).toMatchObject({ files: 2 });
    } finally {
      holder.kill('SIGKILL');
      await new Promise((resolve) => holder.once('exit', resolve));
    }
  });

  it('C8: links and places that are not allowed are refused', async () => {
    symlinkSync(path, join(contexts.folder, `link-${count}`));
    for (const input of [
      { path: join(contexts.folder, `link-${count}`), snapshots },
      { path: '/etc', snapshots },
      { path, snapshots: '/var/tmp/amends-no' },
    ])
      expect(await failureOf(perform(snapshot, input, contexts.make()))).toMatchObject({ kind: 'permanent' });
  });
});
