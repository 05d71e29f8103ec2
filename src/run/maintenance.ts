// Maintenance windows: cron lines in a time zone, daylight saving included.
import { Cron } from 'croner';
import type { Maintenance } from '../rule/limits.ts';

/** The end of the window that `now` (milliseconds UTC) lies in, or null. Of several the one that ends last. */
export const maintenanceEnd = (
  windows: readonly Maintenance[],
  now: number,
): { readonly until: number; readonly window: Maintenance } | null => {
  let found: { readonly until: number; readonly window: Maintenance } | null = null;
  for (const window of windows) {
    const cron = new Cron(window.schedule, { timezone: window.timezone });
    // The first opening after `now - duration` is the earliest window that can still be open.
    let opening = cron.nextRun(new Date(now - window.duration));
    while (opening !== null && opening.getTime() <= now) {
      const until = opening.getTime() + window.duration;
      if (until > now && (found === null || until > found.until)) found = { until, window };
      opening = cron.nextRun(opening);
    }
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
