// The disk of a far host that fills with what is old, reached over a real sshd through the commands and the gate of
// docs/ssh.md. The far host is this machine: how full its own disk is must not decide, so the runbook is content with 99%.
import { mkdirSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { binaryOf } from '../test/support/requires.ts';
import { startedHere } from '../test/support/servers.ts';
import { startSshd } from '../test/support/sshd.ts';
import { changedRules } from './rules.mjs';

const DAY_MS = 86_400_000;

export const available = () => {
  if (process.getuid?.() !== 0) return 'the gate of docs/ssh.md cleans as root';
  return binaryOf('sshd') === undefined ? 'there is no sshd here: sudo apt-get install -y openssh-server' : null;
};

export const prepare = async ({ folder, root }) => {
  const servers = startedHere();
  // The gate lets names of letters through.
  const cache = `/var/cache/amendsdrill${process.pid.toString(36).replaceAll(/\d/g, 'x')}`;
  mkdirSync(cache);
  const page = readFileSync(join(root, 'docs/ssh.md'), 'utf8');
  const gate = join(folder, 'gate');
  writeFileSync(gate, /```sh\n(.*?)```/s.exec(page)?.[1] ?? '', { mode: 0o755 });
  const { commands } = parse(/^ {12}commands:\n(?: {14}.*\n)+/m.exec(page)?.[0] ?? '');
  const sshd = await startSshd(servers, { gate });
  const ruleFiles = changedRules({ root, folder }, 'remote-host', {
    'remote-disk-full': (params) => void (params.with = { below_percent: 99 }),
  });
  const put = (name, ageMs) => {
    writeFileSync(join(cache, name), 'x');
    const at = (Date.now() - ageMs) / 1_000;
    utimesSync(join(cache, name), at, at);
  };
  return {
    ruleFiles,
    component: {
      inventory: {
        static: [
          {
            target: 'main',
            connect: {
              host: '127.0.0.1',
              port: sshd.port,
              username: 'root',
              private_key_file: sshd.keyFile,
              host_key: sshd.fingerprint,
              path: cache,
              commands,
            },
          },
        ],
      },
      allow: { actions: ['ssh.*', 'triage.*', 'inbox.*'] },
    },
    allow: { hosts: [sshd.host] },
    faults: [
      {
        name: 'old files on a far disk',
        strategy: 'disk-cleanup',
        alertname: 'RemoteDiskFull',
        figureMs: 10_000,
        source: 'recovery-and-failover',
        asks: true,
        break() {
          put('old', 5 * DAY_MS);
          put('new', 0);
        },
        healthy: () => readdirSync(cache).join() === 'new',
      },
    ],
    async close() {
      await servers.stopAll();
      rmSync(cache, { recursive: true, force: true });
    },
  };
};
