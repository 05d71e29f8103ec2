// A million decisions must not be read to make one more: every query on the way is an index lookup.
import { tmpdir } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { Kysely } from 'kysely';
import { systemClock } from '../../../src/base/clock.ts';
import { createIds } from '../../../src/base/ids.ts';
import { createStatements, sqliteDialect } from '../../../src/store/driver.ts';
import type { Statements } from '../../../src/store/driver.ts';
import { decideAll } from '../../../src/store/decide.ts';
import { dueEpisodes, sweepEpisodes } from '../../../src/store/episodes.ts';
import { readHistory, readSnapshot } from '../../../src/store/history.ts';
import { listRows } from '../../../src/store/lists.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { readUndecided, receiveAll } from '../../../src/store/receive.ts';
import { claimRun, readActiveRuns, readSettledRuns, readSettlingRuns } from '../../../src/store/runs.ts';
import { createSealing } from '../../../src/store/audit-sealing.ts';
import type { Queries, Tables } from '../../../src/store/tables.ts';
import { outboxDue, prune, readFigures } from '../../../src/store/upkeep.ts';
import { applyWrites } from '../../../src/store/writes.ts';
import { START, admitAlways, deliveryOf, everything, requestOf } from '../../contract/store/given.ts';

/** One row, or as many as there are degraded modes or disabled components. */
/** Of archives there is about one a day, of configurations a thousand at most. */
const SMALL = /^SCAN (controls|configurations|spans|degraded|components|demotions|audit_seals|tallies|CONSTANT ROW)\b/;
/** Partial indexes over what is open now, read from their start: no longer than what they are asked for. */
const OPEN =
  /USING (COVERING )?INDEX (alerts_undecided|episodes_due|episodes_open|episodes_open_component|outbox_due|runs_active|runs_active_episode|inbox_open_run)\b/;
/** In the order of an index, with a limit. */
const IN_ORDER = /USING (COVERING )?INDEX (\w+_at|runs_created|episodes_opened)\b/;

describe('the queries of the store', () => {
  it('look things up by an index and scan no table', async () => {
    const database = new Database(':memory:');
    migrate(database, ':memory:', 0);
    const plain = createStatements(database);
    const seen = new Set<string>();
    const noted = (sql: string): string => {
      seen.add(sql);
      return sql;
    };
    const statements: Statements = {
      all: (sql, parameters) => plain.all(noted(sql), parameters),
      get: (sql, parameters) => plain.get(noted(sql), parameters),
      run: (sql, parameters) => plain.run(noted(sql), parameters),
      execute: (sql, parameters) => plain.execute(noted(sql), parameters),
    };
    const queries = new Kysely<Tables>({
      dialect: sqliteDialect(database, statements, systemClock, 'begin immediate'),
    });
    await queries.transaction().execute(async (open) => {
      await receiveAll(statements, createIds(systemClock), [deliveryOf([{}])]);
      await decideAll(open, statements, [requestOf({ episodeId: 'e' })], START, admitAlways);
      await readHistory(
        open,
        {
          component: 'c',
          kind: 'k',
          target: 't',
          rule: 'r',
          strategy: 's',
          stormWindow: 1,
          componentsWindow: 1,
          episodeId: 'e',
          ledger: 'live',
          window: 1,
        },
        START,
      );
      await readSnapshot(open, { component: 'c', since: 0 });
      await claimRun(open, 'worker', START, 1);
      await readActiveRuns(open);
      await readSettlingRuns(open, { targets: ['t'], episodes: ['e'] });
      await readSettledRuns(open, START);
      await dueEpisodes(open, START, 10);
      await sweepEpisodes(
        open,
        statements,
        START,
        () => 1,
        () => 1,
      );
      await outboxDue(open, START, 10);
      await prune(open, START, 10);
      await readFigures(open, 0);
      await applyWrites(
        open,
        [
          { type: 'inbox.close_for_run', runId: 'r', kind: 'note', by: '', comment: '' },
          { type: 'attempt.end', runId: 'r', at: 0, outcome: 'resolved', cause: 'verified' },
        ],
        0,
      );
      for (const kind of ['alerts', 'episodes', 'decisions', 'runs', 'inbox', 'audit', 'outbox'] as const)
        await listRows(open, kind, { ...everything, limit: 10 });
      for (const filters of [
        { component: 'c' },
        { rule: 'r' },
        { reason: 'admitted' },
        { episodeId: 'e' },
        { runId: 'r' },
        { alertId: 'a', origin: 'delivery' },
        { alertId: 'a' },
        { deliveryId: 'd' },
      ]) {
        await listRows(open, 'decisions', { ...everything, filters });
      }
    });
    // Asked once an hour, of an audit of which nothing is old: the hour's rows are not gone through for it.
    const gate = <T>(work: (queries: Queries) => Promise<T>): Promise<T> => work(queries);
    const sealing = createSealing({ storage: tmpdir(), reading: gate, writing: gate });
    expect(await sealing.archive({ before: 0, compress: false }, START)).toEqual({ did: 'nothing' });
    const old = [...seen].find((sql) => sql.includes('"at" <') && sql.includes('from "audit"')) ?? '';
    const looked = database.prepare(`explain query plan ${old.replaceAll('?', '1')}`).all();
    expect(looked).toMatchObject([{ detail: expect.stringMatching(/INDEX audit_at \(at<\?/) }]);
    // The lowest place is the first of the table.
    seen.delete('select "seq" from "audit" order by "seq" limit ?');
    readUndecided(statements, 10);
    const scans: string[] = [];
    for (const sql of seen) {
      if (!/^\s*(select|update|delete|with)/i.test(sql)) continue;
      const unbound = sql.replaceAll('?', '1');
      const plan = database.prepare(`explain query plan ${unbound}`).all() as Array<{ detail: string }>;
      for (const { detail } of plan) {
        if (detail.startsWith('SCAN') && ![SMALL, OPEN, IN_ORDER].some((fine) => fine.test(detail)))
          scans.push(`${detail}: ${sql}`);
      }
    }
    expect(seen.size).toBeGreaterThan(40);
    expect(scans).toEqual([]);
    database.close();
  });
});
