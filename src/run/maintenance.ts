// Maintenance windows: cron lines in a time zone, daylight saving included.
import { Cron } from 'croner';
import type { Maintenance } from '../rule/limits.ts';

/** Reading a cron line takes longer than looking at it, and a storm looks thousands of times. */
const read = new Map<string, Cron>();
const MOST_READ = 1_000;

const cronOf = ({ schedule, timezone }: Pick<Maintenance, 'schedule' | 'timezone'>): Cron => {
  const key = `${timezone} ${schedule}`;
  const known = read.get(key);
  if (known !== undefined) return known;
  const cron = new Cron(schedule, { timezone });
  if (read.size >= MOST_READ) read.clear();
  read.set(key, cron);
  return cron;
};

/**
 * The end of the window that `now` (milliseconds UTC) lies in, or null. Of several the one that ends last. A window lasts
 * its duration in real time, also over a change of the clocks; an opening in the hour that is left out comes right after it.
 */
export const maintenanceEnd = (
  windows: readonly Maintenance[],
  now: number,
): { readonly until: number; readonly window: Maintenance } | null => {
  let found: { readonly until: number; readonly window: Maintenance } | null = null;
  for (const window of windows) {
    // All openings last equally long, so the latest one ends last. It is looked for strictly before its bound.
    const [opening] = cronOf(window).previousRuns(1, new Date(now + 1));
    if (opening === undefined) continue;
    const until = opening.getTime() + window.duration;
    if (until > now && (found === null || until > found.until)) found = { until, window };
  }
  return found;
};

/** Null, or why a window cannot be read. */
export const maintenanceProblem = (window: Pick<Maintenance, 'schedule' | 'timezone'>): string | null => {
  try {
    return new Cron(window.schedule, { timezone: window.timezone }).nextRun() === null
      ? 'the schedule never comes'
      : null;
  } catch (error) {
    return (error as Error).message;
  }
};
