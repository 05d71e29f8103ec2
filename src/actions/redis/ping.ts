// Whether a Redis lets somebody new in and answers: a connection that is open already would say yes while all others
// are refused.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { isFull, withConnection } from './connection.ts';
import { keepOne, releaseKept } from './kept.ts';
import { textOfReply } from './replies.ts';
import { findServer, serverInput } from './server.ts';

const hundredths = (ms: number): number => Math.round(ms * 100) / 100;

const UNANSWERED = { pong: false, refused: false, full: false, latency_ms: -1, connect_ms: -1, reserved: false };

/** With what an alert and a condition go by. */
const told = (error: unknown): unknown => {
  if (!(error instanceof ActionError)) return error;
  const refused = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED';
  const outputs = { ...UNANSWERED, refused, full: isFull(error) };
  return new ActionError(error.kind, error.message, { cause: error, outputs });
};

export default defineAction({
  summary: 'Connects anew to a Redis and asks it PING, all within one deadline.',
  effect: 'read',
  input: z.strictObject({
    ...serverInput(2_000),
    max_latency: duration.optional(),
    /** Keep one connection more for redis.kill-clients, since a full server lets none in; probes do unless told not to. */
    reserve: z.boolean().optional(),
  }),
  outputs: {
    pong: 'somebody new was let in and answered',
    refused: 'nobody listens at its address',
    full: 'its maxclients is reached',
    latency_ms: 'from PING to PONG, in milliseconds; -1 without an answer',
    connect_ms: 'from the start until the connection was open, in milliseconds; -1 without one',
    reserved: 'a connection is kept open for when the server is full',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  release: releaseKept,
  async run(input, context) {
    const { clock } = context;
    const server = await findServer(input, context);
    const start = clock.monotonic();
    const found = await withConnection(server, input.timeout, context, async (connection) => {
      const opened = clock.monotonic();
      const reply = textOfReply(await connection.call('PING'));
      if (reply !== 'PONG')
        throw new ActionError(
          'permanent',
          `${server.name} answered PING with ${JSON.stringify(reply.slice(0, 100))}: it is no Redis`,
        );
      return {
        ...UNANSWERED,
        pong: true,
        latency_ms: hundredths(clock.monotonic() - opened),
        connect_ms: hundredths(opened - start),
      };
    }).catch((error: unknown) => {
      throw told(error);
    });
    const reserve = input.reserve ?? context.marker.startsWith('probe/');
    const reserved = reserve && (await keepOne(server, input.timeout, context));
    const outputs = { ...found, reserved };
    if (input.max_latency !== undefined && found.latency_ms > input.max_latency)
      throw new ActionError(
        'retryable',
        `redis ${server.name} took ${found.latency_ms} ms for a PING, more than ${input.max_latency} ms`,
        { outputs },
      );
    return { outputs };
  },
});
