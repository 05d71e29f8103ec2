// `amends audit verify`, on a record that a real engine made, beside that engine.
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { systemClock } from '../../../src/base/clock.ts';
import { createAuditHead } from '../../../src/engine/audit-head.ts';
import { runCommandLine } from '../../../src/cli/terminal/program.ts';
import type { Edge } from '../../../src/cli/terminal/edge.ts';
import { silentLog } from '../../contract/store/given.ts';
import { openShop } from '../../support/guarded-shop.ts';
import type { Shop } from '../../support/guarded-shop.ts';

describe('amends audit verify', () => {
  let shop: Shop;
  let data: string;
  beforeEach(async () => {
    shop = await openShop({ targets: ['one', 'two'], component: 'storm: { min: 5 }' });
    await shop.amends.post([shop.alert('one')]);
    await shop.amends.engine.desk.halt({ by: 'ann', reason: 'an exercise', hard: false });
    await shop.amends.engine.desk.resume({ by: 'ann', reason: 'over' });
    data = join(shop.amends.folder, 'data');
  });
  afterEach(() => shop.close());

  const verify = async (
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly out: string; readonly err: string }> => {
    const said: Record<'out' | 'err', string[]> = { out: [], err: [] };
    const edge: Edge = {
      clock: systemClock,
      colors: false,
      out: (line) => void said.out.push(line),
      err: (line) => void said.err.push(line),
      onStop: () => () => undefined,
      onReload: () => () => undefined,
      exitNow: () => undefined,
    };
    const code = await runCommandLine(['audit', 'verify', `--storage.path=${data}`, ...args], edge);
    return { code, out: said.out.join('\n'), err: said.err.join('\n') };
  };
  /** As somebody would who can write to the file. */
  const tamper = (...statements: readonly string[]): void => {
    const database = new Database(join(data, 'amends.db'), { timeout: 2_000 });
    for (const [name] of database
      .prepare(`select name from sqlite_master where type = 'trigger' and tbl_name = 'audit'`)
      .raw()
      .all() as string[][])
      database.exec(`drop trigger ${String(name)}`);
    for (const statement of statements) database.exec(statement);
    database.close();
  };
  const rows = (): number => {
    const database = new Database(join(data, 'amends.db'), { readonly: true });
    const count = database.prepare('select count(*) from audit').pluck().get() as number;
    database.close();
    return count;
  };

  it('C16 I8 a record that nobody has touched is whole, and its head is told', async () => {
    const { code, out } = await verify();
    expect(out).toMatch(
      new RegExp(
        `^${rows()} rows, each follows the one before; head ${rows()}:[0-9a-f]{64}\n1 runs, each as the audit tells$`,
      ),
    );
    expect(code).toBe(0);
    const json = JSON.parse((await verify('--output=json')).out) as object;
    expect(json).toMatchObject({
      file: join(data, 'amends.db'),
      audit: { ok: true, rows: rows() },
      runs: { checked: 1, problems: [] },
    });
  });

  it.each([
    ['was changed', `update audit set actor = 'nobody' where seq = 3`, 'row 3 was changed'],
    ['was taken out', 'delete from audit where seq = 2', 'row 2 is missing'],
    ['was taken away at the beginning', 'delete from audit where seq = 1', 'row 1 is missing'],
    ['was made up', `update audit set prev = '${'0'.repeat(64)}' where seq = 3`, 'row 3 does not follow row 2'],
  ])('C16 the first row that %s is named', async (_what, statement, problem) => {
    tamper(statement);
    const { code, out } = await verify();
    expect(out).toBe(
      `The audit in ${join(data, 'amends.db')} is broken at row ${/\d/.exec(problem)?.[0] ?? ''}: ${problem}`,
    );
    expect(code).toBe(1);
  });

  it('C16 an end that was cut off shows against a head that the log told of', async () => {
    const told: string[] = [];
    const log = {
      ...silentLog,
      info: (fields: Readonly<Record<string, unknown>>) => void told.push(String(fields['head'])),
    };
    const head = createAuditHead({
      clock: systemClock,
      log,
      head: () => (shop.amends.store as unknown as { auditHead(): Promise<{ seq: number; hash: string }> }).auditHead(),
    });
    await head.tick();
    // It is told once, until there is another.
    await head.tick();
    expect(told).toHaveLength(1);
    expect((await verify(`--head=${told[0] ?? ''}`)).code).toBe(0);
    const last = rows();
    tamper(`delete from audit where seq >= ${last - 1}`);
    expect((await verify()).code).toBe(0);
    const { code, out } = await verify(`--head=${told[0] ?? ''}`);
    expect([code, out]).toEqual([
      1,
      `The audit in ${join(data, 'amends.db')} is broken at row ${last - 1}: rows ${last - 1} to ${last} were cut off`,
    ]);
  });

  it('I8 a table of runs that was touched is not as the audit tells', async () => {
    tamper(`update runs set outcome = 'unresolved'`);
    const { code, out } = await verify();
    expect(out).toMatch(
      /1 things in the table of runs are not as the audit tells:\nrun \S+: outcome is "unresolved", and by the audit "resolved"$/,
    );
    expect(code).toBe(1);
    tamper('pragma foreign_keys = off', 'drop table run_events', 'delete from runs');
    expect((await verify()).out).toMatch(/run \S+ is in the audit and not in the table of runs$/);
  });

  it('what cannot be read is said so, and a head that is none is misuse', async () => {
    data = join(shop.amends.folder, 'nowhere');
    expect(await verify()).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('There is no record in') as unknown,
    });
    expect(await verify('--head=12')).toMatchObject({ code: 2, err: expect.stringContaining('--head') as unknown });
  });
});
