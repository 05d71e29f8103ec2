// Performs one action: rendered input in, truth about what became of it out. Everything with a time limit ends here.
import { readFile } from 'node:fs/promises';
import type { FailureKind } from '../base/failure.ts';
import { ActionError } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { LogFields } from '../base/log.ts';
import { childOf, traceIdOf } from '../base/trace.ts';
import type { Action, ActionContext, Request } from '../port/action.ts';
import type { EngineContext } from './context.ts';
import { recall } from './recall.ts';
import { whereabouts } from './whereabouts.ts';

export type Performance =
  | {
      readonly ok: true;
      readonly outputs: JsonObject;
      readonly undo: JsonObject;
      readonly requests: readonly Request[];
      readonly ms: number;
    }
  | {
      readonly ok: false;
      readonly kind: FailureKind;
      readonly error: string;
      readonly outputs: JsonObject;
      readonly began: boolean;
      readonly ms: number;
    };

export type Call = {
  readonly uses: string;
  readonly input: unknown;
  readonly timeoutMs: number;
  /** Globs over action names that the component allows; null: no component stands behind it (a probe's are read-only). */
  readonly allowedActions: readonly string[] | null;
  readonly marker: string;
  readonly run: ActionContext['run'];
  /** The incident behind it. */
  readonly episodeId?: string | null;
  /** The trace it belongs to. */
  readonly traceparent?: string | undefined;
  /** Ends it from outside: a hard halt, a lost lease, the end of the process. */
  readonly signal: AbortSignal;
};

const at = (places: string): string => (places === '' ? '' : `, at ${places}`);

const LARGEST_OUTPUTS = 65_536;
/** An action has this long after its time limit to say what became of it. */
const LAST_WORD_MS = 5_000;

export const allowed = (globs: readonly string[], name: string): boolean =>
  globs.some((glob) => glob === '*' || glob === name || (glob.endsWith('.*') && name.startsWith(glob.slice(0, -1))));

export const perform = async (context: EngineContext, call: Call): Promise<Performance> => {
  const { clock } = context;
  const started = clock.monotonic();
  const took = (): number => Math.round(clock.monotonic() - started);
  const nothing = (kind: FailureKind, error: string): Performance => ({
    ok: false,
    kind,
    error: context.redactor.text(error),
    outputs: {},
    began: false,
    ms: took(),
  });

  const action = context.actions.get(call.uses);
  if (action === undefined) return nothing('permanent', `there is no action ${call.uses}`);
  if (call.allowedActions !== null && !allowed(call.allowedActions, call.uses)) {
    return nothing(
      'permanent',
      `the component does not allow ${call.uses}: add it to allow.actions of ${call.run.component}`,
    );
  }
  const input = action.input.safeParse(call.input);
  if (!input.success) {
    const problems = input.error.issues.map(
      (issue) => `${issue.path.map(String).join('.') || 'with'}: ${issue.message}`,
    );
    return nothing('permanent', `${call.uses} refuses its input: ${problems.join('; ')}`);
  }
  return attempt(context, call, action, input.data, took);
};

const attempt = async (
  context: EngineContext,
  call: Call,
  action: Action,
  input: unknown,
  took: () => number,
): Promise<Performance> => {
  const { clock, redactor } = context;
  const limit = new AbortController();
  const onAbort = (): void => limit.abort(call.signal.reason);
  if (call.signal.aborted) onAbort();
  call.signal.addEventListener('abort', onAbort, { once: true });
  const timer = clock.after(call.timeoutMs, () =>
    limit.abort(
      new ActionError('retryable', `${call.uses} did not end within ${call.timeoutMs} ms${at(whereabouts(input))}`),
    ),
  );

  let began = false;
  const requests: Request[] = [];
  const actionContext: ActionContext = {
    clock,
    signal: limit.signal,
    deadline: clock.monotonic() + call.timeoutMs,
    log: context.log.child({
      run_id: call.run.id,
      ...idsOf(call),
      action: call.uses,
    }),
    allow: context.loaded().config.allow,
    spawner: context.spawner,
    marker: call.marker,
    run: call.run,
    ...(call.traceparent === undefined ? {} : { traceparent: childOf(call.traceparent, call.marker) }),
    async secret(file) {
      const value = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
      redactor.register(value);
      return value;
    },
    conceal: (value) => redactor.register(value),
    request: (change) => void requests.push(change),
    recall: () => recall(context, call.run),
    began() {
      began = true;
    },
  };
  const failed = (error: unknown): Performance => {
    const known =
      error instanceof ActionError
        ? error
        : limit.signal.reason instanceof ActionError && limit.signal.aborted
          ? limit.signal.reason
          : null;
    const mutates = action.effect !== 'read';
    // An effect may have happened: only the action itself can say that it did not.
    const kind: FailureKind =
      error instanceof ActionError
        ? error.kind
        : began && mutates
          ? 'indeterminate'
          : known === null
            ? 'permanent'
            : 'retryable';
    const outputs = error instanceof ActionError ? (error.outputs ?? {}) : {};
    const text = error instanceof Error ? error.message : String(error);
    return {
      ok: false,
      kind,
      error: redactor.text(known === null ? text : known.message),
      outputs: bounded(redactor.value(outputs)),
      began: began && mutates,
      ms: took(),
    };
  };
  try {
    const result = await Promise.race([action.run(input, actionContext), silence(context, limit.signal)]);
    return {
      ok: true,
      outputs: bounded(redactor.value(result.outputs)),
      undo: redactor.value(result.undo ?? {}),
      requests: redactor.value(requests),
      ms: took(),
    };
  } catch (error) {
    return failed(error);
  } finally {
    timer.cancel();
    call.signal.removeEventListener('abort', onAbort);
  }
};

const idsOf = ({ episodeId = null, traceparent }: Call): LogFields => ({
  ...(episodeId === null ? {} : { episode_id: episodeId }),
  ...(traceparent === undefined ? {} : { trace_id: traceIdOf(traceparent) }),
});

/** Rejects when an action stays silent after it was told to end. */
const silence = (context: EngineContext, signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const give = (): void => void context.clock.after(LAST_WORD_MS, () => reject(signal.reason as Error));
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });

const bounded = (outputs: JsonObject): JsonObject => {
  const text = JSON.stringify(outputs);
  return text.length <= LARGEST_OUTPUTS ? outputs : { cut: text.slice(0, LARGEST_OUTPUTS), bytes: text.length };
};
