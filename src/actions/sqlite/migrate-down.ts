// One migration back by the application's own command, and never without a backup that could take its place.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { CommandResult } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand, allowedPath } from '../allowed.ts';
import { absolutePath, duration } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as mending from './mending.ts';

const jobs = offThread<typeof mending>('./mending.ts', import.meta.url);

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  TZ: 'UTC',
  HOME: '/',
};
const LONGEST_OUTPUT = 8 * 1024;
const GRACE_MS = 2_000;
const ROOM_MS = 250;

const text = z
  .string()
  .max(4_096)
  .refine((value) => !value.includes('\0'), { message: 'holds a NUL character' });

const tail = ({ text: said }: CommandResult['stdout']): string => said.slice(-LONGEST_OUTPUT);

export default defineAction({
  summary: 'Runs the declared command that takes one migration of a SQLite database back, after a check of the backup.',
  effect: 'destroy',
  input: z.strictObject({
    path: absolutePath,
    /** The backup of the step before; without a good one nothing is done. */
    backup: absolutePath,
    fresh: duration.default(600_000),
    /** The absolute path of the command, then its arguments. */
    argv: z.tuple([absolutePath], text).refine((argv) => argv.length <= 64, { message: 'more than 64 arguments' }),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/), text).default({}),
    cwd: absolutePath.optional(),
  }),
  outputs: {
    backup: 'the backup that was checked',
    exit_code: 'of the command',
    stdout: 'what it wrote: the last 8 KiB',
    stderr: 'what it wrote to stderr: the last 8 KiB',
    schema_changed: 'the schema or its user_version is another one than before',
  },
  undo: 'sqlite.restore with even_if_healthy puts the backup back; what was written since is lost with it',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, deadline, marker, signal, spawner } = context;
    const [file, ...args] = input.argv;
    allowedCommand(file, allow);
    const path = await allowedPath(input.path, allow, 'the database');
    const backup = await allowedPath(input.backup, allow, 'the backup');
    const options = { key: path, clock, signal };
    const reason = await jobs('backupObjection', { backup, now: clock.now(), freshMs: input.fresh }, options);
    if (reason !== null)
      throw new ActionError(
        'permanent',
        `no migration was taken back: the backup ${backup} ${reason}; mend: sqlite.backup right before`,
      );
    const before = await jobs('schemaOf', { path }, options);
    signal.throwIfAborted();
    context.began();
    const left = Math.max(1, deadline - clock.monotonic());
    const graceMs = Math.min(GRACE_MS, left / 4);
    const result = await spawner.run(
      {
        file,
        args,
        env: { ...ENVIRONMENT, ...input.env },
        cwd: input.cwd ?? '/',
        stdin: null,
        timeoutMs: Math.max(1, left - graceMs - Math.min(ROOM_MS, left / 4)),
        graceMs,
      },
      marker,
      signal,
    );
    const said = { backup, exit_code: result.exitCode ?? -1, stdout: tail(result.stdout), stderr: tail(result.stderr) };
    if (!result.started)
      throw new ActionError('permanent', `${file} was not started: ${result.error ?? 'unknown'}`, {
        outputs: { ...said, schema_changed: false },
      });
    if (result.timedOut || signal.aborted || result.exitCode === null)
      throw new ActionError('indeterminate', `${file} was ended before it was done; the state before is in ${backup}`, {
        outputs: said,
      });
    const after = await jobs('schemaOf', { path }, options);
    const changed = after.text !== before.text || after.userVersion !== before.userVersion;
    const outputs = { ...said, schema_changed: changed };
    if (result.exitCode === 0) return { outputs, undo: { backup } };
    const last = result.stderr.text.trimEnd().split('\n').at(-1)?.slice(0, 200) ?? '';
    // A failed migration may have gone half of its way.
    throw new ActionError(changed ? 'indeterminate' : 'permanent', `${file} ended with ${result.exitCode}: ${last}`, {
      outputs,
    });
  },
});
