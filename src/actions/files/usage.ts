// How full a file system is: the evidence before a clean-up, the proof after it, and a probe in between.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { usageOf } from './measuring.ts';

export default defineAction({
  summary: 'Measures how full the file system of a path is.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({
    path: absolutePath,
    /** `used_bytes` of an earlier look, for freed_bytes. */
    since_used_bytes: z.int().nonnegative().optional(),
  }),
  outputs: {
    total_bytes: 'its size',
    used_bytes: 'what is used',
    available_bytes: 'what an ordinary user can still write',
    disk_used_percent: 'used of what ordinary users can have, as df shows it, with one decimal',
    inodes_used_percent: 'the same of the number of files, 0 where there is no such limit',
    freed_bytes: 'how much less is used than since_used_bytes, 0 without it; below zero when it has filled further',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, { allow, signal }) {
    signal.throwIfAborted();
    const usage = await usageOf(await allowedPath(input.path, allow, 'the path'));
    const freed = input.since_used_bytes === undefined ? 0 : input.since_used_bytes - usage.used_bytes;
    return { outputs: { ...usage, freed_bytes: freed } };
  },
});
