// Gives a path the owner, group and mode that its component declares, and nothing beyond that declaration.
import { chmodSync, chownSync, closeSync, constants, fstatSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { accountOf, examine, groupIdOf } from './accounts.ts';
import { below, close, codeOf, openFolder } from './walking.ts';

/** A descriptor for owner and mode alone, so that a file which may not even be read can be mended; not in Node's constants. */
const O_PATH = 0o10000000;

const id = z.string().regex(/^[\w.-]{1,64}$/, { message: 'a name or a number' });

type Wanted = { readonly uid: number | null; readonly gid: number | null; readonly mode: number | null };
type Before = { readonly owner: string; readonly group: string; readonly mode: string };

const modeText = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');

/** What it was; null when nothing had to be changed. */
const mend = (path: string, wanted: Wanted, begin: () => void): Before | null => {
  const folder = openFolder(Buffer.from(dirname(path)));
  let descriptor = -1;
  try {
    descriptor = openSync(below(folder, Buffer.from(basename(path))), O_PATH | constants.O_NOFOLLOW);
    const stat = fstatSync(descriptor);
    if (stat.isSymbolicLink() || !(stat.isFile() || stat.isDirectory()))
      throw new ActionError('permanent', `nothing was changed: ${path} is neither a plain file nor a folder`);
    // A second name may stand for a file that nobody declared.
    if (stat.isFile() && stat.nlink !== 1)
      throw new ActionError('permanent', `nothing was changed: ${path} has ${stat.nlink} names; mend: by hand`);
    const owned = (wanted.uid ?? stat.uid) === stat.uid && (wanted.gid ?? stat.gid) === stat.gid;
    const fits = (wanted.mode ?? stat.mode & 0o777) === (stat.mode & 0o777);
    if (owned && fits) return null;
    begin();
    // The name of an open descriptor leads to what is open and to nothing else.
    const open = `/proc/self/fd/${descriptor}`;
    if (!owned) chownSync(open, wanted.uid ?? stat.uid, wanted.gid ?? stat.gid);
    if (!fits) chmodSync(open, (stat.mode & 0o7000) | (wanted.mode ?? 0));
    return { owner: String(stat.uid), group: String(stat.gid), mode: modeText(stat.mode) };
  } finally {
    if (descriptor >= 0) closeSync(descriptor);
    close(folder);
  }
};

export default defineAction({
  summary: 'Gives one declared path its declared owner, group and mode, then tries as the account that needs it.',
  effect: 'change',
  input: z
    .strictObject({
      path: absolutePath,
      owner: id.optional(),
      group: id.optional(),
      /** Three octal digits; never writable for everybody. */
      mode: z
        .string()
        .regex(/^0?[0-7]{2}[0145]$/, { message: 'an octal mode like 0640, not writable for everybody' })
        .optional(),
      account: id.optional(),
      need: z.enum(['read', 'write']).default('write'),
    })
    .refine((input) => input.owner !== undefined || input.group !== undefined || input.mode !== undefined, {
      message: 'declare at least one of owner, group and mode',
    }),
  outputs: {
    changed: 'something was not as declared and was set',
    accessible: 'the account may use the path now',
    owner: 'its owner now',
    group: 'its group now',
    mode: 'its mode now, four octal digits',
    owner_before: 'the number of its owner before, or empty when nothing was changed',
    group_before: 'the number of its group before, or empty',
    mode_before: 'its mode before, or empty',
    account: 'the account that tried',
    blocked_at: 'where the account is still stopped, or empty',
    reason: 'the same in words, or empty',
  },
  undo: 'the same action with owner, group and mode of its `undo`: owner, group, mode',
  defaultTimeout: 20_000,
  async run(input, context) {
    const { allow, signal } = context;
    signal.throwIfAborted();
    const path = await allowedPath(input.path, allow, 'the path');
    const account = accountOf(input.account ?? input.owner);
    const wanted = {
      uid: input.owner === undefined ? null : accountOf(input.owner).uid,
      gid: input.group === undefined ? null : groupIdOf(input.group),
      mode: input.mode === undefined ? null : Number.parseInt(input.mode, 8),
    };
    let before: Before | null;
    try {
      before = mend(path, wanted, () => context.began());
    } catch (error) {
      if (error instanceof ActionError) throw error;
      const mends =
        codeOf(error) === 'EPERM' || codeOf(error) === 'EACCES'
          ? `amends runs as uid ${process.geteuid?.() ?? 0} and may not; by hand as root`
          : 'by hand';
      throw new ActionError(
        'permanent',
        `owner and mode of ${path} could not be set (${codeOf(error)}); mend: ${mends}`,
        {
          cause: error,
        },
      );
    }
    const found = await examine(path, account, input.need, context);
    const { owner, group, mode, accessible, blocked_at, reason } = found;
    const outputs = {
      changed: before !== null,
      accessible,
      owner,
      group,
      mode,
      owner_before: before?.owner ?? '',
      group_before: before?.group ?? '',
      mode_before: before?.mode ?? '',
      account: account.name,
      blocked_at,
      reason,
    };
    if (!accessible)
      throw new ActionError('permanent', `${path} is as declared, and still: ${reason}; mend: by hand`, { outputs });
    return { outputs, ...(before === null ? {} : { undo: before }) };
  },
});
