// Tests that talk to a real server. Where its binary is missing the test is skipped with the command that brings it;
// under CI=true, where everything is installed, it fails instead.
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { it } from '@jest/globals';

/** Each binary that a test may need, and the Debian package that brings it. */
const packages: Readonly<Record<Server, string>> = {
  prometheus: 'prometheus',
  promtool: 'prometheus',
  alertmanager: 'prometheus-alertmanager',
  'redis-server': 'redis-server',
  sshd: 'openssh-server',
  podman: 'podman runc busybox-static',
  faketime: 'faketime',
  postgres: 'postgresql',
  chroma: '',
  chromium: 'chromium fonts-dejavu-core',
};

export type Server =
  | 'prometheus'
  | 'promtool'
  | 'alertmanager'
  | 'redis-server'
  | 'sshd'
  | 'podman'
  | 'faketime'
  | 'postgres'
  | 'chroma'
  | 'chromium';

/** What comes as an npm package, in a folder of its own: `npm run setup:servers`. */
const SERVER_PACKAGES = new URL('../servers/node_modules/.bin', import.meta.url).pathname;
/** Debian keeps each version in a folder of its own, outside of PATH. */
const POSTGRES = '/usr/lib/postgresql';
const postgresFolders = existsSync(POSTGRES)
  ? readdirSync(POSTGRES)
      .toSorted((left, right) => Number(right) - Number(left))
      .map((version) => join(POSTGRES, version, 'bin'))
  : [];

/** Debian names it otherwise, to keep clear of another package. */
const otherNames: Partial<Record<Server, string>> = { alertmanager: 'prometheus-alertmanager' };

/** The path of a server's binary, or undefined. Root's folders count even where PATH leaves them out. */
export function binaryOf(server: Server): string | undefined {
  const names = [otherNames[server], server].filter((name) => name !== undefined);
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/bin',
    SERVER_PACKAGES,
    ...postgresFolders,
  ];
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable);
}

type Body = () => unknown;

/** Jest's `it`, for a test that needs these servers: `itWith('prometheus')('R1 ...', async () => { ... })`. */
export function itWith(...servers: [Server, ...Server[]]): (name: string, body: Body, timeout?: number) => void {
  const missing = servers.filter((server) => binaryOf(server) === undefined);
  if (missing.length === 0) return (name, body, timeout) => it(name, async () => void (await body()), timeout);

  const names = [...new Set(missing.map((server) => packages[server]))];
  const command = names.includes('') ? 'npm run setup:servers' : `sudo apt-get install -y ${names.join(' ')}`;
  if (process.env['CI'] === 'true') {
    return (name) =>
      it(name, () => {
        throw new Error(`missing: ${missing.join(', ')}; run: ${command}`);
      });
  }
  return (name) => it.skip(`${name} (skipped, run: ${command})`, () => {});
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
