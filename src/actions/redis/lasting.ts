// Finds the keys that never expire, by SCAN in small steps: KEYS would stop the server for as long as it looks.
import type { Connection, Reply } from './connection.ts';

const EACH_SCAN = 500;

/** Stops soon after more than `max` were found; a key that SCAN names twice counts once. */
export const findLasting = async (
  connection: Connection,
  pattern: string,
  max: number,
  except: readonly string[] = [],
): Promise<{ readonly keys: readonly Buffer[]; readonly scanned: number }> => {
  const found = new Map<string, Buffer>();
  const spared = new Set(except.map((key) => Buffer.from(key).toString('latin1')));
  const seen = new Set<string>();
  let cursor = '0';
  do {
    const [next, batch] = (await connection.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', EACH_SCAN)) as [
      Buffer,
      readonly Reply[],
    ];
    cursor = next.toString('latin1');
    const keys = batch.filter((key): key is Buffer => Buffer.isBuffer(key));
    const ttls = await Promise.all(keys.map((key) => connection.call('PTTL', key)));
    for (const [index, key] of keys.entries()) {
      const name = key.toString('latin1');
      seen.add(name);
      if (Number(ttls[index]) === -1 && !spared.has(name)) found.set(name, key);
    }
  } while (cursor !== '0' && found.size <= max);
  return { keys: [...found.values()], scanned: seen.size };
};

const LONGEST_SHOWN = 100;

/** For people: what is not printable ASCII as \x00. */
export const shownKey = (key: Buffer): string =>
  [...key.subarray(0, LONGEST_SHOWN)]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`,
    )
    .join('');
