// Who is signed in to the console. A session is a random number that the browser keeps in a cookie that no script can read;
// here its hash is kept, with the hash of the credential that it came from: when that goes away, so does the session. The
// hashes lie in a file beside the record, so that a restart at night signs nobody out.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isObject } from '../base/json.ts';
import type { Json } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import type { WebConfig } from '../config-web.ts';
import type { Principal } from './auth.ts';

/** A browser takes a cookie of this name only with Secure, Path=/ and no Domain: no neighbour can set it. */
const COOKIE = '__Host-amends';
const SESSION_MS = 12 * 60 * 60_000;
const MOST_SESSIONS = 500;

type Kept = { readonly hash: string; readonly credential: string; readonly expiresAt: number };

export type Session = {
  readonly principal: Principal;
  readonly expiresAt: number;
  /** What a page of ours has to send with every change: another page cannot read it. */
  readonly csrf: string;
};

/** What was presented at the sign-in. */
export type Presented =
  { readonly type: 'token'; readonly token: string } | { readonly type: 'user'; readonly name: string };

export type Sessions = {
  /** The session that the request's cookie names, if it holds. */
  of(request: Pick<IncomingMessage, 'headersDistinct'>): Session | null;
  /** Gives the `Set-Cookie` of a new session; null when the credential is not known. */
  begin(presented: Presented): Promise<string | null>;
  /** Ends the one of the request, and gives the `Set-Cookie` that makes the browser forget it. */
  end(request: Pick<IncomingMessage, 'headersDistinct'>): Promise<string>;
};

const sha256 = (...parts: readonly string[]): string => createHash('sha256').update(parts.join('\n')).digest('hex');
const ofToken = (tokenSha256: string): string => sha256('token', tokenSha256);
const ofUser = (name: string, bcrypt: string): string => sha256('user', name, bcrypt);

/** By the hash of their credential: everybody who may come in now. */
const principalsOf = ({ tokens, basicAuthUsers }: WebConfig): ReadonlyMap<string, Principal> =>
  new Map([
    ...tokens.map(({ name, role, source, webhook = true, ...token }): [string, Principal] => [
      ofToken(token.sha256),
      { name, role, source, webhook, local: false },
    ]),
    ...[...basicAuthUsers].map(([name, { bcrypt, role, source }]): [string, Principal] => [
      ofUser(name, bcrypt),
      { name, role, source, webhook: true, local: false },
    ]),
  ]);

export const createSessions = ({
  web,
  clock,
  log,
  file,
}: {
  readonly web: () => WebConfig | null;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Null: kept in memory alone. */
  readonly file: string | null;
}): Sessions => {
  const known = new WeakMap<WebConfig, ReadonlyMap<string, Principal>>();
  let loaded: Map<string, Kept> | null = null;
  let writing: Promise<void> = Promise.resolve();

  const principal = (credential: string): Principal | null => {
    const config = web();
    if (config === null) return null;
    let principals = known.get(config);
    if (principals === undefined) known.set(config, (principals = principalsOf(config)));
    return principals.get(credential) ?? null;
  };
  const kept = (): Map<string, Kept> => (loaded ??= new Map(readKept(file, log).map((one) => [one.hash, one])));
  const drop = (): void => {
    const now = clock.now();
    for (const [hash, { expiresAt }] of kept()) if (expiresAt <= now) kept().delete(hash);
    while (kept().size > MOST_SESSIONS) kept().delete(kept().keys().next().value as string);
  };
  /** One after the other. What cannot be written is good until the next restart. */
  const write = (): Promise<void> => {
    if (file === null) return Promise.resolve();
    writing = writing
      .then(async () => {
        await mkdir(dirname(file), { recursive: true });
        await writeFile(`${file}.new`, JSON.stringify([...kept().values()]), { mode: 0o600 });
        await rename(`${file}.new`, file);
      })
      .catch((error: unknown) => log.warn({ error }, 'who is signed in could not be written down'));
    return writing;
  };

  return {
    of(request) {
      const id = idOf(request);
      if (id === null) return null;
      const found = kept().get(sha256(id));
      if (found === undefined || found.expiresAt <= clock.now()) return null;
      const who = principal(found.credential);
      return who === null ? null : { principal: who, expiresAt: found.expiresAt, csrf: sha256('csrf', id) };
    },
    async begin(presented) {
      const credential = credentialOf(web(), presented);
      if (credential === null || principal(credential) === null) return null;
      // Of its own: ids are made from a pool that is not meant for secrets.
      const id = randomBytes(32).toString('base64url');
      kept().set(sha256(id), { hash: sha256(id), credential, expiresAt: clock.now() + SESSION_MS });
      drop();
      await write();
      return cookie(id, SESSION_MS / 1_000);
    },
    async end(request) {
      const id = idOf(request);
      if (id !== null && kept().delete(sha256(id))) await write();
      return cookie('', 0);
    },
  };
};

const cookie = (id: string, seconds: number): string =>
  `${COOKIE}=${id}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Strict`;

const credentialOf = (config: WebConfig | null, presented: Presented): string | null => {
  if (presented.type === 'token') return ofToken(createHash('sha256').update(presented.token).digest('hex'));
  const user = config?.basicAuthUsers.get(presented.name);
  return user === undefined ? null : ofUser(presented.name, user.bcrypt);
};

const idOf = ({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): string | null => {
  const found = (headersDistinct['cookie'] ?? [])
    .flatMap((header) => header.split(';'))
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`));
  const [first = ''] = found;
  const id = first.slice(COOKIE.length + 1);
  // Two of them could be read differently by somebody before us.
  return found.length === 1 && /^[\w-]{43}$/.test(id) ? id : null;
};

/** A file that cannot be read signs people out, and keeps nobody from signing in again. */
const readKept = (file: string | null, log: Log): readonly Kept[] => {
  if (file === null) return [];
  try {
    const read = JSON.parse(readFileSync(file, 'utf8')) as Json;
    return Array.isArray(read) ? read.filter(isKept) : [];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') log.warn({ error }, 'who is signed in could not be read');
    return [];
  }
};

const isKept = (value: unknown): value is Kept =>
  isObject(value) &&
  typeof value['hash'] === 'string' &&
  typeof value['credential'] === 'string' &&
  typeof value['expiresAt'] === 'number';
