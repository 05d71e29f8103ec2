// Every command that asks a Prometheus: with the credential that the facts have, or one by flags; and where it stops
// answering half way, what it had said is reported, what it had not is said, and the exit code tells.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import { runHere } from '../support/checking.ts';
import { itWith } from '../support/requires.ts';
import { startedHere } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const servers = startedHere();
const closing: Array<() => void> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await servers.stopAll();
}, 30_000);

const PASSWORD = 'a-password-of-prometheus-9kL';
const WEB = { basic_auth_users: { amends: hashSync(PASSWORD, 4) } };
const RULES = {
  'shop.yaml': `groups:
  - name: shop
    interval: 1s
    rules:
      - { alert: RedisDown, expr: vector(1), labels: { job: redis, env: prod, instance: '10.0.0.7:9121' } }
`,
};

const shop = async (prometheus: string, query = 'vector(2)'): Promise<string> => {
  const at = await servers.folder();
  for (const folder of ['rules', 'runbooks/shop']) mkdirSync(join(at, folder), { recursive: true });
  writeFileSync(join(at, 'password'), `${PASSWORD}\n`);
  writeFileSync(
    join(at, 'amends.yaml'),
    `prometheus: ${prometheus}
recovery: { mode: auto }
components:
  shop: { inventory: { static: [one] }, allow: { actions: ["wait.*"] } }
`,
  );
  writeFileSync(
    join(at, 'rules/shop.json'),
    JSON.stringify({
      name: 'shop-down',
      priority: 10,
      conditions: {
        all: [
          { fact: 'alertname', operator: 'equal', value: 'RedisDown' },
          { fact: 'prometheus', params: { query, id: 'load' }, operator: 'greaterThan', value: 1 },
        ],
      },
      event: { type: 'remediate', params: { runbook: 'shop/look', mode: 'auto' } },
    }),
  );
  writeFileSync(
    join(at, 'runbooks/shop/look.yaml'),
    `version: 1
summary: Look.
steps:
  - { id: wait, uses: wait.for, with: { duration: 1s } }
verify:
  - { query: 'vector(1)', above: 0.5 }
guide: |
  Look.
`,
  );
  return at;
};
const codes = (out: string): readonly string[] =>
  (JSON.parse(out) as { problems: ReadonlyArray<{ code: string }> }).problems.map(({ code }) => code);

