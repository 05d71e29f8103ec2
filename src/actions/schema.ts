// What the version of a database's schema says beside the one that the deployed application expects: what the checks of
// SQLite and PostgreSQL schemas share.
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { ActionContext } from '../port/action.ts';
import { allowedPath } from './allowed.ts';
import { absolutePath } from './inputs.ts';

const LONGEST = 200;

const version = z.union([z.int().nonnegative().transform(String), z.string().min(1).max(LONGEST)]);

export const name = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/, { message: 'not a plain name of a table or column' });

export const schemaInput = {
  /** What the deployed application works with. */
  expected: version.optional(),
  /** A file of the deployed application whose only line says it, so that a deployment need not be told to amends. */
  expected_file: absolutePath.optional(),
  /** All versions that the deployed application knows: one that is not among them is ahead. Needed where they are no numbers. */
  known: z.array(version).min(1).max(2_000).optional(),
};
export const oneExpectation = {
  message: 'says what is expected neither or twice; mend: either expected or expected_file',
};
type SchemaInput = {
  readonly expected?: string | undefined;
  readonly expected_file?: string | undefined;
  readonly known?: readonly string[] | undefined;
};

export const expectsOnce = ({ expected, expected_file }: SchemaInput): boolean =>
  (expected === undefined) !== (expected_file === undefined);

export const schemaOutputs = {
  schema_version: 'the version that the database says, empty when it says none',
  schema_expected: 'the version that the deployed application works with',
  schema_matches: 'they are the same',
  schema_ahead: 'the database has a version that the deployed application does not know',
  schema_dirty: 'a migration broke off: the table of migrations says so itself',
};

export type FoundSchema = { readonly versions: readonly string[]; readonly dirty: boolean };

const isNumber = (text: string): boolean => /^\d+$/.test(text);

/** Numbers by their size, whatever their length; other names by their text. */
const compare = (left: string, right: string): number => {
  if (isNumber(left) && isNumber(right)) {
    const [one, other] = [BigInt(left), BigInt(right)];
    return one < other ? -1 : one > other ? 1 : 0;
  }
  return left < right ? -1 : left > right ? 1 : 0;
};

const readExpected = async (file: string, context: ActionContext): Promise<string> => {
  const path = await allowedPath(file, context.allow, 'the file with the expected version');
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new ActionError('permanent', `${path} cannot be read (${error.code ?? 'unknown'})`, { cause: error });
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONGEST + 2), 0, LONGEST + 2, 0);
    const text = buffer.subarray(0, bytesRead).toString('utf8').trim();
    if (text === '' || text.length > LONGEST || /\s/.test(text))
      throw new ActionError('permanent', `${path} does not hold a version; mend: one line with nothing else in it`);
    return text;
  } finally {
    await handle.close();
  }
};

export const expectedOf = async (input: SchemaInput, context: ActionContext): Promise<string> =>
  input.expected_file === undefined ? (input.expected ?? '') : readExpected(input.expected_file, context);

/** The outputs; throws them with the reason unless the database has the expected version and no migration broke off. */
export const judge = (
  { versions, dirty }: FoundSchema,
  expected: string,
  known: readonly string[] | undefined,
  what: string,
): JsonObject => {
  const newest = versions.toSorted(compare).at(-1) ?? '';
  const ahead =
    newest !== '' &&
    newest !== expected &&
    (known === undefined
      ? isNumber(newest) && isNumber(expected) && compare(newest, expected) > 0
      : !known.includes(newest));
  const outputs = {
    schema_version: newest.slice(0, LONGEST),
    schema_expected: expected,
    schema_matches: newest === expected,
    schema_ahead: ahead,
    schema_dirty: dirty,
  };
  if (newest === expected && !dirty) return outputs;
  const reason = dirty
    ? `a migration of ${what} broke off at ${outputs.schema_version}`
    : `${what} has the schema version ${newest === '' ? 'of no migration' : outputs.schema_version}, but ${expected} is expected`;
  throw new ActionError('permanent', reason, { outputs });
};
