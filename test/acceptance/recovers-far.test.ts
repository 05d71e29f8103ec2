// A started amends beside tasks that wait for a language model, and a far host that it reaches over a real sshd.
import { mkdirSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { startModelApi } from '../support/openwebui.ts';
import { itWith } from '../support/requires.ts';
import { root, startedHere, until } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';
import { startSshd } from '../support/sshd.ts';
import { startTaskService } from '../support/task-service.ts';

const servers = startedHere();
const ends: Array<() => unknown> = [];
let amends: Shipped | null = null;
afterEach(async () => {
  await amends?.stop();
  amends = null;
  for (const end of ends.splice(0)) await end();
});
afterAll(() => servers.stopAll());

describe('what amends only reaches over the network', () => {
  it('P2 P1 a storm of retries is paused while the provider is out, and all tasks go ahead when it is back', async () => {
    const folder = await servers.folder();
    const [service, provider] = await Promise.all([startTaskService(8), startModelApi()]);
    ends.push(
      () => service.close(),
      () => provider.close(),
    );
    writeFileSync(join(folder, 'key'), provider.key);
    amends = await startShipped(servers, {
      kinds: ['llm'],
      components: {
        agents: {
          kind: 'llm',
          inventory: {
            static: [
              {
                target: 'main',
                connect: {
                  url: service.url,
                  affected_url: `${service.url}/api/v1/tasks?run_status=retry_scheduled`,
                  logs_url: `${service.url}/api/v1/logs`,
                  provider_url: `${provider.url}/v1/models`,
                  provider_key_file: join(folder, 'key'),
                  chat_url: `${provider.url}/v1/chat/completions`,
                  model: 'claude-direct',
                },
              },
            ],
          },
          allow: { actions: ['http.*', 'tasks.*', 'model.*', 'inbox.*', 'triage.*'] },
        },
      },
      allow: { hosts: [service.host, provider.host] },
    });
    const count = (status: string): number => service.tasks.filter((task) => task.status === status).length;
    service.failing = true;
    provider.override = () => ({ status: 503 });
    await amends.fire('LLMRetryStorm', 'agents', 'main');
    await until('all are paused', () => count('paused') === 8);
    service.failing = false;
    provider.override = null;
    const run = await amends.ended('pause-and-resume');
    expect(run).toMatchObject(resolved('pause-and-resume'));
    expect([count('running'), count('paused')]).toEqual([8, 0]);
    expect(JSON.stringify(await amends.ask(0, 'runs', 'show', String(run['id'])))).toContain('before/triage_record');
  }, 60_000);

  itWith('sshd')(
    'the far disk is cleaned of what is old once a human says yes, through the commands and the gate of docs/ssh.md',
    async () => {
      const cache = `/var/cache/amendsrun${process.pid.toString(36).replaceAll(/\d/g, 'x')}`;
      ends.push(() => rmSync(cache, { recursive: true, force: true }));
      const folder = await servers.folder();
      const page = readFileSync(join(root, 'docs/ssh.md'), 'utf8');
      const gate = join(folder, 'gate');
      writeFileSync(gate, /```sh\n(.*?)```/s.exec(page)?.[1] ?? '', { mode: 0o755 });
      const sshd = await startSshd(servers, { gate });
      mkdirSync(cache, { recursive: true });
      for (const [name, days] of [
        ['old', 5],
        ['new', 0],
      ] as const) {
        writeFileSync(join(cache, name), 'x');
        const at = Date.now() / 1_000 - days * 86_400;
        utimesSync(join(cache, name), at, at);
      }
      const { commands } = parse(/^ {12}commands:\n(?: {14}.*\n)+/m.exec(page)?.[0] ?? '') as { commands: object };
      // How full this machine's own disk is must not decide.
      const rule = JSON.parse(readFileSync(join(root, 'rules/remote-host/remote-disk-full.json'), 'utf8')) as {
        event: { params: object };
      };
      Object.assign(rule.event.params, { with: { below_percent: 99 } });
      writeFileSync(join(folder, 'rule.json'), JSON.stringify(rule));
      amends = await startShipped(servers, {
        kinds: ['remote-host'],
        ruleFiles: [join(folder, 'rule.json')],
        components: {
          builders: {
            kind: 'remote-host',
            inventory: {
              static: [
                {
                  target: 'builder-1',
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
            allow: { actions: ['ssh.*', 'triage.*'] },
          },
        },
        allow: { hosts: [`127.0.0.1:${sshd.port}`] },
      });
      await amends.fire('RemoteDiskFull', 'builders', 'builder-1');
      expect(await amends.approved('disk-cleanup')).toMatchObject(resolved('disk-cleanup'));
      expect(readdirSync(cache)).toEqual(['new']);
    },
    60_000,
  );
});
