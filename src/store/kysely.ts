// The query layer in its CommonJS build: its 279 files take a third longer to load as ES modules, which is a tenth of a
// second of every start.
import { createRequire } from 'node:module';
import type * as kysely from 'kysely';

export const { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } = createRequire(import.meta.url)(
  'kysely',
) as typeof kysely;
