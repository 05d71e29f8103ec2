// The configurations that were active, in order, each text once. They go when nothing that was decided under them is on
// record any more, and the oldest go when they become too many or too large.
import { sql } from 'kysely';
import { digest } from '../base/json.ts';
import type { Configuration, KeptFile, NewConfiguration } from '../port/record.ts';
import type { Queries } from './tables.ts';

/** Whoever reloads every minute keeps those of most of a day. */
const MOST_KEPT = 1_000;
/** Of all texts together, in characters; a few hundred files come to less than one million. */
const MOST_TEXT = 128 * 1_024 * 1_024;
/** SQLite takes so many parameters a statement, and more. */
const ROWS_A_STATEMENT = 500;

const slices = function* <T>(all: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += ROWS_A_STATEMENT) yield all.slice(from, from + ROWS_A_STATEMENT);
};

/** Within an open transaction. */
export const keepConfiguration = async (
  queries: Queries,
  { files: given, ...about }: NewConfiguration,
  textOf: (digest: string) => string,
  most = { kept: MOST_KEPT, text: MOST_TEXT },
): Promise<void> => {
  const files = digest(given);
  const active = await queries
    .selectFrom('configurations')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  const same = (['catalog', 'config', 'revision', 'mode'] as const).every((name) => active?.[name] === about[name]);
  if (same && active?.files === files) return;
  const { id } = await queries
    .insertInto('configurations')
    .values({ ...about, files })
    .returning('id')
    .executeTakeFirstOrThrow();
  const rows = given.map((file, place) => ({ ...file, configuration_id: id, place }));
  for (const some of slices(rows)) await queries.insertInto('configuration_files').values(some).execute();
  const digests = [...new Set(given.map((file) => file.digest))];
  for (const some of slices(digests)) {
    const kept = await queries.selectFrom('configuration_texts').select('digest').where('digest', 'in', some).execute();
    const known = new Set(kept.map((text) => text.digest));
    const missing = some.filter((one) => !known.has(one)).map((one) => ({ digest: one, text: textOf(one) }));
    if (missing.length > 0) await queries.insertInto('configuration_texts').values(missing).execute();
  }
  await drop(queries, sql<boolean>`id <= ${id - most.kept}`);
  while ((await size(queries)) > most.text && (await dropOldest(queries, id)));
};

const size = async (queries: Queries): Promise<number> => {
  const { total } = await queries
    .selectFrom('configuration_texts')
    .select(sql<number>`coalesce(sum(length(text)), 0)`.as('total'))
    .executeTakeFirstOrThrow();
  return total;
};

/** False when there is no other than the one that was kept just now. */
const dropOldest = async (queries: Queries, newest: number): Promise<boolean> => {
  const oldest = await queries.selectFrom('configurations').select('id').orderBy('id').limit(1).executeTakeFirst();
  if (oldest === undefined || oldest.id === newest) return false;
  await drop(queries, sql<boolean>`id = ${oldest.id}`);
  return true;
};

/** Those that are meant, and every text that no other has. */
const drop = async (queries: Queries, which: ReturnType<typeof sql<boolean>>): Promise<number> => {
  const meant = await queries.selectFrom('configurations').select('id').where(which).execute();
  if (meant.length === 0) return 0;
  for (const some of slices(meant.map(({ id }) => id))) {
    await queries.deleteFrom('configuration_files').where('configuration_id', 'in', some).execute();
    await queries.deleteFrom('configurations').where('id', 'in', some).execute();
  }
  await sql`delete from configuration_texts where not exists (
    select 1 from configuration_files where configuration_files.digest = configuration_texts.digest)`.execute(queries);
  return meant.length;
};

/** Within an open transaction: those that were replaced before `before`, and under which nothing was decided that is still on record. */
export const pruneConfigurations = (queries: Queries, before: number): Promise<number> =>
  drop(
    queries,
    sql<boolean>`exists (
      select 1 from configurations as later
      where later.id = (select min(next.id) from configurations as next where next.id > configurations.id)
        and later.at < ${before}
        and not exists (select 1 from runs where runs.created_at >= configurations.at and runs.created_at < later.at)
        and not exists (select 1 from deliveries where deliveries.at >= configurations.at and deliveries.at < later.at))`,
  );

export const readConfigurations = async (queries: Queries, since: number | null): Promise<readonly Configuration[]> => {
  const first =
    since === null
      ? undefined
      : await queries
          .selectFrom('configurations')
          .select('id')
          .where('at', '<=', since)
          .orderBy('id', 'desc')
          .limit(1)
          .executeTakeFirst();
  const from = first?.id ?? 0;
  const rows = await queries.selectFrom('configurations').selectAll().where('id', '>=', from).orderBy('id').execute();
  const files = await queries
    .selectFrom('configuration_files')
    .selectAll()
    .where('configuration_id', '>=', from)
    .orderBy('configuration_id')
    .orderBy('place')
    .execute();
  const byId = new Map<number, KeptFile[]>(rows.map(({ id }) => [id, []]));
  for (const { configuration_id: id, kind, file, digest: of } of files) byId.get(id)?.push({ kind, file, digest: of });
  return rows.map((row) => ({ ...row, files: byId.get(row.id) ?? [] }));
};

export const readConfiguration = async (queries: Queries, id: number): Promise<Configuration | null> => {
  const row = await queries.selectFrom('configurations').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) return null;
  const files = await queries
    .selectFrom('configuration_files')
    .select(['kind', 'file', 'digest'])
    .where('configuration_id', '=', id)
    .orderBy('place')
    .execute();
  return { ...row, files };
};

export const readConfigurationTexts = async (
  queries: Queries,
  digests: readonly string[],
): Promise<ReadonlyMap<string, string>> => {
  const texts = new Map<string, string>();
  for (const some of slices(digests)) {
    const rows = await queries.selectFrom('configuration_texts').selectAll().where('digest', 'in', some).execute();
    for (const { digest: of, text } of rows) texts.set(of, text);
  }
  return texts;
};
