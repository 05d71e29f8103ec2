// A real file system of a few megabytes, for tests of what happens when it is full.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { it } from '@jest/globals';

const MAY_MOUNT = process.getuid?.() === 0;

/** Jest's `it`, for a test that mounts something: skipped for an ordinary user. */
export const itAsRoot: typeof it = MAY_MOUNT ? it : (it.skip as typeof it);

/** Mounted at a folder of this name below `folder`; `unmount` has to be called before the folder is removed. */
export const mountSmallDisk = (
  folder: string,
  megabytes: number,
  name = 'disk',
): { readonly path: string; unmount(): void } => {
  const path = join(folder, name);
  mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', path]);
  return {
    path,
    unmount() {
      execFileSync('umount', ['-l', path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
};

export const HOUR = 3_600_000;

/** A file of so many bytes that was last changed so long ago; the folders on the way are made. */
export const fileOfAge = (path: string, ageMs: number, bytes = 1_000): string => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.alloc(bytes, 'x'));
  makeOld(path, ageMs);
  return path;
};

export const makeOld = (path: string, ageMs: number): void => {
  const at = new Date(Date.now() - ageMs);
  utimesSync(path, at, at);
};

/** As df shows it. */
export const percentUsed = (path: string): number => {
  const { blocks, bfree, bavail } = statfsSync(path);
  return ((blocks - bfree) / (blocks - bfree + bavail)) * 100;
};

/** Held open by this process until `close`. */
export const heldOpen = (path: string): { close(): void } => {
  const descriptor = openSync(path, 'r');
  return { close: () => closeSync(descriptor) };
};
