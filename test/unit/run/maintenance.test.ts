// F50: windows at the edges that people get wrong. The instants are in UTC, what they mean is said beside them.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Cron } from 'croner';
import type { Maintenance } from '../../../src/rule/limits.ts';
import { maintenanceEnd, maintenanceProblem } from '../../../src/run/maintenance.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const window = (schedule: string, timezone: string, duration: number): Maintenance => ({
  schedule,
  timezone,
  duration,
  reason: '',
});
/** Clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25. */
const BERLIN = window('30 2 * * *', 'Europe/Berlin', HOUR);
/** From 02:00 to 03:00 on 2026-03-08, from 02:00 back to 01:00 on 2026-11-01. */
const NEW_YORK = window('30 1 * * sun', 'America/New_York', 2 * HOUR);
/** 5 hours and a half ahead, all year. */
const KOLKATA = window('0 0 * * *', 'Asia/Kolkata', 30 * MINUTE);
const LEAP = window('0 12 29 2 *', 'UTC', HOUR);
const YEAR_END = window('30 23 31 12 *', 'UTC', HOUR);

/** `until` null: nothing is held. */
const INSTANTS: ReadonlyArray<readonly [Maintenance, at: string, until: string | null, what: string]> = [
  [BERLIN, '2026-01-15T01:29:59.999Z', null, 'winter, a millisecond before 02:30'],
  [BERLIN, '2026-01-15T01:30:00.000Z', '2026-01-15T02:30:00.000Z', 'winter, 02:30'],
  [BERLIN, '2026-01-15T02:29:59.999Z', '2026-01-15T02:30:00.000Z', 'winter, a millisecond before its end'],
  [BERLIN, '2026-01-15T02:30:00.000Z', null, 'winter, its end'],
  [BERLIN, '2026-07-15T00:30:00.000Z', '2026-07-15T01:30:00.000Z', 'summer, 02:30 is an hour earlier'],
  [BERLIN, '2026-07-15T01:30:00.000Z', null, 'summer, the hour of winter is free'],
  [BERLIN, '2026-03-29T00:59:59.999Z', null, 'clocks go ahead: 01:59:59.999'],
  [BERLIN, '2026-03-29T01:00:00.000Z', '2026-03-29T02:00:00.000Z', 'there is no 02:30: it opens at 03:00'],
  [BERLIN, '2026-03-29T01:45:00.000Z', '2026-03-29T02:00:00.000Z', '03:45, still open'],
  [BERLIN, '2026-03-29T02:00:00.000Z', null, '04:00, an hour has passed'],
  [BERLIN, '2026-10-25T00:30:00.000Z', '2026-10-25T01:30:00.000Z', 'clocks go back: the first 02:30'],
  [BERLIN, '2026-10-25T01:15:00.000Z', '2026-10-25T01:30:00.000Z', 'the second 02:15, 45 minutes later'],
  [BERLIN, '2026-10-25T01:30:00.000Z', null, 'the second 02:30 opens no second window'],
  [BERLIN, '2026-10-26T01:30:00.000Z', '2026-10-26T02:30:00.000Z', 'the day after, by winter time'],

  [NEW_YORK, '2026-03-01T06:30:00.000Z', '2026-03-01T08:30:00.000Z', 'a Sunday in winter, 01:30'],
  [NEW_YORK, '2026-03-02T06:30:00.000Z', null, 'a Monday'],
  [NEW_YORK, '2026-03-08T06:29:59.999Z', null, 'the Sunday when clocks go ahead, before 01:30'],
  [NEW_YORK, '2026-03-08T06:30:00.000Z', '2026-03-08T08:30:00.000Z', '01:30'],
  [NEW_YORK, '2026-03-08T08:29:59.999Z', '2026-03-08T08:30:00.000Z', '04:29 by the clock: two hours have passed'],
  [NEW_YORK, '2026-03-08T08:30:00.000Z', null, '04:30'],
  [NEW_YORK, '2026-11-01T05:30:00.000Z', '2026-11-01T07:30:00.000Z', 'the Sunday when clocks go back: the first 01:30'],
  [NEW_YORK, '2026-11-01T06:30:00.000Z', '2026-11-01T07:30:00.000Z', 'the second 01:30, within the same window'],
  [NEW_YORK, '2026-11-01T07:30:00.000Z', null, '02:30, two hours have passed'],
  [NEW_YORK, '2026-11-01T04:59:59.999Z', null, 'Sunday already, not yet 01:30'],

  [KOLKATA, '2026-01-06T18:29:59.999Z', null, 'a millisecond before midnight'],
  [KOLKATA, '2026-01-06T18:30:00.000Z', '2026-01-06T19:00:00.000Z', 'midnight, half past six in UTC'],
  [KOLKATA, '2026-01-06T19:00:00.000Z', null, 'its end'],
  [KOLKATA, '2026-07-06T18:30:00.000Z', '2026-07-06T19:00:00.000Z', 'the same in summer'],
  [KOLKATA, '2028-02-28T18:30:00.000Z', '2028-02-28T19:00:00.000Z', 'midnight of February 29'],
  [KOLKATA, '2026-12-31T18:45:00.000Z', '2026-12-31T19:00:00.000Z', 'the new year has begun there'],

  [LEAP, '2028-02-29T11:59:59.999Z', null, 'February 29, before noon'],
  [LEAP, '2028-02-29T12:00:00.000Z', '2028-02-29T13:00:00.000Z', 'February 29, noon'],
  [LEAP, '2028-02-29T13:00:00.000Z', null, 'February 29, its end'],
  [LEAP, '2026-02-28T12:30:00.000Z', null, 'a year without: not on the 28th'],
  [LEAP, '2026-03-01T12:30:00.000Z', null, 'a year without: not on March 1 either'],

  [YEAR_END, '2026-12-31T23:29:59.999Z', null, 'before it'],
  [YEAR_END, '2026-12-31T23:59:59.999Z', '2027-01-01T00:30:00.000Z', 'the last millisecond of the year'],
  [YEAR_END, '2027-01-01T00:00:00.000Z', '2027-01-01T00:30:00.000Z', 'the first of the next'],
  [YEAR_END, '2027-01-01T00:30:00.000Z', null, 'its end'],
  [YEAR_END, '2026-12-30T23:45:00.000Z', null, 'the day before'],
];

