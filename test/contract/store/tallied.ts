// What the tallies of the store have to say, counted row by row.
import type Database from 'better-sqlite3';

const COUNTED = `
  select 'alerts_undecided' as name, '*' as part, count(*) as value from alerts where decided = 0
  union all select 'outbox_pending', '*', count(*) from outbox where status = 'pending'
  union all select 'runs_awaiting', '*', count(*) from runs where state = 'awaiting_approval'
  union all select 'episodes_open', '*', count(*) from episodes where state <> 'closed'
  union all select 'inbox_open', '*', count(*) from inbox where status = 'open'
  union all select 'archives', '*', count(*) from audit_seals
  union all select 'archived_bytes', '*', coalesce(sum(bytes), 0) from audit_seals
  union all select 'escalations_open', coalesce(component, '*'), count(*) from inbox
    where status = 'open' and kind = 'escalation' group by coalesce(component, '*')
  union all select 'storms_open', substr(dedup, 7), count(*) from inbox where status = 'open' and dedup like 'storm:%' group by dedup`;

type Figure = { readonly name: string; readonly part: string; readonly value: number };
const byName = (rows: readonly unknown[]): Readonly<Record<string, number>> =>
  Object.fromEntries(
    (rows as readonly Figure[])
      .filter(({ value }) => value !== 0)
      .map(({ name, part, value }) => [`${name} ${part}`, value] as const)
      .toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );

/** The tallies that are not 0, as kept and as counted. */
export const tallied = (database: Database.Database) => ({
  kept: byName(database.prepare('select name, part, value from tallies').all()),
  counted: byName(database.prepare(COUNTED).all()),
});
