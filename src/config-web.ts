// web.yaml: who may come in, and the certificate that amends shows.
import { dirname, resolve } from 'node:path';
import { ok, refused } from './base/failure.ts';
import type { Problem, Result } from './base/failure.ts';
import { sha256 } from './base/json.ts';
import { unknownName } from './config-build.ts';
import { diskReaders, readText } from './config-files.ts';
import type { Readers } from './config-files.ts';
import { webSchema } from './config-schema.ts';
import { readShape, readYaml } from './config-source.ts';

export type Role = 'viewer' | 'operator' | 'approver' | 'admin';

/** Who may come in. Tokens are kept as SHA-256, several may be live at once; passwords as bcrypt, as in Prometheus' web configuration. */
export type WebConfig = {
  readonly tokens: ReadonlyArray<{
    readonly name: string;
    readonly source: string;
    readonly role: Role;
    readonly sha256: string;
    /** False: may not post alerts. */ readonly webhook?: boolean;
  }>;
  readonly basicAuthUsers: ReadonlyMap<
    string,
    { readonly bcrypt: string; readonly role: Role; readonly source: string }
  >;
  readonly tls: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string | null } | null;
  /** Of all that it was read from, the files whose content nobody may see. */
  readonly secretFiles?: readonly string[];
};

/** Shorter ones could be guessed. */
const SHORTEST_TOKEN = 16;

/** web.yaml. A token file has one token a line; each is live, so that one can be brought in before another goes. */
export const loadWebConfig = async (file: string, readers: Readers = diskReaders): Promise<Result<WebConfig>> => {
  const path = resolve(file);
  const text = await readText(readers, path);
  if (!text.ok) return text;
  const source = readYaml(path, text.value);
  if (!source.ok) return source;
  const shape = readShape(source.value, webSchema);
  if (!shape.ok) return shape;
  const { bearer_tokens: bearers = [], basic_auth_users: users = {}, roles = {}, tls_server_config: tls } = shape.value;
  const problems: Problem[] = [];
  const tokens: Array<WebConfig['tokens'][number]> = [];
  const from = (name: string): string => resolve(dirname(path), name);
  for (const [index, bearer] of bearers.entries()) {
    const lines = await readText(readers, from(bearer.file));
    if (!lines.ok)
      problems.push(
        source.value.problem(
          'no-such-file',
          ['bearer_tokens', index, 'file'],
          `the token file ${bearer.file} cannot be read`,
          'create it with one token a line',
        ),
      );
    const values = (lines.ok ? lines.value : '')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    if (
      lines.ok &&
      (values.length === 0 || values.some((value) => value.length < SHORTEST_TOKEN || /\s/.test(value)))
    ) {
      problems.push(
        source.value.problem(
          'weak-token',
          ['bearer_tokens', index, 'file'],
          `${bearer.file} must hold tokens of at least ${SHORTEST_TOKEN} characters, one a line`,
          'make one with: openssl rand -hex 32',
        ),
      );
    }
    const webhook = bearer.source !== undefined || bearer.role !== 'viewer';
    for (const value of values)
      tokens.push({
        name: bearer.name,
        source: bearer.source ?? 'alertmanager',
        role: bearer.role ?? 'viewer',
        sha256: sha256(value),
        webhook,
      });
  }
  for (const user of Object.keys(roles))
    if (!Object.hasOwn(users, user))
      problems.push(unknownName(source.value, ['roles', user], 'user', user, Object.keys(users)));
  if (tls?.client_auth_type === 'RequireAndVerifyClientCert' && tls.client_ca_file === undefined) {
    problems.push(
      source.value.problem(
        'missing',
        ['tls_server_config', 'client_auth_type'],
        'client certificates cannot be verified without client_ca_file',
        'add client_ca_file',
      ),
    );
  }
  if (problems.length > 0) return refused(problems);
  return ok({
    tokens,
    secretFiles: [...bearers.map((bearer) => from(bearer.file)), ...(tls === undefined ? [] : [from(tls.key_file)])],
    basicAuthUsers: new Map(
      Object.entries(users).map(([user, bcrypt]) => [
        user,
        { bcrypt, role: roles[user] ?? 'admin', source: 'alertmanager' },
      ]),
    ),
    tls:
      tls === undefined
        ? null
        : {
            certFile: from(tls.cert_file),
            keyFile: from(tls.key_file),
            clientCaFile:
              tls.client_ca_file === undefined || tls.client_auth_type === 'NoClientCert'
                ? null
                : from(tls.client_ca_file),
          },
  });
};
