// What a scrape costs does not depend on how much the store holds, or on how much of it is open.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { Registry } from 'prom-client';
import { systemClock } from '../../../src/base/clock.ts';
import { createIds } from '../../../src/base/ids.ts';
import { createHaltFile } from '../../../src/engine/halt-file.ts';
import { createCollector, vocabularyOf } from '../../../src/http/figures.ts';
import { createMetrics } from '../../../src/metrics.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import { silentLog } from '../../contract/store/given.ts';
import { tallied } from '../../contract/store/tallied.ts';
import { loadWhole } from '../../support/whole.ts';

const folder = mkdtempSync(join(tmpdir(), 'amends-cost-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROWS = 20_000;
const DAY = 86_400_000;

/** Years of work in every table that has no end, and as much of it open as can be. */
const fill = (database: Database.Database, pairs: ReadonlyArray<{ component: string; strategy: string }>): void => {
  const numbers = `with recursive n (i) as (select 1 union all select i + 1 from n where i < ${ROWS})`;
  const long = Date.now() - 400 * DAY;
  database.exec(`begin immediate;
    insert into deliveries (id, at, source, body, group_size, truncated_alerts, unknown_fields)
      ${numbers} select 'd' || i, ${long} + i, 's', x'7b7d', 1, 0, 0 from n;
    insert into episodes (id, key, source, state, component, kind, target, labels, annotations, starts_at, opened_at, last_firing_at, firings)
      ${numbers} select 'e' || i, 'k' || i, 's', 'firing', null, null, null, '{}', '{}', ${long}, ${long} + i, ${long} + i, 1 from n;
    insert into alerts (id, delivery_id, entry_index, at, status, episode_id, change, decided)
      ${numbers} select 'a' || i, 'd' || i, 0, ${long} + i, 'firing', 'e' || i, 'opened', 0 from n;
    insert into decisions (id, at, origin, reason, alert_id, episode_id, record)
      ${numbers} select 'x' || i, ${long} + i, 'delivery', 'no_match', 'a' || i, 'e' || i, '{}' from n;
    insert into outbox (id, at, topic, title, body, status, tries, next_at)
      ${numbers} select 'o' || i, ${long} + i, 't', '', '', case when i % 2 = 0 then 'sent' else 'pending' end, 0, ${long} from n;
    insert into inbox (id, at, kind, status, dedup, component, title, body, count)
      ${numbers} select 'i' || i, ${long} + i, 'escalation', 'open', 'exhausted:' || i, null, '', '{}', 1 from n;
    insert into runs (id, decision_id, component, kind, target, strategy, state, outcome, cause, created_at, not_before, ended_at, plan)
      ${numbers} select 'r' || i, 'x' || i, 'the-redis', 'redis', 't', 'reconnect', 'done', 'resolved', 'verified', ${long} + i, 1, ${long} + i, '{}' from n;
  `);
  // What the store adds up by the transaction, and no trigger does.
  database
    .prepare(`update tallies set value = value + ? where name in ('alerts_undecided', 'episodes_open')`)
    .run(ROWS);
  const attempt = database.prepare(
    `insert into attempts (id, ledger, run_id, component, kind, target, strategy, rung, at, ended_at, outcome, cause, released_at)
     values (?, 'live', ?, ?, 'k', 't', ?, 0, ?, ?, ?, ?, ?)`,
  );
  for (const [index, { component, strategy }] of pairs.entries())
    for (let count = 0; count < ROWS / pairs.length; count += 1) {
      const [id, at] = [`${index}-${count}`, long + count];
      // Every other one was given back; of the rest the failures are many enough that a breaker has to look at all it may.
      const released = count % 2 === 0;
      const failed = !released && count % 500 !== 1;
      attempt.run(
        id,
        id,
        component,
        strategy,
        at,
        at,
        failed ? 'unresolved' : 'resolved',
        failed ? 'step_failed' : 'verified',
        released ? at : null,
      );
    }
  database.exec('insert into components (name, version) select distinct component, 1 from attempts');
  database.exec('commit');
};

it('C9 a scrape costs the same with hundreds of thousands of rows in the store, most of them open', async () => {
  const loaded = await loadWhole();
  const clock = systemClock;
  const store = await openSqliteStore({
    folder,
    clock,
    ids: createIds(clock),
    log: silentLog,
    owner: 'test',
    acceptEmptyHistory: false,
    lock: false,
  });
  const metrics = createMetrics({
    registry: new Registry(),
    clock,
    version: '1.2.3',
    collect: createCollector({ store, clock, halt: createHaltFile(join(folder, 'halt')), loaded: () => loaded }),
  });
  metrics.initialise(vocabularyOf(loaded));
  /** Milliseconds of the processor for one, the least of several rounds: what else the process does meanwhile is not of it. */
  const cost = async (): Promise<number> => {
    const rounds: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      const before = process.cpuUsage();
      for (let scrape = 0; scrape < 10; scrape += 1) await metrics.text();
      const { user, system } = process.cpuUsage(before);
      rounds.push((user + system) / 10_000);
    }
    return Math.min(...rounds);
  };
  const seriesOf = async (): Promise<number> =>
    (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  await cost();
  const [before, seriesBefore] = [await cost(), await seriesOf()];
  const database = new Database(join(folder, 'amends.db'));
  fill(
    database,
    vocabularyOf(loaded).components.flatMap(({ name: component, strategies }) =>
      strategies.map((strategy) => ({ component, strategy })),
    ),
  );
  const after = await cost();
  const text = await metrics.text();
  expect(text).toContain(`amends_alerts_undecided ${ROWS}\n`);
  expect(text).toContain(`amends_episodes_open ${ROWS}\n`);
  expect(text).toContain(`amends_outbox_depth ${ROWS / 2}\n`);
  expect(text).toContain(`amends_escalations_open{component="*"} ${ROWS}\n`);
  expect(text).toContain('amends_breaker_open{component="the-redis",strategy="reconnect"} 1');
  const { kept, counted } = tallied(database);
  expect(kept).toEqual(counted);
  database.close();
  expect(await seriesOf()).toBe(seriesBefore);
  expect(before).toBeLessThan(20);
  expect(after).toBeLessThan(before * 1.3 + 0.3);
  await store.close();
}, 240_000);
