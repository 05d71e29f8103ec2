// Whether the server that answers is the one that is meant, and in a state in which it may be changed. Asked before
// anything is: another server at the same address, or a replica, would lose what was not meant to be lost.
import { ActionError } from '../../base/failure.ts';
import type { Connection } from './connection.ts';
import { flatInfo, textOfReply } from './replies.ts';
import type { Expected } from './server.ts';

export type Identity = {
  readonly runId: string;
  readonly role: string;
  readonly version: string;
  readonly info: Readonly<Record<string, string>>;
};

/** What is to be: from the step (`run_id` as seen before, `role`) over what the target's connect expects. */
export type Expectation = Expected;

const refuse = (connection: Connection, why: string, kind: 'permanent' | 'retryable' = 'permanent'): never => {
  throw new ActionError(kind, `redis ${connection.server.name} is not changed: ${why}`);
};

export const identify = async (connection: Connection): Promise<Identity> => {
  const info = flatInfo(textOfReply(await connection.call('INFO')));
  return {
    runId: info['run_id'] ?? '',
    role: info['role'] ?? '',
    version: info['redis_version'] ?? '',
    info,
  };
};

/** Throws when it is not the expected one (`permanent`), is loading (`retryable`), or could not take a write. */
export const makeSure = async (connection: Connection, expected: Expectation): Promise<Identity> => {
  const identity = await identify(connection);
  const { info, role, runId } = identity;
  if (runId === '') refuse(connection, 'its INFO names no run_id, so it cannot be told which server it is');
  if (info['loading'] === '1' || info['async_loading'] === '1')
    refuse(connection, 'it is still loading its data', 'retryable');
  if (expected.run_id !== undefined && expected.run_id !== runId)
    refuse(connection, `it is another server than expected: its run_id is ${runId}, not ${expected.run_id}`);
  const wanted = expected.role ?? 'master';
  if (role !== wanted)
    refuse(
      connection,
      `its role is ${role === '' ? 'unknown' : role}, and ${wanted} is expected${role === 'slave' ? '; mend: name its master, a replica is read-only' : ''}`,
    );
  if (expected.port !== undefined && info['tcp_port'] !== String(expected.port))
    refuse(connection, `it says of itself that its port is ${info['tcp_port'] ?? 'none'}, not ${expected.port}`);
  if (info['cluster_enabled'] === '1' || info['redis_mode'] === 'cluster')
    refuse(connection, 'it is a node of a cluster: keys move between nodes (MOVED), so a node alone is not flushed');
  if (expected.key !== undefined) {
    const value = await connection.call('GET', expected.key);
    if (!Buffer.isBuffer(value) || value.toString('utf8') !== (expected.value ?? ''))
      refuse(connection, `its key ${JSON.stringify(expected.key)} does not hold the value by which it is known`);
  }
  // A master that cannot save answers even this with MISCONF.
  await connection.call('PING');
  return identity;
};
