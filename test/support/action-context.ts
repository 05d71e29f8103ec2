// A real context for an action: real clock, real spawner, a temp folder that is allowed, and a record of what was asked for.
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSpawner } from '../../src/actions/spawner.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Clock } from '../../src/base/clock.ts';
import { ActionError } from '../../src/base/failure.ts';
import type { JsonObject } from '../../src/base/json.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import type { Action, ActionContext, Allow, Request, Spawner } from '../../src/port/action.ts';

export type TestContext = ActionContext & {
  /** A temp folder, in allow.paths. */
  readonly folder: string;
  readonly requests: readonly Request[];
  readonly secrets: readonly string[];
  began(): void;
  beganCount(): number;
  abort(reason?: Error): void;
};

export type ContextOptions = { readonly allow?: Partial<Allow>; readonly timeout?: number; readonly clock?: Clock };
export type Contexts = {
  make(options?: ContextOptions): TestContext;
  readonly folder: string;
  readonly spawner: Spawner;
  stop(): Promise<void>;
};

let made = 0;

/** One for a test file: `make()` for each run of an action, `stop()` in afterAll. */
export const createContexts = (): Contexts => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'amends-test-')));
  const log = createLog('silent', createRedactor());
  const spawner = createSpawner({ log, clock: systemClock });
  return {
    folder,
    spawner,
    make({ allow = {}, timeout = 20_000, clock = systemClock } = {}) {
      const controller = new AbortController();
      const requests: Request[] = [];
      const secrets: string[] = [];
      let begun = 0;
      made += 1;
      const timer = clock.after(timeout, () => controller.abort(new ActionError('indeterminate', 'time is up')));
      controller.signal.addEventListener('abort', () => timer.cancel(), { once: true });
      return {
        folder,
        clock,
        signal: controller.signal,
        deadline: clock.monotonic() + timeout,
        log,
        allow: { hosts: [], commands: [], paths: [folder], containers: [], ...allow },
        spawner,
        marker: `test-${process.pid}-${made}/step`,
        run: { id: 'run', component: 'shop-db', kind: 'database', target: 'orders' },
        requests,
        secrets,
        async secret(file) {
          const value = readFileSync(file, 'utf8');
          secrets.push(value.trim());
          return value;
        },
        conceal: (value) => void secrets.push(value),
        request: (change) => requests.push(change),
        recall: async () => ({ recent_events: [], open_inbox: [], earlier_runs: [], last_log: [], degraded_modes: [] }),
        began: () => (begun += 1),
        beganCount: () => begun,
        abort: (reason = new Error('called off')) => controller.abort(reason),
      };
    },
    async stop() {
      await spawner.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Runs an action as the engine does: the input through its schema first. */
export const perform = async <Input>(
  action: Action<Input>,
  input: JsonObject,
  context: ActionContext,
): Promise<JsonObject> => (await action.run(action.input.parse(input), context)).outputs;

/** The ActionError that it fails with. */
export const failureOf = async (work: Promise<unknown>): Promise<ActionError> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof ActionError) return error;
    throw error;
  }
  throw new Error('it did not fail');
};

/** Polls until `look` answers something other than undefined, null or false. */
export const eventually = async <T>(look: () => T | Promise<T>, within = 10_000): Promise<NonNullable<T>> => {
  const until = systemClock.monotonic() + within;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== null && value !== false) return value;
    if (systemClock.monotonic() > until) throw new Error(`not within ${within} ms`);
    await systemClock.sleep(10);
  }
};

/** An output that is text. */
export const textOf = (outputs: JsonObject, name: string): string => {
  const value = outputs[name];
  if (typeof value !== 'string') throw new TypeError(`the output ${name} is not text`);
  return value;
};
