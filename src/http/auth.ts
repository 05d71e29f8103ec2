// Who is asking. Bearer tokens are compared as SHA-256 in constant time; bcrypt blocks the thread for 85 ms a try, so
// what it verified is remembered for a while and only a few tries wait at once.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { compare } from 'bcryptjs';
import type { Clock } from '../base/clock.ts';
import type { Problem } from '../base/failure.ts';
import type { Role, WebConfig } from '../config-web.ts';

export type Principal = {
  readonly name: string;
  readonly role: Role;
  /** What the episodes of its deliveries are counted under. */
  readonly source: string;
  readonly webhook: boolean;
  /** True without any credential configured: then only this machine is listened to. */
  readonly local: boolean;
};

/** 503: too many passwords are being checked; try again. */
export type Authenticated =
  { readonly ok: true; readonly principal: Principal } | { readonly ok: false; readonly status: 401 | 503 };
export type Authenticate = (
  request: Pick<IncomingMessage, 'headersDistinct' | 'socket'>,
) => Authenticated | Promise<Authenticated>;

const ROLES: readonly Role[] = ['viewer', 'operator', 'approver', 'admin'];
export const mayAct = (role: Role, needed: Role): boolean => ROLES.indexOf(role) >= ROLES.indexOf(needed);

const REMEMBER_MS = 5 * 60_000;
const MOST_REMEMBERED = 1_000;
const MOST_CHECKS = 4;
/** Wrong passwords are looked at no more often in the long run, so that whoever guesses has a fifth of the thread at most. */
const WRONG_EVERY_MS = 400;
const MOST_GUESSERS = 1_000;
/** Of a password that nobody has, so that an unknown user takes as long as a known one. */
const NOBODY = '$2b$10$aLCOD.tRCTNOVExydZwAnO6vbEQ.aaHOjB/LcyQLQSCVyAXshy6dG';
const DENIED: Authenticated = { ok: false, status: 401 };
const LOCAL: Authenticated = {
  ok: true,
  principal: { name: 'local', role: 'admin', source: 'alertmanager', webhook: true, local: true },
};

export const hasCredentials = (web: WebConfig | null): boolean =>
  web !== null && (web.tokens.length > 0 || web.basicAuthUsers.size > 0 || (web.tls?.clientCaFile ?? null) !== null);

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|::1)$/;

/** Without a credential amends answers this machine alone, and refuses to start elsewhere. */
export const checkExposure = (host: string, web: WebConfig | null): readonly Problem[] => {
  if (hasCredentials(web) || LOOPBACK.test(host)) return [];
  const message = `amends would listen on ${host} without any credential: whoever reaches it could act`;
  return [
    {
      code: 'exposed',
      message,
      mend: 'name a --web.config.file with bearer_tokens or basic_auth_users, or listen on 127.0.0.1',
    },
  ];
};

/** A page in a browser on this machine must not reach amends by a name that it controls. */
export const isLocalHost = (request: IncomingMessage): boolean => isLoopback(request.headers.host ?? '');

const isLoopback = (host: string): boolean => LOOPBACK.test(host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'));

/**
 * No page of another origin may change anything: there are no CORS headers, and what a browser says about itself counts.
 * `externalOrigin` is the one that people use, where a proxy stands before us that does not pass on its name.
 */
export const isCrossSite = (request: IncomingMessage, externalOrigin: string | null = null): boolean => {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin } = request.headers;
  if (origin === undefined) return false;
  if (!URL.canParse(origin)) return true;
  return new URL(origin).host !== request.headers.host && new URL(origin).origin !== externalOrigin;
};

/** The browser itself says that it was a page of ours: asked of whoever is known by a cookie. */
export const isOwnPage = (request: IncomingMessage, externalOrigin: string | null = null): boolean => {
  const { origin, 'sec-fetch-site': site } = request.headers;
  return !isCrossSite(request, externalOrigin) && site !== 'none' && (origin !== undefined || site === 'same-origin');
};

/** Whether the page that asks came encrypted or from this machine: only then does a browser keep the cookie of a session. */
export const isPrivatePage = ({ headers: { origin = '' } }: IncomingMessage): boolean =>
  URL.canParse(origin) && (new URL(origin).protocol === 'https:' || isLoopback(new URL(origin).host));

type Clocked = Pick<Clock, 'now'>;

