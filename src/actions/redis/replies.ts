// Reads what Redis says of itself: the lines of INFO and of CLIENT LIST.
import type { Reply } from './connection.ts';

export const textOfReply = (reply: Reply): string => (Buffer.isBuffer(reply) ? reply.toString('utf8') : '');

/** `name:value` lines by section, the sections in small letters. */
export const parseInfo = (text: string): Readonly<Record<string, Readonly<Record<string, string>>>> => {
  const sections: Record<string, Record<string, string>> = {};
  let section = 'none';
  for (const line of text.split('\r\n')) {
    if (line.startsWith('# ')) section = line.slice(2).trim().toLowerCase();
    const colon = line.indexOf(':');
    if (line.startsWith('#') || colon < 1) continue;
    const held = (sections[section] ??= Object.create(null) as Record<string, string>);
    held[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return sections;
};

/** All sections as one; no name stands in two of them. */
export const flatInfo = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.values(parseInfo(text)).flatMap((section) => Object.entries(section)));

/** Absent or no number: `otherwise`. */
export const numberOf = (info: Readonly<Record<string, string>>, name: string, otherwise = 0): number => {
  const value = Number(info[name] ?? Number.NaN);
  return Number.isFinite(value) ? value : otherwise;
};

export type ClientLine = {
  readonly id: number;
  readonly address: string;
  readonly name: string;
  readonly user: string;
  readonly ageSeconds: number;
  readonly idleSeconds: number;
  readonly flags: string;
  /** Channels and patterns it listens to. */
  readonly subscriptions: number;
  /** In a transaction. */
  readonly inMulti: boolean;
  readonly command: string;
};

export const parseClients = (text: string): readonly ClientLine[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('id='))
    .map((line) => {
      const fields = Object.fromEntries(
        line.split(' ').map((field) => {
          const equals = field.indexOf('=');
          return [field.slice(0, equals), field.slice(equals + 1)];
        }),
      );
      const count = (name: string): number => numberOf(fields, name);
      return {
        id: count('id'),
        address: fields['addr'] ?? '',
        name: fields['name'] ?? '',
        user: fields['user'] ?? '',
        ageSeconds: count('age'),
        idleSeconds: count('idle'),
        flags: fields['flags'] ?? '',
        subscriptions: count('sub') + count('psub') + count('ssub'),
        inMulti: numberOf(fields, 'multi', -1) >= 0,
        command: fields['cmd'] ?? '',
      };
    });
