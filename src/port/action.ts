// The seam behind every step: an action reads, changes or destroys something in the world, within a time limit, and
// says truthfully what became of it.
import type { ZodType } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { JsonObject } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import type { Effect } from '../runbook/runbook.ts';

/** The outer bound of the configuration: nothing declared, nothing allowed. */
export type Allow = {
  /** `host` or `host:port`. */
  readonly hosts: readonly string[];
  /** Absolute paths of executables. */
  readonly commands: readonly string[];
  /** Absolute paths of files, or of folders with all below them. */
  readonly paths: readonly string[];
  readonly containers: readonly string[];
};

export type CommandRequest = {
  /** Absolute path of the executable; never a shell. */
  readonly file: string;
  readonly args: readonly string[];
  /** The whole environment but for the marker that names run and step. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stdin: string | null;
  readonly timeoutMs: number;
  /** From TERM to KILL of the whole tree. */
  readonly graceMs: number;
};

export type CommandResult = {
  /** False: it never ran (missing, not executable, no memory); nothing happened. */
  readonly started: boolean;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  /** First and last 64 KiB; `dropped` counts the bytes between. */
  readonly stdout: { readonly text: string; readonly dropped: number };
  readonly stderr: { readonly text: string; readonly dropped: number };
  readonly error: string | null;
};

/** Runs a command from a helper process, with a deadline and a death signal that live outside Node. */
export type Spawner = {
  run(request: CommandRequest, marker: string, signal: AbortSignal): Promise<CommandResult>;
  /** Ends whatever still carries this marker in its environment; resolves to how many were ended. */
  sweep(marker: string): Promise<number>;
  stop(): Promise<void>;
};

/** Changes that an action asks the engine to commit together with its result: the only way into amends' own state. */
export type Request =
  | { readonly type: 'degrade'; readonly mode: string; readonly on: boolean }
  | {
      readonly type: 'inbox';
      readonly kind: 'note' | 'escalation';
      readonly severity: string | null;
      readonly title: string;
      readonly body: string;
    }
  | {
      readonly type: 'notify';
      readonly receiver: string | null;
      readonly severity: string | null;
      readonly title: string;
      readonly body: string;
    };

export type ActionContext = {
  readonly clock: Clock;
  /** Aborted at the step's time limit, on a hard halt and when the lease is lost; an action ends within a second of it. */
  readonly signal: AbortSignal;
  /** Monotonic milliseconds at which `signal` is aborted for time. */
  readonly deadline: number;
  readonly log: Log;
  readonly allow: Allow;
  readonly spawner: Spawner;
  /** `<run id>/<step key>`, or `probe/<name>`; children carry it in AMENDS_MARKER. */
  readonly marker: string;
  readonly run: { readonly id: string; readonly component: string; readonly kind: string; readonly target: string };
  /** For what this step asks of others by HTTP: the trace, and a span that is the step's own (W3C). */
  readonly traceparent?: string;
  /** Reads a secret file named by a declared `*_file` member and registers it for redaction. */
  secret(file: string): Promise<string>;
  /** Registers a secret that stands among other things in a file, such as the token in a kubeconfig. */
  conceal(value: string): void;
  request(change: Request): void;
  /** What amends itself has on record around this run, bounded in size; absent where there is no record to look into. */
  recall?(): Promise<JsonObject>;
  /** Call just before the first moment at which an effect may happen; until then a failure means that nothing did. */
  began(): void;
};

export type ActionResult = {
  /** Read by later steps as `steps.<id>.outputs.<name>`; at most 64 KiB as JSON. */
  readonly outputs: JsonObject;
  /** Kept for the step's `undo`, as `undo` in its templates. */
  readonly undo?: JsonObject;
};

export type Action<Input = unknown> = {
  /** One sentence for `amends runbook show` and the reference. */
  readonly summary: string;
  readonly effect: Effect;
  /** The step's `with` after rendering. Strict: unknown keys are refused. */
  readonly input: ZodType<Input>;
  /** Names of the outputs with their meaning and unit. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Why it cannot be undone, or what its `undo` needs. */
  readonly undo: string;
  /** What it makes is a backup: what destroys something may come after it. */
  readonly saves?: true;
  /** It keeps what it replaces or takes away, so no backup has to come before it. */
  readonly keeps?: true;
  /** It succeeds whatever it finds; in a `verify` only an `expect` can fail. */
  readonly onlyTells?: true;
  /** Milliseconds, when the step does not say. */
  readonly defaultTimeout: number;
  /** Resolves with the outputs, or throws ActionError(kind): anything else that is thrown counts as indeterminate once `began` was called. */
  run(input: Input, context: ActionContext): Promise<ActionResult>;
  /** Lets go of what the action keeps between its runs, such as a connection; called when amends stops. */
  readonly release?: () => void;
};

/** Keeps the type of the input together with its schema. */
export const defineAction = <Input>(action: Action<Input>): Action<Input> => action;

/** By name, `<family>.<verb>`. */
export type Actions = ReadonlyMap<string, Action>;
