// The way to anything that amends has no action for, as narrow as it can be made.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { CommandResult } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand } from '../allowed.ts';
import { absolutePath, duration } from '../inputs.ts';

const LONGEST_OUTPUT = 16 * 1024;
/** The tree has to be gone before the step's own time is up. */
const ROOM_MS = 250;

/** Nothing of amends' own environment; what a program needs to run at all. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  TZ: 'UTC',
  HOME: '/',
};
const SHORT_OF_MEANS =
  /EAGAIN|ENOMEM|EMFILE|ENFILE|ETXTBSY|Cannot allocate|Resource temporarily|fork system call failed/;

const noNul = (text: string): boolean => !text.includes('\0');
const text = z
  .string()
  .max(128 * 1024)
  .refine(noNul, { message: 'holds a NUL character' });

/** The beginning and the end, since the cause is mostly in one of them. */
const cut = (output: string): string =>
  output.length <= LONGEST_OUTPUT
    ? output
    : `${output.slice(0, LONGEST_OUTPUT / 2)}\n[...]\n${output.slice(-LONGEST_OUTPUT / 2)}`;

const shown = (
  result: CommandResult,
): { exit_code: number; stdout: string; stderr: string; dropped_bytes: number } => ({
  exit_code: result.exitCode ?? -1,
  stdout: cut(result.stdout.text),
  stderr: cut(result.stderr.text),
  dropped_bytes: result.stdout.dropped + result.stderr.dropped,
});

const lastLine = (output: string): string => output.trimEnd().split('\n').at(-1)?.slice(0, 200) ?? '';

/** Null: it went as expected. */
const failureOf = (
  file: string,
  result: CommandResult,
  expected: readonly number[],
  aborted: boolean,
): ActionError | null => {
  const outputs = shown(result);
  if (!result.started) {
    const kind = SHORT_OF_MEANS.test(result.error ?? '') ? 'retryable' : 'permanent';
    return new ActionError(kind, `${file} was not started: ${result.error ?? 'unknown'}`, { outputs });
  }
  if (result.timedOut)
    return new ActionError('indeterminate', `${file} did not end in time and was ended with all that it had started`, {
      outputs,
    });
  if (aborted)
    return new ActionError('indeterminate', `${file} was called off and ended with all that it had started`, {
      outputs,
    });
  if (result.exitCode === null)
    return new ActionError('indeterminate', `${file} was ended by ${result.signal ?? 'a signal'}`, { outputs });
  if (expected.includes(result.exitCode)) return null;
  const said = lastLine(result.stderr.text);
  return new ActionError(
    'retryable',
    `${file} ended with ${result.exitCode} instead of ${expected.join(' or ')}${said === '' ? '' : `: ${said}`}`,
    { outputs },
  );
};

export default defineAction({
  summary: 'Runs a declared executable with a list of arguments; there is no shell anywhere.',
  effect: 'change',
  input: z.strictObject({
    /** The absolute path of the executable, then its arguments. */
    argv: z.tuple([absolutePath], text).refine((argv) => argv.length <= 256, { message: 'more than 256 arguments' }),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/), text).default({}),
    cwd: absolutePath.optional(),
    stdin: text.optional(),
    expect: z.array(z.int().min(0).max(255)).min(1).max(20).default([0]),
    grace: duration.default(2_000),
  }),
  outputs: {
    exit_code: 'its exit code, -1 when it was ended by a signal or never started',
    stdout: 'what it wrote: the first and the last 8 KiB',
    stderr: 'what it wrote to stderr: the first and the last 8 KiB',
    dropped_bytes: 'bytes of its output that were not kept at all',
  },
  undo: 'only the runbook knows: give the step an `undo` if the command has an opposite',
  defaultTimeout: 60_000,
  async run(input, context) {
    const { allow, clock, deadline, marker, signal, spawner } = context;
    const [file, ...args] = input.argv;
    allowedCommand(file, allow);
    const left = Math.max(1, deadline - clock.monotonic());
    const graceMs = Math.min(input.grace, left / 4);
    signal.throwIfAborted();
    context.began();
    const request = {
      file,
      args,
      env: { ...ENVIRONMENT, ...input.env },
      cwd: input.cwd ?? '/',
      stdin: input.stdin ?? null,
      timeoutMs: Math.max(1, left - graceMs - Math.min(ROOM_MS, left / 4)),
      graceMs,
    };
    const result = await spawner.run(request, marker, signal);
    const failure = failureOf(file, result, input.expect, signal.aborted);
    if (failure !== null) throw failure;
    return { outputs: shown(result) };
  },
});
