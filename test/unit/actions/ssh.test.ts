// Commands on a far host, on a real sshd: only what is declared, only to the host that is meant, only within the time.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { farLine } from '../../../src/actions/ssh/declared.ts';
import { fingerprintOf, pinnedByFile } from '../../../src/actions/ssh/host-keys.ts';
import look from '../../../src/actions/ssh/look.ts';
import run from '../../../src/actions/ssh/run.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, eventually, failureOf, perform, textOf } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { itWith } from '../../support/requires.ts';
import { root, startedHere } from '../../support/servers.ts';
import { startSshd } from '../../support/sshd.ts';
import type { Sshd } from '../../support/sshd.ts';

const contexts = createContexts();
const servers = startedHere();
let open: Sshd;
let gated: Sshd;
/** A far folder below /var/cache, since that is what the gate of docs/ssh.md allows. */
const cache = `/var/cache/amendstest${process.pid.toString(36).replaceAll(/\d/g, 'x')}`;

const commands = {
  echo: { argv: ['echo', '{text}'], arguments: { text: { pattern: '(?s).*' } } },
  both: { argv: ['sh', '-c', 'echo out; echo err >&2; exit 3'] },
  flood: { argv: ['head', '-c', '300000', '/dev/zero'] },
  sleep: { argv: ['sleep', '60'] },
  disk_usage: { argv: ['df', '-P', '{path}'], arguments: { path: { pattern: '/var/cache/[a-z]+' } }, reads: true },
  list_old: {
    argv: ['amends-list-old', '{path}', '{days}'],
    arguments: { path: { pattern: '/var/cache/[a-z]+' }, days: { pattern: '[1-9][0-9]?' } },
    reads: true,
  },
  clean_old: {
    argv: ['amends-clean-old', '{path}', '{days}'],
    arguments: { path: { pattern: '/var/cache/[a-z]+' }, days: { pattern: '[1-9][0-9]?' } },
  },
  background: { argv: ['sh', '-c', 'sleep 30 & echo started'] },
};

beforeAll(async () => {
  const gate = join(contexts.folder, 'amends-gate');
  const script = /```sh\n(.*?)```/s.exec(readFileSync(join(root, 'docs/ssh.md'), 'utf8'))?.[1] ?? '';
  writeFileSync(gate, script, { mode: 0o755 });
  open = await startSshd(servers);
  gated = await startSshd(servers, { gate });
}, 30_000);
afterAll(async () => {
  await servers.stopAll();
  await contexts.stop();
});

const make = (timeout = 10_000): TestContext => contexts.make({ allow: { hosts: ['127.0.0.1'] }, timeout });
const input = (command: string, more: JsonObject = {}, sshd = open): JsonObject => ({
  host: '127.0.0.1',
  port: sshd.port,
  username: 'root',
  private_key_file: sshd.keyFile,
  host_key: sshd.fingerprint,
  commands,
  command,
  ...more,
});

