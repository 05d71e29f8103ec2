// Actions as loading knows them: enough of each kind for runbooks to be checked against, and nothing that could run.
import { z } from 'zod';
import type { KnownAction, KnownActions } from '../../../src/runbook/arguments.ts';

const action = (
  effect: KnownAction['effect'],
  shape: z.ZodRawShape,
  outputs: Readonly<Record<string, string>> = {},
): KnownAction => ({
  effect,
  input: z.strictObject(shape),
  outputs,
  defaultTimeout: 10_000,
});

export const knownActions: KnownActions = new Map([
  ['redis.ping', action('read', { url: z.string(), timeout: z.string().optional() }, { ms: 'milliseconds' })],
  ['redis.info', action('read', { url: z.string() }, { clients: 'connected clients' })],
  [
    'redis.kill-clients',
    action(
      'change',
      { url: z.string(), idle_over: z.string(), max_share: z.number().min(0).max(1).optional() },
      { killed: 'connections closed' },
    ),
  ],
  ['sqlite.backup', action('change', { path: z.string(), folder: z.string() }, { file: 'the copy' })],
  ['sqlite.restore', action('destroy', { path: z.string(), from: z.string() }, { restored: 'the backup' })],
  ['sqlite.check', action('read', { path: z.string() }, { healthy: 'true or false' })],
  [
    'command.run',
    action(
      'change',
      { argv: z.tuple([z.string()], z.string()), env: z.record(z.string(), z.string()).optional() },
      { stdout: 'text', exit_code: 'number' },
    ),
  ],
  [
    'http.request',
    action(
      'change',
      { method: z.enum(['GET', 'POST', 'DELETE']), url: z.string(), json: z.json().optional() },
      { status: 'HTTP status', body: 'parsed or text' },
    ),
  ],
  [
    'kubernetes.scale',
    action('change', { connect: z.looseObject({}), replicas: z.number() }, { replicas: 'how many it wants now' }),
  ],
  ['notify.send', action('change', { title: z.string(), body: z.string().optional() })],
]);
