// How many rows are open, kept in the transaction that opens or closes one: a scrape reads a dozen figures and counts
// nothing, however much is open. Exact over crashes and over several processes, as the rows are. Triggers keep them, but for
// alerts and episodes, of which so many come at once that `tally.ts` adds them up by the transaction.

type Tally = {
  readonly name: string;
  readonly table: string;
  /** Changes of this column may move a row in or out; null: `tally.ts` keeps it. */
  readonly column: string | null;
  /** Whether a row is counted; `row` is its name within a trigger. */
  readonly counted: (row: string) => string;
  /** What it is split by, one figure each; without it one figure, whose part is `*`. */
  readonly part?: (row: string) => string;
};

const TALLIES: readonly Tally[] = [
  { name: 'alerts_undecided', table: 'alerts', column: null, counted: (row) => `${row}.decided = 0` },
  { name: 'outbox_pending', table: 'outbox', column: 'status', counted: (row) => `${row}.status = 'pending'` },
  { name: 'runs_awaiting', table: 'runs', column: 'state', counted: (row) => `${row}.state = 'awaiting_approval'` },
  { name: 'episodes_open', table: 'episodes', column: null, counted: (row) => `${row}.state <> 'closed'` },
  { name: 'inbox_open', table: 'inbox', column: 'status', counted: (row) => `${row}.status = 'open'` },
  {
    name: 'escalations_open',
    table: 'inbox',
    column: 'status',
    counted: (row) => `${row}.status = 'open' and ${row}.kind = 'escalation'`,
    // Those of no single component stand together.
    part: (row) => `coalesce(${row}.component, '*')`,
  },
  {
    name: 'storms_open',
    table: 'inbox',
    column: 'status',
    // As admission names them; a storm over several components has the part `*`.
    counted: (row) => `${row}.status = 'open' and coalesce(${row}.dedup, '') like 'storm:%'`,
    part: (row) => `substr(${row}.dedup, 7)`,
  },
];

const SEALS = [
  `insert into tallies (name, part, value) select 'archives', '*', count(*) from audit_seals`,
  `insert into tallies (name, part, value) select 'archived_bytes', '*', coalesce(sum(bytes), 0) from audit_seals`,
  // Append-only: nothing is ever taken off again.
  `create trigger audit_seals_tallied after insert on audit_seals begin
    update tallies set value = value + 1 where name = 'archives';
    update tallies set value = value + new.bytes where name = 'archived_bytes'; end`,
];

const keeping = ({ name, table, column, counted, part = () => `'*'` }: Tally): readonly string[] => {
  const add = (row: string, change: string): string =>
    `insert into tallies (name, part, value) values ('${name}', ${part(row)}, ${change})
      on conflict (name, part) do update set value = value + excluded.value;`;
  const begin = [
    `insert into tallies (name, part, value) values ('${name}', '*', 0)`,
    `insert into tallies (name, part, value) select '${name}', ${part(table)}, count(*) from ${table} where ${counted(table)} group by ${part(table)}
      on conflict (name, part) do update set value = excluded.value`,
  ];
  if (column === null) return begin;
  return [
    ...begin,
    `create trigger ${name}_inserted after insert on ${table} when ${counted('new')} begin ${add('new', '1')} end`,
    `create trigger ${name}_updated after update of ${column} on ${table} when (${counted('old')}) <> (${counted('new')})
      begin ${add('new', `case when ${counted('new')} then 1 else -1 end`)} end`,
    `create trigger ${name}_deleted after delete on ${table} when ${counted('old')} begin ${add('old', '-1')} end`,
  ];
};

export const tallies = {
  version: 5,
  sqlite: [
    `create table tallies (name text not null, part text not null, value integer not null, primary key (name, part)) strict, without rowid`,
    ...TALLIES.flatMap(keeping),
    ...SEALS,
    // One for each of what a scrape asks how a breaker stands by: given-back attempts are not read through for it.
    `create index attempts_judged on attempts (component, strategy, ledger, ended_at) where released_at is null`,
    `drop index attempts_strategy`,
  ],
} as const;
