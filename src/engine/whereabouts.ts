// What the input of an action points at, for an error that has nobody else to say where: a time limit strikes from outside.
import type { Json } from '../base/json.ts';

const MOST = 3;
const LONGEST = 200;
/** Members that name what an action works on; the first that is there is enough. */
const NAMES = ['path', 'socket', 'repository', 'pid_file', 'container', 'roots', 'folders', 'service', 'argv'] as const;

/** Addresses without credentials and query, hosts, or else the first thing that is named; empty when nothing is. */
export const whereabouts = (input: unknown): string => {
  const places = new Set<string>();
  collect(input as Json, places);
  if (places.size === 0) nameOne(input, places);
  return [...places].slice(0, MOST).join(', ').slice(0, LONGEST);
};

const collect = (value: Json | undefined, places: Set<string>): void => {
  if (typeof value === 'string') {
    const [, scheme, rest] = /^([a-z][a-z+]{1,15}:\/\/)(?:[^/@]*@)?([^?#]+)/i.exec(value) ?? [];
    if (scheme !== undefined && rest !== undefined) places.add(`${scheme}${rest}`);
  } else if (typeof value === 'object' && value !== null) {
    const { host, port, socket } = value as { host?: unknown; port?: unknown; socket?: unknown };
    if (typeof host === 'string') places.add(typeof port === 'number' ? `${host}:${port}` : host);
    if (typeof socket === 'string') places.add(socket);
    for (const member of Object.values(value)) collect(member, places);
  }
};

const nameOne = (input: unknown, places: Set<string>): void => {
  if (typeof input !== 'object' || input === null) return;
  for (const name of NAMES) {
    const named: unknown = (input as Readonly<Record<string, unknown>>)[name];
    const first: unknown = Array.isArray(named) ? named[0] : named;
    if (typeof first !== 'string') continue;
    places.add(first);
    return;
  }
};
