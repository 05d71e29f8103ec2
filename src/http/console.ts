// The console: one page of static files that anybody may load, since nothing of ours is in it; what it shows it asks of the API,
// as whoever is signed in. Read and packed at their first use, so that a start does not wait for them.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { z } from 'zod';
import { hasCredentials, isOwnPage, isPrivatePage } from './auth.ts';
import type { Authenticate } from './auth.ts';
import type { loginBody } from './console-routes.ts';
import { FOREIGN } from './gate.ts';
import { Refused, UNAUTHORIZED } from './problem.ts';
import type { Presented, Sessions } from './sessions.ts';
import type { WebConfig } from '../config-web.ts';

/** Made by the build, wherever this runs from. */
const BUILT = new URL('../../bundle/console/', import.meta.url);

/** Nothing from elsewhere, nothing inline, nowhere to send anything to, and no text that becomes a script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const TYPES = {
  'index.html': 'text/html; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
} as const;
type Name = keyof typeof TYPES;
type Asset = { readonly plain: Buffer; readonly packed: Buffer; readonly tag: string };

export type ConsoleFiles = {
  /** Sends the file that the route is for. */
  send(routeId: string, request: IncomingMessage, response: ServerResponse): Promise<void>;
};

export const createConsoleFiles = (folder: URL = BUILT): ConsoleFiles => {
  const read = new Map<Name, Promise<Asset>>();
  const assetOf = async (name: Name): Promise<Asset> => {
    let asset = read.get(name);
    if (asset === undefined) {
      asset = readAsset(new URL(name, folder));
      read.set(name, asset);
      // A build that was not there may be there the next time.
      void asset.catch(() => read.delete(name));
    }
    return asset;
  };
  return {
    async send(routeId, request, response) {
      const name =
        routeId === 'console-script' ? 'console.js' : routeId === 'console-style' ? 'console.css' : 'index.html';
      const { plain, packed, tag } = await assetOf(name);
      const headers = {
        'Content-Security-Policy': POLICY,
        'Cache-Control': 'no-cache',
        ETag: tag,
        Vary: 'Accept-Encoding',
      };
      if (request.headers['if-none-match'] === tag) {
        response.writeHead(304, headers);
        response.end();
        return;
      }
      const small = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
      const body = small ? packed : plain;
      response.writeHead(200, {
        ...headers,
        ...(small ? { 'Content-Encoding': 'gzip' } : {}),
        'Content-Type': TYPES[name],
        'Content-Length': body.length,
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    },
  };
};

const readAsset = async (file: URL): Promise<Asset> => {
  const plain = await readFile(file);
  const tag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  return { plain, packed: await promisify(gzip)(plain, { level: 9 }), tag };
};

type SigningIn = {
  readonly authenticate: Authenticate;
  readonly sessions: Sessions;
  readonly web: () => WebConfig | null;
  readonly externalOrigin: string | null;
};

/** The `Set-Cookie` of a new session. Asked by a page of ours alone, or somebody could be signed in as somebody else. */
export const signIn = async (
  { authenticate, sessions, web, externalOrigin }: SigningIn,
  request: IncomingMessage,
  body: z.output<typeof loginBody>,
): Promise<string> => {
  if (!isOwnPage(request, externalOrigin)) throw new Refused(FOREIGN);
  if (!hasCredentials(web()))
    throw new Refused({
      status: 409,
      title: 'Conflict',
      detail: 'No credential is configured: there is no need to sign in.',
    });
  if (!isPrivatePage(request))
    throw new Refused({
      status: 422,
      title: 'Cannot be done',
      detail:
        'This page came unencrypted: a password would be readable on its way, and the browser would not keep the session.',
      mend: 'set tls_server_config in web.yaml, or put a proxy that ends TLS before amends and name it with --web.external-url=https://...',
    });
  const known = await authenticate({
    headersDistinct: { authorization: [authorizationOf(body)] },
    socket: request.socket,
  });
  if (!known.ok && known.status === 503)
    throw new Refused({ status: 503, title: 'Not available', detail: 'Too many have tried. Try again in a moment.' });
  const cookie = known.ok ? await sessions.begin(presentedBy(body)) : null;
  if (cookie === null) throw new Refused({ status: 401, title: UNAUTHORIZED.title, detail: 'That is not known here.' });
  return cookie;
};

const authorizationOf = (body: z.output<typeof loginBody>): string =>
  'token' in body ? `Bearer ${body.token}` : `Basic ${Buffer.from(`${body.user}:${body.password}`).toString('base64')}`;

const presentedBy = (body: z.output<typeof loginBody>): Presented =>
  'token' in body ? { type: 'token', token: body.token } : { type: 'user', name: body.user };