/** A way to it on which something can happen. */
const onTheWay = async (
  to: string,
  happens: (path: string, headers: Readonly<Record<string, unknown>>) => number | null,
): Promise<string> => {
  const server = createServer((asked, answer) => {
    const status = happens(asked.url ?? '', asked.headers);
    if (status !== null) return void answer.writeHead(status).end();
    const on = request(
      `${to}${asked.url ?? ''}`,
      { method: asked.method ?? 'GET', headers: asked.headers },
      (given) => {
        answer.writeHead(given.statusCode ?? 500, given.headers);
        given.pipe(answer);
      },
    );
    on.on('error', () => answer.destroy());
    asked.pipe(on);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () => server.closeAllConnections(),
    () => void server.close(),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};
const stopped = (server: Running): void => {
  process.kill(server.pid, 'SIGSTOP');
  closing.push(() => process.kill(server.pid, 'SIGCONT'));
};

describe('a Prometheus that wants to know who asks', () => {
  itWith('prometheus')(
    'gets the credential that the facts have, from check, backtest and explain, under either name of the flag',
    async () => {
      const { url } = await servers.prometheus({ config: {}, rules: RULES, web: WEB });
      const at = await shop(`{ url: "${url}", basic_auth: { username: amends, password_file: password } }`);
      const here = [`--config.file=${at}/amends.yaml`, '--output=json'];
      for (const flag of ['--prometheus.url', '--prometheus']) {
        const checked = await runHere(['check', ...here, `${flag}=${url}`]);
        expect(codes(checked.out)).not.toContain('prometheus-unreachable');
        const tested = await runHere(['backtest', ...here, `${flag}=${url}`, '--since=1h']);
        expect([tested.code, tested.err.includes('401')]).toEqual([0, false]);
        const labels = ['--label=alertname=RedisDown', '--label=component=shop', '--label=target=one'];
        const explained = await runHere(['explain', ...here, ...labels, `${flag}=${url}`]);
        expect(explained.out).toContain('"value":2');
      }
    },
    60_000,
  );

  itWith('prometheus')(
    'is told who asks by flags, where the configuration is for another or there is none; and what is missing is said',
    async () => {
      const { url } = await servers.prometheus({ config: {}, rules: RULES, web: WEB });
      const at = await shop('{ url: "http://10.0.0.1:9090", bearer_token_file: password }');
      const here = ['check', `--config.file=${at}/amends.yaml`, `--prometheus.url=${url}`, '--output=json'];
      const flags = ['--prometheus.username=amends', `--prometheus.password-file=${at}/password`];
      expect(codes((await runHere([...here, ...flags])).out)).not.toContain('prometheus-unreachable');
      const without = await runHere(here);
      expect(without.err).toContain(
        `No credential is sent to ${url}: the configuration's is for http://10.0.0.1:9090.`,
      );
      expect(without.out).toContain('it answered 401, it wants to know who asks');
      expect(without.out).not.toContain(PASSWORD);

      const into = join(at, 'new');
      const refused = await runHere(['init', `--prometheus.url=${url}`, `--directory=${into}`]);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('it wants to know who asks')]);
      // What is found depends on the shipped strategies; that it asks with the user is seen from what it writes.
      const begun = await runHere(['init', `--prometheus.url=${url}`, `--out=${into}`, ...flags]);
      expect(begun.err).not.toContain('401');
      expect(readFileSync(join(into, 'amends.yaml'), 'utf8')).toContain(
        `prometheus: { url: "${url}", basic_auth: { username: "amends", password_file: "${at}/password" } }`,
      );
    },
    60_000,
  );

  itWith('prometheus')(
    'takes a token as well, and gets no secret of another host',
    async () => {
      const { url: behind } = await servers.prometheus({ config: {}, rules: RULES });
      const seen = new Set<unknown>();
      const url = await onTheWay(behind, (_path, { authorization }) => {
        seen.add(authorization);
        return authorization === `Bearer ${PASSWORD}` ? null : 403;
      });
      const at = await shop(`{ url: "${url}", bearer_token_file: password }`);
      const checked = await runHere([
        'check',
        `--config.file=${at}/amends.yaml`,
        `--prometheus.url=${url}/`,
        '--output=json',
      ]);
      expect(codes(checked.out)).not.toContain('prometheus-unreachable');
      expect([...seen]).toEqual([`Bearer ${PASSWORD}`]);
      const other = await shop('{ url: "http://10.0.0.1:9090", bearer_token_file: password }');
      await runHere(['check', `--config.file=${other}/amends.yaml`, `--prometheus.url=${url}`, '--output=json']);
      expect([...seen]).toEqual([`Bearer ${PASSWORD}`, undefined]);
    },
    60_000,
  );

  it.each([
    [['--prometheus.url=http://h:1', '--prometheus=http://h:1'], 'are the same: give one'],
    [['--prometheus.url=http://a:b@h:1'], 'a password does not belong in an address'],
    [['--prometheus.url=http://h:1', '--prometheus.username=a'], 'go together'],
    [['--prometheus.url=http://h:1', '--prometheus.timeout=soon'], 'a duration'],
  ])('refuses %j with what to write instead, exit 2', async (flags, message) => {
    const at = await shop('{ url: "http://127.0.0.1:9090" }');
    const said = await runHere(['check', `--config.file=${at}/amends.yaml`, ...flags]);
    expect([said.code, said.err]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe('a Prometheus that stops half way', () => {
  itWith('prometheus')(
    'check says what it had answered, what it had not, within which time, and what to do; exit 1',
    async () => {
      const prometheus = await servers.prometheus({ config: {} });
      const url = await onTheWay(prometheus.url, (path) => {
        if (path.includes('__name__')) stopped(prometheus);
        return null;
      });
      const at = await shop(`{ url: "${url}" }`, 'max(queue_length)');
      const said = await runHere([
        'check',
        `--config.file=${at}/amends.yaml`,
        `--prometheus.url=${url}`,
        '--prometheus.timeout=3s',
      ]);
      expect(said.code).toBe(1);
      expect(said.out).toMatch(/rules\/shop\.json:.*Prometheus has no alert RedisDown/);
      expect(said.out).toMatch(
        /amends\.yaml:1:\d+: warning: Prometheus at http\S+ could not be asked whether these are there: metrics, labels; it did not answer within 3s \(--prometheus\.timeout\) \[prometheus-unreachable\]\n {2}mend: see that it answers: curl/,
      );
      expect(said.out).not.toContain('has no series');
    },
    60_000,
  );

  itWith('prometheus')(
    'backtest says which days are missing and what to do, reports the others, and tells by its exit code that they are not all',
    async () => {
      const prometheus = await servers.prometheus({ config: {}, rules: RULES });
      // It has been up for a moment: what fires now is in the last of three days. The first is answered.
      let ranges = 0;
      const url = await onTheWay(prometheus.url, (path) => {
        if (path.includes('query_range')) ranges += 1;
        if (ranges === 2) stopped(prometheus);
        return null;
      });
      const at = await shop(`{ url: "${url}" }`);
      const said = await runHere([
        'backtest',
        `--config.file=${at}/amends.yaml`,
        `--prometheus=${url}`,
        '--prometheus.timeout=3s',
        '--since=3d',
      ]);
      expect(said.code).toBe(1);
      const days = [
        ...said.err.matchAll(
          /Prometheus did not give the alerts of (\d{4}-\d\d-\d\d): it did not answer within 3s \(--prometheus\.timeout\) .*\n +mend: look at its address/g,
        ),
      ];
      expect(days).toHaveLength(2);
      expect(said.err).toContain('1 of 3 days read');
      expect(said.err).toContain('Not all of it could be read: the figures are of the rest.');
      expect(said.out).toContain('Nothing was in the journal.');
    },
    60_000,
  );
});