describe('ssh.run', () => {
  itWith('sshd')('runs a declared command and gives its exit code, its output and the line that was sent', async () => {
    const context = make();
    const outputs = await perform(run, input('echo', { arguments: { text: 'hello' } }), context);
    expect(outputs).toEqual({
      exit_code: 0,
      stdout: 'hello\n',
      stderr: '',
      dropped_bytes: 0,
      line: 'echo hello',
      host_key: open.fingerprint,
    });
    expect(context.beganCount()).toBe(1);
    expect(context.secrets).toHaveLength(1);
  });

  itWith('sshd')('an exit code that is not expected is a failure with both outputs', async () => {
    const error = await failureOf(perform(run, input('both'), make()));
    expect(error).toMatchObject({ kind: 'retryable', outputs: { exit_code: 3, stdout: 'out\n', stderr: 'err\n' } });
    expect(error.message).toContain('both on 127.0.0.1 ended with 3 instead of 0: err');
  });

  itWith('sshd')('of a flood of output the beginning and the end are kept, and the rest is counted', async () => {
    const outputs = await perform(run, input('flood'), make());
    expect(textOf(outputs, 'stdout')).toHaveLength(16_384);
    expect(outputs['dropped_bytes']).toBe(300_000 - 16_384);
  });

  itWith('sshd')('C4: nothing in an argument becomes more than that argument', async () => {
    const told = join(contexts.folder, 'injected');
    const evil = [
      `; touch ${told}`,
      `$(touch ${told})`,
      `\`touch ${told}\``,
      `' ; touch ${told} ; '`,
      `"; touch ${told}; "`,
      `a && touch ${told}`,
      `| touch ${told}`,
      `> ${told}`,
      '$HOME',
      '*',
      '~',
      "it's",
      '\\',
      "\\'",
      '!!',
      'a  b',
      '{a}',
      'é漢',
      '$IFS',
      '#',
    ];
    const name = (index: number): string => `a${index}`;
    const all = {
      argv: ['printf', '%s\\n', ...evil.map((_, index) => `{${name(index)}}`)],
      arguments: Object.fromEntries(evil.map((_, index) => [name(index), { pattern: '(?s).*' }])),
    };
    const given = Object.fromEntries(evil.map((text, index) => [name(index), text]));
    const outputs = await perform(run, input('all', { commands: { all }, arguments: given }), make());
    expect(textOf(outputs, 'stdout').split('\n')).toEqual([...evil, '']);
    expect(existsSync(told)).toBe(false);
  });

  itWith('sshd')('a command that leaves a child with its output open ends with the command', async () => {
    const start = performance.now();
    expect(await perform(run, input('background'), make())).toMatchObject({ exit_code: 0, stdout: 'started\n' });
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  itWith('sshd')('a wrong host key is refused before anything is said about us', async () => {
    const before = open.running.output();
    const context = make();
    const error = await failureOf(
      perform(run, input('echo', { arguments: { text: 'x' }, host_key: gated.fingerprint }), context),
    );
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain(
      `shows a ssh-ed25519 key with the fingerprint ${open.fingerprint}, which host_key does not name`,
    );
    expect(context.beganCount()).toBe(0);
    const said = await eventually(() => {
      const [, ...lines] = open.running.output().slice(before.length).split('Connection from');
      return lines.at(-1)?.trim().includes('\n') === true ? lines.at(-1) : null;
    });
    expect(said).not.toMatch(/user|publickey|Accepted/);
  });

  itWith('sshd')(
    'a key that the host does not know, and one that is none, are permanent and are not shown',
    async () => {
      const stranger = await failureOf(
        perform(run, input('echo', { arguments: { text: 'x' }, private_key_file: open.strangerFile }), make()),
      );
      expect(stranger).toMatchObject({ kind: 'permanent' });
      expect(stranger.message).toContain('does not let us in with this key');
      const file = join(contexts.folder, 'no-key');
      writeFileSync(file, 'not a key at all, but a secret');
      const none = await failureOf(
        perform(run, input('echo', { arguments: { text: 'x' }, private_key_file: file }), make()),
      );
      expect(none).toMatchObject({ kind: 'permanent' });
      expect(none.message).not.toContain('but a secret');
    },
  );

  itWith('sshd')(
    'known_hosts files name the host by name and port, plainly or hashed; a revoked or missing one is refused',
    async () => {
      const file = join(contexts.folder, 'known_hosts');
      const more = { arguments: { text: 'x' }, known_hosts_file: file };
      const { host_key: _left, ...rest } = input('echo', more);
      writeFileSync(file, `# hosts\nother.example ssh-ed25519 AAAA\n${open.known}\n`);
      expect(await perform(run, rest, make())).toMatchObject({ stdout: 'x\n' });
      execFileSync('ssh-keygen', ['-H', '-f', file], { stdio: 'ignore' });
      expect(readFileSync(file, 'utf8')).toContain('|1|');
      expect(await perform(run, rest, make())).toMatchObject({ stdout: 'x\n' });
      writeFileSync(file, `${open.known}\n@revoked ${open.known}\n`);
      expect((await failureOf(perform(run, rest, make()))).message).toContain('does not name');
      writeFileSync(file, `${gated.known}\n`);
      expect((await failureOf(perform(run, rest, make()))).message).toContain(
        `knows no key of [127.0.0.1]:${open.port}`,
      );
      writeFileSync(file, '|1|lvxpOjKn0SXHAcVzi9FWMWn6HgU=|vJt0hzmfo0BJ0uBIqbtrPGdzIuw= ssh-ed25519 AAAA\n');
      await expect(pinnedByFile(file, 'nobody', 22)).rejects.toThrow('knows no key of nobody');
    },
  );

  itWith('sshd')(
    'a frozen sshd, a silent one and a closed port end within the limits, as retryable, since nothing was begun',
    async () => {
      process.kill(open.running.pid, 'SIGSTOP');
      const context = make();
      const start = performance.now();
      const frozen = await failureOf(
        perform(run, input('echo', { arguments: { text: 'x' }, connect_timeout: '400ms' }), context),
      );
      process.kill(open.running.pid, 'SIGCONT');
      expect(frozen).toMatchObject({ kind: 'retryable' });
      expect(context.beganCount()).toBe(0);
      const silent: Server = createServer(() => undefined);
      await new Promise<void>((resolve) => void silent.listen(0, '127.0.0.1', resolve));
      const { port } = silent.address() as AddressInfo;
      expect(
        await failureOf(
          perform(run, input('echo', { arguments: { text: 'x' }, port, connect_timeout: '300ms' }), make()),
        ),
      ).toMatchObject({ kind: 'retryable' });
      silent.close();
      expect(
        (await failureOf(perform(run, input('echo', { arguments: { text: 'x' }, port: 9 }), make()))).message,
      ).toContain('ECONNREFUSED');
      expect(performance.now() - start).toBeLessThan(3_000);
    },
  );

  itWith('sshd')(
    'F51: called off while the command runs, it ends within a second and says that it may go on there',
    async () => {
      const context = make();
      const failed = failureOf(perform(run, input('sleep'), context));
      await eventually(() => context.beganCount() > 0);
      await context.clock.sleep(200);
      const start = performance.now();
      context.abort();
      const error = await failed;
      expect(error).toMatchObject({ kind: 'indeterminate' });
      expect(error.message).toContain('it may go on there');
      expect(performance.now() - start).toBeLessThan(1_000);
    },
  );

  it('C4: what is not declared, or not as declared, is refused before anything is sent', () => {
    const refused = (command: string, given: Record<string, string | number>): string => {
      const parsed = run.input.parse({ ...fixed, commands, command, arguments: given });
      try {
        return farLine(parsed, false).line;
      } catch (error) {
        return (error as Error).message;
      }
    };
    const fixed = { host: 'h', port: 22, username: 'u', private_key_file: '/k', host_key: `SHA256:${'A'.repeat(43)}` };
    expect(refused('disk_usage', { path: '/var/cache/builds' })).toBe('df -P /var/cache/builds');
    expect(refused('reboot', {})).toContain('but not reboot');
    expect(refused('disk_usage', {})).toContain('its argument path is missing');
    expect(refused('disk_usage', { path: '/var/cache/x', extra: 'y' })).toContain('declares no argument extra');
    for (const path of [
      '/etc',
      '/var/cache/../../etc',
      '/var/cache/x /etc',
      '/var/cache/x\n',
      '/var/cache/x;id',
      '-rf',
      '',
    ])
      expect([path, refused('disk_usage', { path })]).toEqual([path, expect.stringContaining('was not sent')]);
    expect(refused('echo', { text: '-e' })).toContain('would be taken for an option');
    expect(refused('echo', { text: 'a\u0000b' })).toContain('control characters');
    for (const bad of [
      { host: '-oProxyCommand=x' },
      { host: 'a b' },
      { username: '-l' },
      { host_key: 'MD5:aa' },
      { commands: {} },
      { known_hosts_file: '/k' },
    ])
      expect([bad, run.input.safeParse({ ...fixed, commands, command: 'echo', ...bad }).success]).toEqual([bad, false]);
    expect(fingerprintOf(Buffer.from('x'))).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
  });

  itWith('sshd')('a host that nobody declared is not connected to', async () => {
    const stranger = contexts.make({ allow: { hosts: ['10.1.2.3'] } });
    expect((await failureOf(perform(run, input('echo', { arguments: { text: 'x' } }), stranger))).message).toContain(
      'is not allowed',
    );
  });
});

describe('ssh.look', () => {
  itWith('sshd')('only runs what is declared to read', async () => {
    expect(await perform(look, input('disk_usage', { arguments: { path: '/var/cache/apt' } }), make())).toMatchObject({
      exit_code: 0,
      stdout: expect.stringContaining('Capacity'),
    });
    const error = await failureOf(
      perform(look, input('clean_old', { arguments: { path: '/var/cache/apt', days: 1 } }), make()),
    );
    expect(error.message).toContain('not declared with `reads: true`');
  });
});

describe('the forced command of docs/ssh.md', () => {
  itWith('sshd')(
    'lets the declared commands through and cleans what is old, and nothing else runs, whatever is asked for',
    async () => {
      mkdirSync(cache, { recursive: true });
      try {
        for (const [name, days] of [
          ['old', 5],
          ['new', 0],
        ] as const) {
          writeFileSync(join(cache, name), 'x');
          const at = Date.now() / 1_000 - days * 86_400;
          utimesSync(join(cache, name), at, at);
        }
        const of = { path: cache, days: 1 };
        expect(await perform(look, input('disk_usage', { arguments: { path: cache } }, gated), make())).toMatchObject({
          stdout: expect.stringContaining('%'),
        });
        expect(await perform(look, input('list_old', { arguments: of }, gated), make())).toMatchObject({
          stdout: `${cache}/old\n`,
        });
        await perform(run, input('clean_old', { arguments: of }, gated), make());
        expect(readdirSync(cache)).toEqual(['new']);
        const told = join(contexts.folder, 'gate-broken');
        for (const text of ['x', `x; touch ${told}`, `$(touch ${told})`]) {
          const error = await failureOf(perform(run, input('echo', { arguments: { text } }, gated), make()));
          expect(error).toMatchObject({ outputs: { exit_code: 77 } });
          expect(error.message).toContain('refused:');
        }
        const outside = {
          evil: { argv: ['amends-clean-old', '/etc', '1'] },
          climbs: { argv: ['amends-clean-old', '/var/cache/../../etc', '1'] },
        };
        for (const command of ['evil', 'climbs'])
          expect(await failureOf(perform(run, input(command, { commands: outside }, gated), make()))).toMatchObject({
            outputs: { exit_code: 77 },
          });
        expect(existsSync(told)).toBe(false);
      } finally {
        rmSync(cache, { recursive: true, force: true });
      }
    },
  );
});
