// The shipped strategies for tasks that wait for a language model, and for far hosts, at work.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startModelApi } from '../support/openwebui.ts';
import type { ModelApi } from '../support/openwebui.ts';
import { itWith } from '../support/requires.ts';
import { root, startedHere, until } from '../support/servers.ts';
import { startSshd } from '../support/sshd.ts';
import { openInbox, sayYes, storyOf } from '../support/story.ts';
import { startTaskService } from '../support/task-service.ts';
import type { TaskService } from '../support/task-service.ts';

const servers = startedHere();
afterAll(() => servers.stopAll());
let folder: string;
let amends: EngineUnderTest;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-llm-'));
});
afterEach(async () => {
  await amends.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A rule as it ships, with other inputs. */
const shippedRule = (name: string, inputs: object): object => {
  const rule = JSON.parse(readFileSync(join(root, `rules/${name}.json`), 'utf8')) as { event: { params: object } };
  return { ...rule, event: { ...rule.event, params: { ...rule.event.params, with: inputs } } };
};

describe('a storm of retries', () => {
  let service: TaskService;
  let provider: ModelApi;
  beforeEach(async () => {
    [service, provider] = await Promise.all([startTaskService(8), startModelApi()]);
    writeFileSync(join(folder, 'key'), provider.key);
    // Shorter than what ships, so that a test does not wait for two minutes.
    const shorter = shippedRule('llm/llm-retry-storm', { patience: '3s', watch: '3s' });
    amends = await startEngine({
      config: `
version: 1
runbook_files: ["${root}runbooks/llm/*.yaml"]
recovery: { mode: auto }
components:
  agents:
    kind: llm
    inventory:
      static:
        - target: main
          connect:
            url: "${service.url}"
            affected_url: "${service.url}/api/v1/tasks?run_status=retry_scheduled"
            logs_url: "${service.url}/api/v1/logs"
            provider_url: "${provider.url}/v1/models"
            provider_key_file: "${folder}/key"
            chat_url: "${provider.url}/v1/chat/completions"
            model: claude-direct
    allow: { actions: ["http.*", "tasks.*", "model.*", "inbox.*", "triage.*"] }
allow: { hosts: ["${service.host}", "${provider.host}"] }
`,
      files: { 'rules/llm-retry-storm.json': shorter },
    });
    service.failing = true;
  });
  afterEach(async () => {
    await Promise.all([service.close(), provider.close()]);
  });
  const fire = (): Promise<void> =>
    amends.post([{ labels: { alertname: 'LLMRetryStorm', component: 'agents', target: 'main' } }]);
  const count = (status: string): number => service.tasks.filter((task) => task.status === status).length;

  it('P2: is paused, and the tasks go ahead when the provider is back: three first, then the others', async () => {
    provider.override = () => ({ status: 503 });
    const fired = fire();
    await until('all are paused, and the evidence is there', () =>
      service.asked.some(({ path }) => path === '/api/v1/logs'),
    );
    expect(count('paused')).toBe(8);
    service.failing = false;
    provider.override = null;
    await fired;
    const { run, outputs, path } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'pause-and-resume', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/pause')).toMatchObject({ count: 8 });
    expect(outputs('steps/resume_some')).toMatchObject({ count: 3 });
    expect(outputs('steps/resume_rest')).toMatchObject({ count: 5 });
    expect(JSON.stringify(outputs('steps/logs'))).toContain('llm_timeout');
    expect(path).toContain('steps/note skipped');
    expect([count('running'), count('paused')]).toEqual([8, 0]);
  }, 60_000);

  it('P2 R17: that does not end leaves the tasks paused, with a note in the inbox, and is no recovery', async () => {
    provider.override = () => ({ status: 503 });
    await fire();
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(outputs('before/provider')).toMatchObject({ status: 503 });
    expect(outputs('before/triage_record')).toMatchObject({
      recent_events: expect.arrayContaining([expect.objectContaining({ state: 'firing' })]),
    });
    expect([count('running'), count('paused')]).toEqual([0, 8]);
    expect(await openInbox(amends)).toContainEqual(
      expect.objectContaining({ kind: 'note', title: 'The provider of main is still out: 8 tasks stay paused' }),
    );
  }, 60_000);

  it('P2: whose first tasks fail again are paused again, and the others never go ahead', async () => {
    await fire();
    const { run, path, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(path).toContain('steps/pause_again succeeded');
    expect(path).toContain('steps/resume_rest skipped');
    expect(outputs('steps/resume_some')).toMatchObject({ count: 3 });
    expect([count('running'), count('paused')]).toEqual([0, 8]);
  }, 60_000);

  it('P2 F31: of which nothing is left when it is looked at pauses nothing', async () => {
    service.failing = false;
    await fire();
    const { run, error } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/pause')).toContain('lists no task');
    expect(count('paused')).toBe(0);
  }, 60_000);
});

describe('a far host whose disk is full', () => {
  const cache = `/var/cache/amendsfar${process.pid.toString(36).replaceAll(/\d/g, 'x')}`;
  afterEach(() => rmSync(cache, { recursive: true, force: true }));

  const begin = async (hostKey?: string): Promise<void> => {
    const gate = join(folder, 'gate');
    const script = /```sh\n(.*?)```/s.exec(readFileSync(join(root, 'docs/ssh.md'), 'utf8'))?.[1] ?? '';
    writeFileSync(gate, script, { mode: 0o755 });
    const sshd = await startSshd(servers, { gate });
    mkdirSync(cache, { recursive: true });
    for (const [name, days] of [
      ['old', 5],
      ['older', 30],
      ['new', 0],
    ] as const) {
      writeFileSync(join(cache, name), 'x');
      const at = Date.now() / 1_000 - days * 86_400;
      utimesSync(join(cache, name), at, at);
    }
    const commands =
      /^ {12}commands:\n(?: {14}.*\n)+/m.exec(readFileSync(join(root, 'docs/ssh.md'), 'utf8'))?.[0] ?? '';
    // How full this machine's own disk is must not decide.
    const lenient = shippedRule('remote-host/remote-disk-full', { below_percent: 99 });
    amends = await startEngine({
      config: `
version: 1
runbook_files: ["${root}runbooks/remote-host/*.yaml"]
recovery: { mode: auto }
components:
  builders:
    kind: remote-host
    inventory:
      static:
        - target: builder-1
          connect:
            host: 127.0.0.1
            port: ${sshd.port}
            username: root
            private_key_file: "${sshd.keyFile}"
            host_key: "${hostKey ?? sshd.fingerprint}"
            path: ${cache}
${commands}    allow: { actions: ["ssh.*", "triage.*"] }
allow: { hosts: ["127.0.0.1:${sshd.port}"] }
`,
      files: { 'rules/remote-disk-full.json': lenient },
    });
    await amends.post([{ labels: { alertname: 'RemoteDiskFull', component: 'builders', target: 'builder-1' } }]);
  };

  itWith('sshd')(
    'is cleaned of what is old, with a yes, through the commands and the gate of docs/ssh.md; what would go is on record',
    async () => {
      await begin();
      expect(readdirSync(cache).toSorted()).toEqual(['new', 'old', 'older']);
      const { run, outputs } = await sayYes(amends);
      expect(readdirSync(cache)).toEqual(['new']);
      expect(outputs('before/candidates')).toMatchObject({ stdout: expect.stringContaining(`${cache}/old`) });
      expect(JSON.stringify(outputs('before/usage'))).toContain('%');
      expect(run).toMatchObject({ strategy: 'disk-cleanup', outcome: 'resolved', cause: 'verified' });
    },
    60_000,
  );

  itWith('sshd')(
    'that shows another key is left alone',
    async () => {
      await begin(`SHA256:${'A'.repeat(43)}`);
      const { run, error } = await sayYes(amends);
      expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(error('before/usage')).toContain('which host_key does not name');
      expect(readdirSync(cache).toSorted()).toEqual(['new', 'old', 'older']);
    },
    60_000,
  );
});