/** Lets so many be compared at once, and counts the wrong ones against the next: each is forgiven after a while. */
const createTries = (clock: Clocked) => {
  let checks = 0;
  let wrong = 0;
  let wrongAt = 0;
  const standing = (): number => {
    const now = clock.now();
    wrong = Math.max(0, wrong - Math.max(0, now - wrongAt) / WRONG_EVERY_MS);
    wrongAt = now;
    return wrong;
  };
  return {
    full: () => checks + standing() >= MOST_CHECKS,
    begin: () => void (checks += 1),
    end: () => void (checks -= 1),
    wrong: () => void (wrong = standing() + 1),
  };
};

/** `known` hears each password that was right: the configuration has only its hash, and nobody may ever show it. */
export const createAuthenticator = (
  web: () => WebConfig | null,
  clock: Clocked,
  known: (secret: string) => void = () => undefined,
): Authenticate => {
  const remembered = new Map<string, number>();
  // Whoever has guessed from somewhere waits behind their like: however often they come, others have tries of their own.
  const guessers = new Set<string>();
  const tries = { ofGuessers: createTries(clock), ofOthers: createTries(clock) };
  const wrongFrom = (address: string): void => {
    tries.ofGuessers.wrong();
    if (guessers.has(address)) return;
    tries.ofOthers.wrong();
    if (guessers.size >= MOST_GUESSERS) guessers.clear();
    guessers.add(address);
  };

  const bearer = (config: WebConfig, token: string): Authenticated => {
    const presented = createHash('sha256').update(token).digest();
    let found: WebConfig['tokens'][number] | undefined;
    // All are compared, whichever fits: the time tells nothing.
    for (const candidate of config.tokens) {
      if (timingSafeEqual(presented, Buffer.from(candidate.sha256, 'hex'))) found = candidate;
    }
    if (found === undefined) return DENIED;
    const { name, role, source, webhook = true } = found;
    return { ok: true, principal: { name, role, source, webhook, local: false } };
  };

  const basic = async (config: WebConfig, encoded: string, address: string): Promise<Authenticated> => {
    // Where nobody has a password there is nothing to compare, and nothing that the time could tell.
    if (config.basicAuthUsers.size === 0) return DENIED;
    const decoded = Buffer.from(encoded, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    const name = decoded.slice(0, Math.max(0, colon));
    const user = config.basicAuthUsers.get(name);
    const key = createHash('sha256')
      .update(`${user?.bcrypt ?? ''}\n${decoded}`)
      .digest('hex');
    const principal = (): Authenticated =>
      user === undefined
        ? DENIED
        : { ok: true, principal: { name, role: user.role, source: user.source, webhook: true, local: false } };
    const until = remembered.get(key);
    if (until !== undefined && until > clock.now()) return principal();
    const own = guessers.has(address) ? tries.ofGuessers : tries.ofOthers;
    if (own.full()) return { ok: false, status: 503 };
    own.begin();
    try {
      const right = await compare(decoded.slice(colon + 1), user?.bcrypt ?? NOBODY);
      if (!right || user === undefined || colon < 0) {
        wrongFrom(address);
        return DENIED;
      }
      guessers.delete(address);
      known(decoded.slice(colon + 1));
      known(decoded);
      if (remembered.size >= MOST_REMEMBERED) remembered.clear();
      remembered.set(key, clock.now() + REMEMBER_MS);
      return principal();
    } catch {
      return DENIED;
    } finally {
      own.end();
    }
  };

  return (request) => {
    const config = web();
    if (config === null || !hasCredentials(config)) return LOCAL;
    const headers = request.headersDistinct['authorization'] ?? [];
    if (headers.length === 0) return byCertificate(request, config);
    // Two of them could be read differently by a proxy before us.
    const match = headers.length === 1 ? /^(Bearer|Basic) ([\x21-\x7e]+)$/i.exec(headers[0] ?? '') : null;
    if (match === null) return DENIED;
    const [, scheme = '', value = ''] = match;
    return scheme.toLowerCase() === 'bearer'
      ? bearer(config, value)
      : basic(config, value, request.socket.remoteAddress ?? '');
  };
};

/** A verified client certificate is a credential of its own where no other is configured. */
const byCertificate = (request: Pick<IncomingMessage, 'socket'>, config: WebConfig): Authenticated => {
  if ((config.tls?.clientCaFile ?? null) === null || config.tokens.length > 0 || config.basicAuthUsers.size > 0)
    return DENIED;
  const { socket } = request;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return DENIED;
  const subject = socket.getPeerCertificate().subject?.CN;
  const name = Array.isArray(subject) ? subject.join(',') : (subject ?? 'certificate');
  return { ok: true, principal: { name, role: 'admin', source: 'alertmanager', webhook: true, local: false } };
};
