// What is open is tallied in the transaction that opens or closes it, so a scrape counts nothing: here what triggers keep,
// and what an upgrade makes of a store of before. test/contract/store/figures.test.ts has the rest.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { assert, array, constantFrom, nat, property, record } from 'fast-check';
import { MIGRATIONS, migrate } from '../../../src/store/migrate.ts';
import { tallies } from '../../../src/store/migrations/0005_tallies.ts';
import { tallied } from '../../contract/store/tallied.ts';

type Act = (database: Database.Database, row: string, choice: number) => void;
const pick = <T>(choices: readonly T[], choice: number): T => choices[choice % choices.length] as T;

/** What the store counts by itself, without a trigger. */
const OPENED: Readonly<Record<string, Act>> = {
  receive: (database, row, choice) => {
    database.prepare(`insert or ignore into deliveries values ('d', 1, 's', x'7b7d', 0, 0, 0, null)`).run();
    database
      .prepare(
        `insert or ignore into alerts (id, delivery_id, entry_index, at, change, decided) values (?, 'd', 0, 1, 'none', ?)`,
      )
      .run(row, choice % 2);
  },
  openEpisode: (database, row, choice) =>
    database
      .prepare(
        `insert or ignore into episodes (id, key, source, state, labels, annotations, starts_at, opened_at, last_firing_at, firings)
         values (?, ?, 's', ?, '{}', '{}', 1, 1, 1, 1)`,
      )
      .run(row, row, pick(['firing', 'quiet', 'closed'], choice)),
};

/** Whatever a row may go through, also what no code of today does with it. */
const ACTS: Readonly<Record<string, Act>> = {
  // As the store opens one: what is open with the same name is only counted.
  openEntry: (database, row, choice) =>
    database
      .prepare(
        `insert into inbox (id, at, kind, status, dedup, component, title, body, count) values (@id, 1, @kind, 'open', @dedup, @component, '', '{}', 1)
         on conflict (dedup) where status = 'open' and dedup is not null do update set count = inbox.count + 1
         on conflict (id) do nothing`,
      )
      .run({
        id: row,
        kind: pick(['escalation', 'approval', 'note'], choice),
        dedup: pick([null, 'storm:cache', 'storm:*', 'exhausted:e', null], choice),
        component: pick([null, 'cache', 'shop', '*'], choice),
      }),
  closeEntry: (database, row, choice) =>
    database
      .prepare(`update or ignore inbox set status = ? where id = ?`)
      .run(pick(['closed', 'closed', 'open'], choice), row),
  forgetEntry: (database, row) => database.prepare('delete from inbox where id = ?').run(row),
  tell: (database, row, choice) =>
    database
      .prepare(
        `insert or ignore into outbox (id, at, topic, title, body, status, tries, next_at) values (?, 1, 't', '', '', ?, 0, 1)`,
      )
      .run(row, pick(['pending', 'sent'], choice)),
  told: (database, row, choice) =>
    database.prepare('update outbox set status = ? where id = ?').run(pick(['sent', 'dead', 'pending'], choice), row),
  forgetMessage: (database, row) => database.prepare('delete from outbox where id = ?').run(row),
  admit: (database, row, choice) =>
    database
      .prepare(
        `insert or ignore into runs (id, decision_id, component, kind, target, strategy, state, created_at, not_before, plan)
         values (?, 'x', 'c', 'k', 't', 's', ?, 1, 1, '{}')`,
      )
      .run(row, pick(['awaiting_approval', 'queued'], choice)),
  moveRun: (database, row, choice) =>
    database
      .prepare('update runs set state = ? where id = ?')
      .run(pick(['queued', 'running', 'awaiting_approval', 'done'], choice), row),
};

describe('the tallies', () => {
  let database: Database.Database;
  beforeEach(() => {
    database = new Database(':memory:');
    migrate(database, ':memory:', 0);
  });
  afterEach(() => void database.close());

  it('say what counting says, whatever happens to the rows and however often it is rolled back', () => {
    const acts = array(
      record({
        act: constantFrom(...Object.keys(ACTS)),
        row: constantFrom('a', 'b', 'c', 'd', 'e'),
        choice: nat(59),
        undo: nat(5),
      }),
      { minLength: 30, maxLength: 120 },
    );
    const moved = new Set<string>();
    assert(
      property(acts, (steps) => {
        for (const { act, row, choice, undo } of steps) {
          database.exec('begin immediate');
          ACTS[act]?.(database, row, choice);
          database.exec(undo === 0 ? 'rollback' : 'commit');
          const { kept, counted } = tallied(database);
          expect({ act, kept }).toEqual({ act, kept: counted });
          for (const name of Object.keys(kept)) moved.add(name);
        }
      }),
      { numRuns: 60 },
    );
    // A walk that opens nothing would prove nothing.
    for (const name of ['outbox_pending', 'runs_awaiting', 'inbox_open']) expect([...moved]).toContain(`${name} *`);
    expect([...moved]).toEqual(
      expect.arrayContaining(['escalations_open *', 'escalations_open cache', 'storms_open *', 'storms_open cache']),
    );
  });

  it('count what is open already when a store of before is upgraded', () => {
    const old = new Database(':memory:');
    const at = MIGRATIONS.indexOf(tallies);
    migrate(old, ':memory:', 0, MIGRATIONS.slice(0, at));
    const all = { ...ACTS, ...OPENED };
    for (const act of ['receive', 'openEpisode', 'tell', 'admit', 'openEntry'])
      for (const row of ['a', 'b', 'c']) all[act]?.(old, row, 0);
    all['openEntry']?.(old, 'storm', 51);
    all['receive']?.(old, 'decided', 1);
    all['openEpisode']?.(old, 'closed', 2);
    for (const act of ['told', 'moveRun', 'closeEntry']) all[act]?.(old, 'c', 0);
    // `migrate` would copy the file before, and this one is in memory.
    old.exec('begin');
    for (const statement of tallies.sqlite) old.exec(statement);
    old.exec('commit');
    const { kept, counted } = tallied(old);
    expect(kept).toEqual(counted);
    expect(kept).toMatchObject({
      'alerts_undecided *': 3,
      'episodes_open *': 3,
      'outbox_pending *': 2,
      'runs_awaiting *': 2,
      'inbox_open *': 3,
      'storms_open cache': 1,
    });
    old.close();
  });
});
