// A holder of a lock as it leaves an action: in outputs, in the inbox, in an incident's record.
import type { JsonObject } from '../../base/json.ts';
import type { Holder } from './locking.ts';

export const shownHolder = (holder: Holder): JsonObject => ({
  pid: holder.pid,
  name: holder.name,
  user: holder.user,
  command_line: holder.commandLine,
  executable: holder.exe ?? '',
  start_time: holder.startTime,
  age_seconds: holder.ageSeconds,
  access: holder.access,
  blocking: holder.blocking,
});

/** `4711 (shop-worker)`, for messages. */
export const nameHolders = (holders: readonly Pick<Holder, 'pid' | 'name'>[]): string =>
  holders.map((holder) => `${holder.pid} (${holder.name})`).join(', ');