describe('F50 I7 maintenance windows', () => {
  it('are tried at 40 instants in 4 time zones', () => {
    expect(INSTANTS).toHaveLength(40);
    expect(new Set(INSTANTS.map(([{ timezone }]) => timezone)).size).toBe(4);
  });

  it.each(INSTANTS.map(([given, at, until, what]) => ({ given, at, until, what, zone: given.timezone })))(
    'F50 $zone $at: $what',
    ({ given, at, until }) => {
      const found = maintenanceEnd([given], Date.parse(at));
      expect(found === null ? null : new Date(found.until).toISOString()).toBe(until);
    },
  );

  it('F50 one that is opened every hour for an hour holds without a gap over both changes of the clocks', () => {
    const always = window('0 * * * *', 'Europe/Berlin', HOUR);
    for (const day of ['2026-03-29', '2026-10-25']) {
      for (let minute = -120; minute < 26 * 60; minute += 5)
        expect(maintenanceEnd([always], Date.parse(`${day}T00:00:00Z`) + minute * MINUTE)).not.toBeNull();
    }
  });

  it('of several the one that ends last holds', () => {
    const long = { ...KOLKATA, duration: 3 * HOUR };
    const now = Date.parse('2026-01-06T18:45:00Z');
    expect(maintenanceEnd([long, KOLKATA], now)?.window).toEqual(long);
    expect(maintenanceEnd([KOLKATA, long], now)?.window).toEqual(long);
    expect(maintenanceEnd([], now)).toBeNull();
  });

  it('one that is opened again before it ends stays open', () => {
    const twice = window('0,30 * * * *', 'UTC', 45 * MINUTE);
    const until = maintenanceEnd([twice], Date.UTC(2026, 0, 6, 12, 40))?.until;
    expect(until).toBe(Date.UTC(2026, 0, 6, 13, 15));
  });

  it('F50 says of any instant what counting the openings says', () => {
    const schedules = ['30 2 * * *', '*/20 * * * *', '0 1 * * sun', '15 0-5 * * *', '0 0 1 * *', '59 23 31 12 *'];
    const zones = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'UTC'];
    const minutes = fc.integer({ min: 1, max: 26 * 60 });
    const instants = fc.oneof(
      fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2029, 0) }),
      ...['2026-03-08', '2026-03-29', '2026-10-25', '2026-11-01', '2026-04-05', '2028-02-29', '2026-12-31'].map((day) =>
        fc.integer({ min: Date.parse(day) - 12 * HOUR, max: Date.parse(day) + 36 * HOUR }),
      ),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...schedules),
        fc.constantFrom(...zones),
        minutes,
        instants,
        (schedule, zone, length, now) => {
          const duration = length * MINUTE;
          const cron = new Cron(schedule, { timezone: zone });
          let expected: number | null = null;
          let opening = cron.nextRun(new Date(now - duration));
          while (opening !== null && opening.getTime() <= now) {
            expected = opening.getTime() + duration;
            opening = cron.nextRun(opening);
          }
          expect(maintenanceEnd([window(schedule, zone, duration)], now)?.until ?? null).toBe(
            expected !== null && expected > now ? expected : null,
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('thousands are looked at in a moment: a storm asks for each of its alerts', () => {
    const windows = [BERLIN, NEW_YORK, KOLKATA, LEAP, YEAR_END];
    // Processor time: what else the machine does meanwhile is no fault of theirs.
    const began = process.cpuUsage();
    for (let count = 0; count < 1_000; count += 1) maintenanceEnd(windows, Date.UTC(2026, 0, 6) + count * MINUTE);
    expect(process.cpuUsage(began).user / 1_000).toBeLessThan(5_000);
  });

  it.each([
    ['0 2 * * sun', 'Europe/Berlin', true],
    ['0 2 29 2 *', 'UTC', true],
    ['0 2 30 2 *', 'UTC', false],
    ['61 2 * * *', 'UTC', false],
    ['at two', 'UTC', false],
    ['0 2 * * *', 'Mars/Olympus', false],
  ])('%s in %s can be read: %s', (schedule, timezone, good) => {
    expect(maintenanceProblem({ schedule, timezone }) === null).toBe(good);
  });
});
