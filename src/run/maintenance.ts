// Maintenance windows: cron lines in a time zone, daylight saving included.
import { Cron } from 'croner';
import type { Maintenance } from '../rule/limits.ts';

/** A line that was read, with two openings that follow each other: between them nothing has to be looked up. */
type Line = { readonly cron: Cron; opening: number; next: number };

/** Looking an opening up takes up to a millisecond, and a storm looks thousands of times. */
const lines = new Map<string, Line>();
const MOST_LINES = 1_000;

const lineOf = ({ schedule, timezone }: Pick<Maintenance, 'schedule' | 'timezone'>): Line => {
  const key = `${timezone} ${schedule}`;
  const known = lines.get(key);
  if (known !== undefined) return known;
  const line: Line = { cron: new Cron(schedule, { timezone }), opening: 0, next: 0 };
  if (lines.size >= MOST_LINES) lines.clear();
  lines.set(key, line);
  return line;
};

/** The latest opening at `now` or before it. */
const openingAt = (line: Line, now: number): number | null => {
  if (line.opening <= now && now < line.next) return line.opening;
  // It is looked for strictly before its bound.
  const [found] = line.cron.previousRuns(1, new Date(now + 1));
  if (found === undefined) return null;
  line.opening = found.getTime();
  line.next = line.cron.nextRun(new Date(now))?.getTime() ?? Number.POSITIVE_INFINITY;
  return line.opening;
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
    // All openings last equally long, so the latest one ends last.
    const opening = openingAt(lineOf(window), now);
    if (opening === null) continue;
    const until = opening + window.duration;
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
