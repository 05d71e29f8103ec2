// Asks whoever supervises a service, systemd or a declared command, and reads what it says of the service. What it starts
// does not carry the marker of our step: a service that was recovered is not ended with the step that asked for it.
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext, CommandResult } from '../../port/action.ts';
import { absolutePath } from '../inputs.ts';

const ENV = ['/usr/bin/env', '/bin/env'].find((path) => existsSync(path)) ?? null;
const SYSTEMCTL = '/usr/bin/systemctl';
const MARKER = 'AMENDS_MARKER';
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  TZ: 'UTC',
};
/** The tree has to be gone before the step's own time is up. */
const ROOM_MS = 500;

const argv = z.tuple(
  [absolutePath],
  z
    .string()
    .max(4_096)
    .refine((text) => !text.includes('\0'), { message: 'holds a NUL character' }),
);

/** As declared in a target's `connect`; every executable has to stand in allow.commands as well. */
export const supervisor = z.union([
  z.strictObject({ unit: z.string().regex(/^[A-Za-z0-9][\w.@:-]{0,127}$/, { message: 'the name of a unit' }) }),
  z.strictObject({
    /** Ends with 0 while the service runs, with 3 when it does not; may print `pid <n>` and `restarts <n>`. */
    status: argv,
    start: argv,
    stop: argv,
    restart: argv.optional(),
  }),
]);
export type Supervisor = z.output<typeof supervisor>;
export type Verb = 'start' | 'stop' | 'restart' | 'status';

export type Status = {
  readonly active: boolean;
  /** In the supervisor's own words. */
  readonly state: string;
  /** 0 when it is not known. */
  readonly main_pid: number;
  /** How often the supervisor has started it again by itself; -1 when it does not say. */
  readonly restarts: number;
};

const SHOWN = ['ActiveState', 'SubState', 'MainPID', 'NRestarts', 'LoadState'];

const argvOf = (by: Supervisor, verb: Verb): readonly string[] => {
  if ('unit' in by) {
    return verb === 'status'
      ? [SYSTEMCTL, 'show', by.unit, `--property=${SHOWN.join(',')}`]
      : [SYSTEMCTL, '--no-ask-password', verb, by.unit];
  }
  return verb === 'restart' ? (by.restart ?? []) : by[verb];
};

/** A supervisor that knows no restart is asked to stop and to start. */
export const knowsRestart = (by: Supervisor): boolean => 'unit' in by || by.restart !== undefined;

export const refuseUnlisted = (by: Supervisor, context: ActionContext): void => {
  for (const verb of ['status', 'start', 'stop', 'restart'] as const) {
    const file = argvOf(by, verb)[0];
    if (file !== undefined && !context.allow.commands.includes(file))
      throw new ActionError(
        'permanent',
        `the command ${file} is not allowed; mend: add "${file}" to allow.commands in the configuration`,
      );
  }
};

/** The command goes on without the marker, yet dies with us: what it leaves behind belongs to the supervisor. */
const ask = async (by: Supervisor, verb: Verb, context: ActionContext): Promise<CommandResult> => {
  if (ENV === null) throw new ActionError('permanent', 'env is missing here; mend: install coreutils');
  const left = Math.max(1, context.deadline - context.clock.monotonic());
  const result = await context.spawner.run(
    {
      file: ENV,
      args: ['-u', MARKER, '--', ...argvOf(by, verb)],
      env: ENVIRONMENT,
      cwd: '/',
      stdin: null,
      timeoutMs: Math.max(1, left - Math.min(ROOM_MS, left / 4)),
      graceMs: Math.min(250, left / 8),
    },
    context.marker,
    context.signal,
  );
  // Not the signal's own reason, which may say that another try would help: something may have been done.
  if (context.signal.aborted) throw new Error(`called off while the supervisor was asked to ${verb}`);
  return result;
};

const said = (result: CommandResult): string =>
  (result.error ?? (result.stderr.text.trim() || result.stdout.text.trim())).split('\n').at(-1)?.slice(0, 200) ?? '';

export const parseUnit = (text: string): Status & { readonly loaded: boolean } => {
  const values = new Map(
    text.split('\n').map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)]),
  );
  const restarts = Number(values.get('NRestarts') ?? '-1');
  return {
    loaded: values.get('LoadState') === 'loaded',
    active: values.get('ActiveState') === 'active',
    state: `${values.get('ActiveState') ?? 'unknown'} (${values.get('SubState') ?? 'unknown'})`,
    main_pid: Number(values.get('MainPID') ?? '0') || 0,
    restarts: Number.isSafeInteger(restarts) ? restarts : -1,
  };
};

