// Queries that are built and compiled once: between an alert and its first step stand dozens of them, and to build one
// anew takes longer than to run it.
import type { Compilable, CompiledQuery, DialectAdapter } from 'kysely';
import type { Queries } from './tables.ts';

/** `Given` is what changes from call to call, by name; each call gives all of it. */
export type Prepared<Given, Row> = {
  all(queries: Queries, given: Given): Promise<readonly Row[]>;
  first(queries: Queries, given: Given): Promise<Row | undefined>;
  /** Throws when there is none. */
  one(queries: Queries, given: Given): Promise<Row>;
  /** For one that answers no rows: how many it changed. */
  run(queries: Queries, given: Given): Promise<number>;
};

type Template = { readonly query: CompiledQuery; readonly names: ReadonlyArray<string | null> };

/**
 * `build` is called once for each dialect, with placeholders in the place of what is given: they may stand wherever a
 * value may, but nothing can be calculated from them, and whether one is null makes no other query of it.
 */
export const prepared = <Row, Given extends Readonly<Record<string, unknown>> = Readonly<Record<string, never>>>(
  build: (queries: Queries, given: Given) => Compilable<Row>,
): Prepared<Given, Row> => {
  const templates = new WeakMap<DialectAdapter, Template>();
  const templateFor = (queries: Queries, given: Given): Template => {
    const { adapter } = queries.getExecutor();
    let template = templates.get(adapter);
    if (template === undefined) {
      const query = build(queries, placeholdersFor(given)).compile();
      template = { query, names: query.parameters.map(nameOf) };
      templates.set(adapter, template);
    }
    return template;
  };
  const execute = (queries: Queries, given: Given) => {
    const { query, names } = templateFor(queries, given);
    const parameters = names.map((name, index) => (name === null ? query.parameters[index] : given[name]));
    return queries
      .getExecutor()
      .provideConnection((connection) => connection.executeQuery<Row>({ ...query, parameters }));
  };
  return {
    all: async (queries, given) => (await execute(queries, given)).rows,
    first: async (queries, given) => (await execute(queries, given)).rows[0],
    async one(queries, given) {
      const [row] = (await execute(queries, given)).rows;
      if (row === undefined)
        throw new Error(`no row where there is always one: ${templateFor(queries, given).query.sql}`);
      return row;
    },
    run: async (queries, given) => Number((await execute(queries, given)).numAffectedRows ?? 0n),
  };
};

const NAME = Symbol('name');

const placeholder = (name: string): object => ({
  [NAME]: name,
  [Symbol.toPrimitive]() {
    throw new Error(`${name} is known only when the query is run: calculate with it before`);
  },
});

const placeholdersFor = <Given extends object>(given: Given): Given =>
  Object.fromEntries(Object.keys(given).map((name) => [name, placeholder(name)])) as Given;

const nameOf = (parameter: unknown): string | null =>
  typeof parameter === 'object' && parameter !== null && NAME in parameter
    ? (parameter as { [NAME]: string })[NAME]
    : null;
