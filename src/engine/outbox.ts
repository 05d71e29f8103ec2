// The outbox: what people are told was committed with the change it tells of, and is sent from here until it arrives.
import { readFile } from 'node:fs/promises';
import { rfc3339 } from '../base/clock.ts';
import { childOf } from '../base/trace.ts';
import type { Receiver } from '../config.ts';
import type { OutboxRow } from '../port/record.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';

/** It is woken by what there is to tell; this is for what was put off. */
const EVERY_MS = 3_000;
const BATCH = 50;
const TRY_MS = 10_000;
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 300_000;
/** After this the row is dead: counted, kept, not tried again. */
const GIVE_UP_MS = 86_400_000;
const LOG_ONLY: Receiver = { name: 'log', type: 'log', settings: {} };

export const createOutbox = (context: EngineContext): Loop & { tick(): Promise<void> } => {
  const tick = async (): Promise<void> => {
    const due = await context.store.outboxDue(context.clock.now(), BATCH);
    // A run's rows go out in order; different runs do not wait for each other.
    const byRun = groupByRun(due);
    await Promise.all(
      [...byRun.values()].map(async (rows) => {
        for (const row of rows) if (!(await deliver(context, row))) break;
      }),
    );
  };
  return { ...createLoop({ name: 'outbox', clock: context.clock, everyMs: EVERY_MS, log: context.log, tick }), tick };
};

const groupByRun = (rows: readonly OutboxRow[]): Map<string, OutboxRow[]> => {
  const groups = new Map<string, OutboxRow[]>();
  for (const row of rows) groups.set(row.runId ?? row.id, [...(groups.get(row.runId ?? row.id) ?? []), row]);
  return groups;
};

/** The receivers of a row: the one it names, else those its severity is routed to, else the log. */
const receiversOf = (context: EngineContext, row: OutboxRow): readonly Receiver[] => {
  const { receivers, routes } = context.loaded().config;
  const wanted =
    row.receiver === null
      ? routes
          .filter(
            (route) =>
              route.severity.length === 0 ||
              (row.severity !== null && (route.severity as readonly string[]).includes(row.severity)),
          )
          .map((route) => route.receiver)
      : [row.receiver];
  const found = receivers.filter((receiver) => wanted.includes(receiver.name));
  return found.length === 0 ? [LOG_ONLY] : found;
};

const deliver = async (context: EngineContext, row: OutboxRow): Promise<boolean> => {
  const { store, clock, telemetry } = context;
  const errors: string[] = [];
  const traceparent = await traceOf(context, row);
  for (const receiver of receiversOf(context, row)) {
    const error = await sendTo(context, receiver, row, traceparent);
    telemetry.notification(receiver.name, error === null ? 'sent' : 'failed');
    if (error !== null) errors.push(`${receiver.name}: ${error}`);
  }
  const now = clock.now();
  if (errors.length === 0) {
    await store.outboxDone(row.id, now, { sent: true });
    return true;
  }
  const dead = now - row.at >= GIVE_UP_MS;
  if (dead) telemetry.notification('all', 'dead');
  const delay = Math.min(FIRST_RETRY_MS * 2 ** Math.min(row.tries, 20), LONGEST_RETRY_MS);
  await store.outboxDone(row.id, now, {
    sent: false,
    error: errors.join('; ').slice(0, 1_000),
    nextAt: dead ? null : now + delay,
  });
  return false;
};

/** A message goes on in the trace of the run it tells of. It does not wait for that: without one it is told all the same. */
const traceOf = async ({ store, log }: EngineContext, { id, runId }: OutboxRow): Promise<string | null> => {
  if (runId === null) return null;
  const run = await store.run(runId).catch((error: unknown) => {
    log.warn({ error, run_id: runId }, 'a message is sent without the trace of its run');
    return null;
  });
  const trace = run?.plan.traceparent;
  return trace === undefined ? null : childOf(trace, `notify/${id}`);
};

/** Past the outbox, for when the store itself is what failed. */
export const tellDirectly = async (
  context: EngineContext,
  told: Pick<OutboxRow, 'topic' | 'title' | 'body'> & { readonly severity: string },
): Promise<void> => {
  const row: OutboxRow = {
    ...told,
    id: context.ids.next(),
    at: context.clock.now(),
    receiver: null,
    component: null,
    target: null,
    runId: null,
    status: 'pending',
    tries: 0,
    nextAt: 0,
    error: null,
  };
  for (const receiver of receiversOf(context, row)) {
    const error = await sendTo(context, receiver, row);
    context.telemetry.notification(receiver.name, error === null ? 'sent' : 'failed');
    if (error !== null) context.log.error({ receiver: receiver.name, error }, 'nobody could be told');
  }
};

const sendTo = async (
  context: EngineContext,
  receiver: Receiver,
  row: OutboxRow,
  traceparent: string | null = null,
): Promise<string | null> => {
  const notifier = context.notifiers.get(receiver.type);
  if (notifier === undefined) return `there is no notifier ${receiver.type}`;
  const settings = notifier.settings.safeParse(receiver.settings);
  if (!settings.success) return settings.error.message;
  const head = context.auditHead?.() ?? null;
  const limit = new AbortController();
  const timer = context.clock.after(TRY_MS, () => limit.abort(new Error(`no answer within ${TRY_MS} ms`)));
  try {
    await notifier.send(
      settings.data,
      {
        id: row.id,
        at: rfc3339(row.at),
        topic: row.topic,
        severity: row.severity,
        component: row.component,
        target: row.target,
        runId: row.runId,
        title: context.redactor.text(row.title),
        body: context.redactor.text(row.body),
        url: null,
        ...(head === null ? {} : { auditHead: head }),
      },
      {
        signal: limit.signal,
        ...(traceparent === null ? {} : { traceparent }),
        log: (line) =>
          context.log.warn(
            {
              topic: row.topic,
              severity: row.severity,
              run_id: row.runId,
              component: row.component,
              target: row.target,
            },
            line,
          ),
        async secret(file) {
          const value = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
          context.redactor.register(value);
          return value;
        },
      },
    );
    return null;
  } catch (error) {
    return context.redactor.text(error instanceof Error ? error.message : String(error));
  } finally {
    timer.cancel();
  }
};
