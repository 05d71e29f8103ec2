// `amends audit verify`, on a record that a real engine made, beside that engine.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { systemClock } from '../../../src/base/clock.ts';
import { createAuditHead } from '../../../src/engine/audit-head.ts';
import { runCommandLine } from '../../../src/cli/terminal/program.ts';
import type { Edge } from '../../../src/cli/terminal/edge.ts';
import { ids, silentLog } from '../../contract/store/given.ts';
import type { SqliteStore } from '../../../src/store/sqlite.ts';
import { check } from '../../../torture/check.ts';
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

  const verify = (...args: readonly string[]) => amends('verify', ...args);
  const amends = async (
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
    const code = await runCommandLine(['audit', ...args, `--storage.path=${data}`], edge);
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
    const shown: Array<{ readonly seq: number; readonly hash: string }> = [];
    const head = createAuditHead({
      clock: systemClock,
      log,
      ids,
      store: shop.amends.store,
      head: () => (shop.amends.store as SqliteStore).auditHead(),
      show: (seen) => void shown.push(seen),
      receiver: () => null,
    });
    expect(head.last()).toBeNull();
    await head.tick();
    // It is told once, until there is another.
    await head.tick();
    expect(told).toEqual([head.last()]);
    expect((await verify(`--head=${told[0] ?? ''}`)).code).toBe(0);
    const metric = `${shown[0]?.hash.slice(0, 16) ?? ''}@${shown[0]?.seq ?? ''}`;
    expect((await verify(`--head=${metric}`)).code).toBe(0);
    const last = rows();
    tamper(`delete from audit where seq >= ${last - 1}`);
    expect((await verify()).code).toBe(0);
    const { code, out } = await verify(`--head=${told[0] ?? ''}`);
    expect([code, out]).toEqual([
      1,
      `The audit in ${join(data, 'amends.db')} is broken at row ${last - 1}: rows ${last - 1} to ${last} were cut off`,
    ]);
    expect((await verify(`--head=${metric}`)).out).toContain('were cut off');
    expect((await verify(`--head=${metric.slice(0, 16)}`)).out).toContain('no row has the hash');
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

  const DAY = 86_400_000;
  /** Days go by; then there is time for as many slices as it takes. */
  const daysLater = async (days: number): Promise<void> => {
    shop.amends.clock.advance(days * DAY);
    for (let tick = 0; tick < 20; tick += 1) await shop.amends.settle();
  };
  const archives = (): readonly string[] => readdirSync(join(data, 'audit')).toSorted();

  it('R22 I8: after its retention the audit is in archives, and with the table it is one chain that tells each run', async () => {
    const head = (JSON.parse((await verify('--output=json')).out) as { audit: { head: { seq: number; hash: string } } })
      .audit.head;
    const before = await amends('export');
    await daysLater(29);
    expect(existsSync(join(data, 'audit'))).toBe(false);
    await daysLater(3);
    expect(archives()).toEqual([expect.stringMatching(/^audit-0{11}1-\d{12}\.\d{4}-\d\d-\d\d\.ndjson\.gz$/)]);
    await shop.amends.post([shop.alert('two')]);
    expect(rows()).toBeLessThan(head.seq + 10);
    const { code, out } = await verify(`--head=${head.hash.slice(0, 16)}@${head.seq}`);
    expect(out).toMatch(
      /^\d+ rows \(1 archives\), each follows the one before; head .*\n2 runs, each as the audit tells$/,
    );
    expect(code).toBe(0);
    const after = await amends('export');
    expect(after.code).toBe(0);
    expect(after.out.startsWith(before.out)).toBe(true);
    const seqs = after.out.split('\n').map((line) => (JSON.parse(line) as { seq: number }).seq);
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, index) => index + 1));
    expect(after.err).toBe(`${seqs.length} rows`);
    // Whoever checks without a line of amends' own comes to the same.
    expect(check({ database: join(data, 'amends.db'), ledger: [] }).filter(({ id }) => id === 'I8')).toEqual([]);
    // The API has what is younger.
    expect((await shop.amends.list('audit')).at(-1)?.seq).toBe(head.seq + 1);
  });

  it('R22: an export has the rows from one time to before another, and says what is not there', async () => {
    await daysLater(32);
    await shop.amends.post([shop.alert('two')]);
    const all = (await amends('export')).out.split('\n').map((line) => JSON.parse(line) as { at: number });
    const turn = all.find(({ at }) => at - (all[0]?.at ?? 0) > DAY)?.at ?? 0;
    const when = new Date(turn).toISOString();
    const [until, since] = [await amends('export', `--until=${when}`), await amends('export', `--since=${when}`)];
    expect(`${until.out}\n${since.out}`).toBe((await amends('export')).out);
    expect(since.out.split('\n').length).toBeLessThan(all.length);
    expect((await amends('export', '--since=soon')).code).toBe(2);
    const [file = ''] = archives();
    rmSync(join(data, 'audit', file));
    const lacking = await amends('export');
    expect(lacking).toMatchObject({ code: 1, err: expect.stringContaining(`${file} is not there`) as unknown });
  });

  it('R22: an archive that was touched is named with its line, one that is missing is named, elsewhere it is found', async () => {
    await daysLater(32);
    const [name = ''] = archives();
    const file = join(data, 'audit', name);
    const whole = readFileSync(file);
    const lines = gunzipSync(whole).toString().split('\n');
    lines[1] = (lines[1] ?? '').replace('"amends"', '"nobody"');
    writeFileSync(file, gzipSync(lines.join('\n')));
    expect(await verify()).toMatchObject({
      code: 1,
      out: `The audit in ${file} is broken at row 2 (line 2): row 2 was changed`,
    });
    const elsewhere = join(shop.amends.folder, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, name), whole);
    expect((await verify(`--archives=${elsewhere}`)).code).toBe(0);
    rmSync(file);
    expect((await verify()).out).toMatch(
      new RegExp(`^The audit in ${file} is broken at row 1: the archive with the rows 1 to \\d+ is missing$`),
    );
    const accepted = await verify('--accept-missing-archives');
    expect(accepted.out).toMatch(
      /only their seals were checked\n0 runs, each as the audit tells; 1 began in archives that are not there$/,
    );
    expect(accepted.code).toBe(0);
  });

  it('R22: a row that was touched is not archived, and people are told once', async () => {
    tamper(`update audit set actor = 'nobody' where seq = 2`);
    await daysLater(32);
    await daysLater(1);
    expect(existsSync(join(data, 'audit'))).toBe(false);
    const entries = (await shop.amends.list('inbox')).filter(({ dedup }) => dedup === 'audit');
    expect(entries).toMatchObject([
      { status: 'open', severity: 'SEV2', body: { problem: 'row 2 was changed: nothing is archived any more' } },
    ]);
    expect((await shop.amends.list('outbox')).filter(({ topic }) => topic === 'audit')).toHaveLength(1);
  });

  it('R22: without compression an archive is plain NDJSON', async () => {
    await shop.amends.reload(
      {},
      `${readFileSync(join(shop.amends.folder, 'amends.yaml'), 'utf8')}\naudit: { retention_days: 1, compression_enabled: false }\n`,
    );
    const { out } = await amends('export');
    await daysLater(3);
    const [name = ''] = archives();
    expect(name).toMatch(/\.ndjson$/);
    expect(out.startsWith(readFileSync(join(data, 'audit', name), 'utf8').trimEnd())).toBe(true);
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
