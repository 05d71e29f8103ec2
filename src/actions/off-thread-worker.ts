// The worker thread's side of off-thread.ts: imports the module it is told and calls its functions by name.
import { isMainThread, parentPort } from 'node:worker_threads';
import { ActionError } from '../base/failure.ts';
import type { FailureKind } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';

export type Call = { readonly module: string; readonly name: string; readonly input: unknown };
export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly kind: FailureKind | null;
      readonly message: string;
      readonly outputs: JsonObject | undefined;
    };

const perform = async (call: Call): Promise<Answer> => {
  try {
    const jobs = (await import(call.module)) as Record<string, (input: unknown) => unknown>;
    const job = jobs[call.name];
    if (job === undefined) throw new TypeError(`no such job: ${call.name}`);
    return { ok: true, value: await job(call.input) };
  } catch (error) {
    const known = error instanceof ActionError ? error : null;
    return { ok: false, kind: known?.kind ?? null, message: (error as Error).message, outputs: known?.outputs };
  }
};

if (!isMainThread && parentPort !== null) {
  // As bin/amends does for the main thread: a thread has an Object of its own.
  Reflect.deleteProperty(Object.prototype, '__proto__');
  const port = parentPort;
  port.on('message', (call: Call) => void perform(call).then((answer) => port.postMessage(answer)));
}
