// One incident of one alert, from its first firing until it has been resolved for `resolve_hold`.
import { sha256 } from '../base/json.ts';
import type { AlertStatus, Labels } from './alert.ts';

export const DEFAULT_IGNORED_LABELS: readonly string[] = ['replica', 'prometheus_replica', '__replica__'];

/** SHA-256 of the JSON array of the source and the label pairs sorted by UTF-8 bytes, without `ignored` labels. */
export const episodeKey = (source: string, labels: Labels, ignored: ReadonlySet<string>): string => {
  const pairs = Object.keys(labels)
    .filter((name) => !ignored.has(name))
    .map((name): [Buffer, string] => [Buffer.from(name), name])
    .toSorted((left, right) => Buffer.compare(left[0], right[0]))
    .map(([, name]) => [name, labels[name]]);
  return sha256(JSON.stringify([source, pairs]));
};

export type EpisodeState = 'firing' | 'quiet' | 'closed';

/** What a stored episode must know for the next entry to find its place. Times in milliseconds UTC. */
export type EpisodeClock = {
  readonly state: EpisodeState;
  readonly lastFiringAt: number;
  readonly resolvedAt: number | null;
};

export type EpisodeChange = 'opened' | 'reopened' | 'repeated' | 'resolved' | 'none';

/** What an entry does to the episode with its key, if there is one; `opened` asks for a new one. */
export const changeOf = (
  previous: EpisodeClock | null,
  status: AlertStatus,
  now: number,
  resolveHoldMs: number,
): EpisodeChange => {
  const open = previous !== null && previous.state !== 'closed' && !holdIsOver(previous, now, resolveHoldMs);
  if (status === 'resolved') return open && previous.state === 'firing' ? 'resolved' : 'none';
  if (!open) return 'opened';
  return previous.state === 'quiet' ? 'reopened' : 'repeated';
};

export const holdIsOver = (episode: EpisodeClock, now: number, resolveHoldMs: number): boolean =>
  episode.resolvedAt !== null && now - episode.resolvedAt >= resolveHoldMs;