/** `supervisorctl status` and its like print `RUNNING pid 123, uptime 0:00:05`. */
export const parseStatus = (exitCode: number, text: string): Status => ({
  active: exitCode === 0,
  state: text.trim().split('\n')[0]?.slice(0, 200) ?? '',
  main_pid: Number(/\bpid[ :=]+(\d{1,7})\b/i.exec(text)?.[1] ?? 0),
  restarts: Number(/\brestarts[ :=]+(\d{1,9})\b/i.exec(text)?.[1] ?? -1),
});

export const statusOf = async (by: Supervisor, context: ActionContext): Promise<Status> => {
  const result = await ask(by, 'status', context);
  if (!result.started || result.exitCode === null || result.timedOut)
    throw new ActionError(
      'retryable',
      `the supervisor does not say how the service is: ${result.timedOut ? 'no answer in time' : said(result)}`,
    );
  if (!('unit' in by)) {
    // 3 is what the init scripts of Debian and of the LSB end with for a service that is stopped.
    if (result.exitCode === 0 || result.exitCode === 3) return parseStatus(result.exitCode, result.stdout.text);
    throw new ActionError('retryable', `the supervisor's status ended with ${result.exitCode}: ${said(result)}`);
  }
  if (result.exitCode !== 0)
    throw new ActionError('retryable', `systemctl show ${by.unit} ended with ${result.exitCode}: ${said(result)}`);
  const { loaded, ...status } = parseUnit(result.stdout.text);
  if (!loaded) throw new ActionError('permanent', `systemd has no unit ${by.unit}; mend: correct connect.service.unit`);
  return status;
};

/** Throws when the supervisor did not do as it was asked; the caller has said `began()`. */
export const tell = async (by: Supervisor, verb: Exclude<Verb, 'status'>, context: ActionContext): Promise<void> => {
  const result = await ask(by, verb, context);
  if (!result.started) throw new ActionError('permanent', `the supervisor was not asked to ${verb}: ${said(result)}`);
  if (result.timedOut) throw new ActionError('indeterminate', `the supervisor did not end its ${verb} in time`);
  if (result.exitCode !== 0)
    throw new ActionError(
      'retryable',
      `the supervisor's ${verb} ended with ${result.exitCode ?? result.signal ?? 'nothing'}: ${said(result)}`,
    );
};

const LOOK_EVERY_MS = 100;
/** Down and up again counts as two: after so many nobody needs to wait any longer. */
const MOST_CHANGES = 6;

/** Looks until `so`, or fails with how it was last. */
export const waitFor = async (
  by: Supervisor,
  so: (status: Status) => boolean,
  within: number,
  what: string,
  context: ActionContext,
): Promise<Status> => {
  const until = context.clock.monotonic() + within;
  for (;;) {
    const status = await statusOf(by, context);
    if (so(status)) return status;
    if (context.clock.monotonic() >= until)
      throw new ActionError('retryable', `the service is not ${what} after ${within} ms: ${status.state}`, {
        outputs: { active: status.active, state: status.state, main_pid: status.main_pid, restarts: status.restarts },
      });
    await context.clock.sleep(LOOK_EVERY_MS, context.signal);
  }
};

/**
 * Active for all of `stable`, by one and the same process and with an unchanged counter: a service that crashes and is
 * started again looks active at most moments.
 */
export const waitStable = async (
  by: Supervisor,
  stable: number,
  within: number,
  context: ActionContext,
): Promise<Status> => {
  const { clock, signal } = context;
  const begun = clock.monotonic();
  const until = begun + within + stable;
  let status = await waitFor(by, (one) => one.active, within, 'active', context);
  let since = clock.monotonic();
  let changes = 0;
  while (clock.monotonic() - since < stable) {
    await clock.sleep(Math.min(LOOK_EVERY_MS, stable), signal);
    const now = await statusOf(by, context);
    if (!now.active || now.main_pid !== status.main_pid || now.restarts !== status.restarts) {
      changes += 1;
      since = clock.monotonic();
    }
    status = now;
    if (changes >= MOST_CHANGES || (changes > 0 && clock.monotonic() > until))
      throw new ActionError(
        'permanent',
        `the service does not stay up: it changed ${changes} times within ${Math.round(clock.monotonic() - begun)} ms and is ${status.state} now; mend: look into its log, another restart will not help`,
        {
          outputs: { active: status.active, state: status.state, main_pid: status.main_pid, restarts: status.restarts },
        },
      );
  }
  return status;
};
