// A real sshd on 127.0.0.1 with a host key and a client key of its own. Root logs in by key alone; with a gate, one
// program runs whatever is asked for.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { binaryOf } from './requires.ts';
import { until } from './servers.ts';
import type { Running, Servers } from './servers.ts';

export type Sshd = {
  readonly running: Running;
  readonly port: number;
  readonly host: string;
  /** `SHA256:...` */
  readonly fingerprint: string;
  /** The line for known_hosts. */
  readonly known: string;
  readonly keyFile: string;
  /** A key that it does not know. */
  readonly strangerFile: string;
};

const key = (file: string, type = 'ed25519'): void =>
  void execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'test', '-f', file], { stdio: 'ignore' });

const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
};

export const startSshd = async (servers: Servers, options: { readonly gate?: string } = {}): Promise<Sshd> => {
  const folder = await servers.folder();
  chmodSync(folder, 0o755);
  // sshd insists on it, and a machine that never started one has none.
  mkdirSync('/run/sshd', { recursive: true });
  const hostKey = join(folder, 'host');
  const keyFile = join(folder, 'client');
  const strangerFile = join(folder, 'stranger');
  key(hostKey);
  key(keyFile);
  key(strangerFile);
  const authorized = join(folder, 'authorized_keys');
  const restriction = options.gate === undefined ? '' : `restrict,command="${options.gate}" `;
  writeFileSync(authorized, `${restriction}${readFileSync(`${keyFile}.pub`, 'utf8')}`, { mode: 0o600 });
  const port = await freePort();
  const config = join(folder, 'sshd_config');
  writeFileSync(
    config,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${authorized}`,
      `PidFile ${folder}/pid`,
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'StrictModes no',
      'LogLevel VERBOSE',
      '',
    ].join('\n'),
  );
  const running = servers.process({
    name: 'sshd',
    file: binaryOf('sshd') ?? '/usr/sbin/sshd',
    args: ['-D', '-e', '-f', config],
  });
  await until('sshd listens', () => {
    if (running.exited()) throw new Error(running.output());
    return running.output().includes('Server listening');
  });
  const [, fingerprint = ''] = execFileSync('ssh-keygen', ['-lf', `${hostKey}.pub`], { encoding: 'utf8' }).split(' ');
  const [type = '', base64 = ''] = readFileSync(`${hostKey}.pub`, 'utf8').split(' ');
  return {
    running,
    port,
    host: `127.0.0.1:${port}`,
    fingerprint,
    known: `[127.0.0.1]:${port} ${type} ${base64}`,
    keyFile,
    strangerFile,
  };
};
