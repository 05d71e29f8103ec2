// A token that a service takes no longer is replaced by a new one, which nobody sees: it goes from the answer into a
// file that only its owner can read, and takes the place of the old one only once the service has accepted it.
import { constants } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { address, at, callService, jsonPointer } from './service.ts';

/** A shorter one cannot be told from an ordinary word when it is to be taken out of a log. */
const TOKEN = /^[\x21-\x7e]{12,8192}$/;

const member = z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/, { message: 'the name of a member' });

const failed = (what: string, error: unknown): ActionError =>
  new ActionError('permanent', `${what} (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`, { cause: error });

/** A file beside the other one, on its disk, that nobody else can open. */
const writeAside = async (file: string, token: string): Promise<string> => {
  // Always the same name: what a crash left behind is replaced by the next try, and never more than one.
  const aside = join(dirname(file), `.${basename(file)}.new`);
  await unlink(aside).catch(() => undefined);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(aside, flags, 0o600).catch((error: unknown) => {
    throw failed(`no file can be made in ${dirname(file)} for the new token`, error);
  });
  try {
    await handle.writeFile(`${token}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return aside;
};

const putInPlace = async (aside: string, file: string): Promise<void> => {
  await rename(aside, file).catch((error: unknown) => {
    throw failed(`the new token could not be put in the place of ${file}; the old one is still there`, error);
  });
  const folder = await open(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

type Input = {
  readonly login_url: string;
  readonly username: string;
  readonly password_file: string;
  readonly username_field: string;
  readonly password_field: string;
  readonly token_pointer: string;
};

const logIn = async (input: Input, context: ActionContext): Promise<string> => {
  const password = (await context.secret(input.password_file)).replace(/\r?\n$/, '');
  if (password === '')
    throw new ActionError('permanent', `${input.password_file} is empty: there is no password in it`);
  const call = {
    method: 'POST',
    url: input.login_url,
    json: { [input.username_field]: input.username, [input.password_field]: password },
    changes: true,
  } as const;
  const { json } = await callService(call, {}, context);
  const token = at(json, input.token_pointer);
  if (typeof token === 'string' && TOKEN.test(token)) return token;
  throw new ActionError(
    'permanent',
    `${input.login_url.split('?', 1)[0]} took the credentials, but there is no token at ${input.token_pointer} of its answer; mend: look at its API, and give token_pointer`,
  );
};

export default defineAction({
  summary:
    'Logs in with stored credentials and keeps the new token as a secret, once an authenticated call has proven it.',
  effect: 'change',
  input: z.strictObject({
    /** Takes a POST of JSON with the two fields below. */
    login_url: address,
    username: z.string().min(1).max(256),
    password_file: absolutePath,
    username_field: member.default('email'),
    password_field: member.default('password'),
    /** Where the token stands in the answer. */
    token_pointer: jsonPointer.default('/token'),
    /** Below allow.paths; written with mode 0600 and replaced as a whole. */
    token_file: absolutePath,
    /** A GET of it with the new token has to be answered 2xx before the old token is given up. */
    verify_url: address,
  }),
  outputs: {
    token_file: 'where the new token stands; it is never in an output',
    verified_status: 'how the authenticated call was answered',
    duration_ms: 'of the authenticated call, in milliseconds',
  },
  undo: 'it cannot be undone, and need not be: the old token was refused, and is replaced only by one that works',
  defaultTimeout: 15_000,
  async run(input, context) {
    const { allow, signal } = context;
    const file = await allowedPath(input.token_file, allow, 'the file of the token');
    if (input.token_file === input.password_file)
      throw new ActionError('permanent', 'the token would be written over the password; mend: name another token_file');
    signal.throwIfAborted();
    const aside = await writeAside(file, await logIn(input, context));
    try {
      // Read back as a secret, so that from here on it is taken out of whatever is stored or sent.
      await context.secret(aside);
      const call = { method: 'GET', url: input.verify_url } as const;
      const { status, durationMs } = await callService(call, { bearer_token_file: aside }, context);
      await putInPlace(aside, file);
      return { outputs: { token_file: input.token_file, verified_status: status, duration_ms: durationMs } };
    } catch (error) {
      await unlink(aside).catch(() => undefined);
      if (!(error instanceof ActionError)) throw error;
      throw new ActionError(error.kind, `the new token was not kept: ${error.message}`, { cause: error });
    }
  },
});
