// `amends backtest` as somebody uses it in a pull request: a journal, a git repository with a changed rule, Markdown, exit
// codes; and as a newcomer does, on what a real Prometheus remembers of a month.
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { binaryOf, itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const call = promisify(execFile);
const MINUTE = 60_000;
const DAY = 86_400_000;
/** Nearly the month that is asked for by default, so that its first day is whole. */
const DAYS = 29;
const BEGAN = Date.parse('2026-10-20T00:00:00Z');

const config = (mode: string): string => `version: 1
recovery: { mode: ${mode} }
components:
  shop:
    inventory: { static: [one, two, three, four] }
    allow: { actions: ["http.*"] }
    connect: { url: "http://127.0.0.1:9/" }
allow: { hosts: ["127.0.0.1:9"] }
`;
const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}" } }
guide: Look at the shop.
`;
const rule = (mode: string): string =>
  JSON.stringify({
    name: 'shop-down',
    priority: 10,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
    event: { type: 'remediate', params: { runbook: 'shop/mend', mode } },
  });

const delivery = (at: number, target: string, status: 'firing' | 'resolved', startsAt: number): string => {
  const time = new Date(at).toISOString();
  const alert = {
    status,
    labels: { alertname: 'ShopDown', component: 'shop', target },
    annotations: {},
    startsAt: new Date(startsAt).toISOString(),
    endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : time,
  };
  const body = { version: '4', groupKey: '{}', receiver: 'amends', status, truncatedAlerts: 0, alerts: [alert] };
  return JSON.stringify({ type: 'delivery', at: time, source: 'alertmanager', body });
};

type Row = Readonly<Record<string, unknown>>;
const list = async (running: Running, path: string): Promise<readonly Row[]> =>
  (await getJson<{ items: readonly Row[] }>(`${running.url}/api/v1/${path}`)).items;

const servers = startedHere();
let folder: string;
let journal: string;

type Said = { readonly code: number; readonly out: string; readonly err: string };
const amends = async (...args: readonly string[]): Promise<Said> => {
  const all = [join(root, 'bin/amends'), 'backtest', `--config.file=${join(folder, 'amends.yaml')}`, ...args];
  try {
    const { stdout, stderr } = await call(process.execPath, all, { cwd: folder });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
};
const git = (...args: readonly string[]): Promise<unknown> =>
  call('git', ['-C', folder, '-c', 'user.name=ann', '-c', 'user.email=ann@example.org', ...args]);

beforeAll(async () => {
  folder = await servers.folder();
  mkdirSync(join(folder, 'rules'));
  mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
  writeFileSync(join(folder, 'amends.yaml'), config('auto'));
  writeFileSync(join(folder, 'rules/shop.json'), rule('approve'));
  writeFileSync(join(folder, 'runbooks/shop/mend.yaml'), RUNBOOK);
  journal = join(folder, 'journal.ndjson');
  const lines = ['one', 'two'].flatMap((target, index) => {
    const at = BEGAN + index * 30 * MINUTE;
    return [delivery(at, target, 'firing', at), delivery(at + 5 * MINUTE, target, 'resolved', at)];
  });
  writeFileSync(journal, `${lines.join('\n')}\n`);
  await git('init', '-q', '-b', 'main');
  await git('add', '.');
  await git('commit', '-q', '-m', 'Ask before the shop is mended');
  // The change under review.
  writeFileSync(join(folder, 'rules/shop.json'), rule('auto'));
});
afterAll(() => servers.stopAll());

describe('amends backtest', () => {
  it('says for each rule what it would have done', async () => {
    const { code, out } = await amends(`--from=${journal}`, '--output=json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      assume: 'recorded',
      summary: {
        deliveries: 4,
        alerts: 4,
        decisions: { admitted: 2, resolved: 2 },
        rules: [{ rule: 'shop-down', acted: 2, asked: 0, held: {} }],
        runs: [{ component: 'shop', strategy: 'mend', outcome: 'resolved', count: 2 }],
        worstDay: { day: '2026-10-20', acts: 2, alerts: 4 },
        assumedRuns: 2,
      },
    });
  });

  it('shows what a pull request changes against main, as Markdown, and fails on it when asked to', async () => {
    const same = await amends(`--from=${journal}`, '--against=main', '--markdown', '--fail-on=none');
    expect(same.code).toBe(0);
    expect(same.out).toContain('**Against `main` 2 incidents change: acts differently 2.**');
    expect(same.out).toContain(
      '| acts differently | 2026-10-20T00:00:00.000Z | ShopDown | shop one | awaiting\\_approval: shop-down \\> mend | admitted: shop-down \\> mend |',
    );
    const failing = await amends(`--from=${journal}`, '--against=main', '--fail-on=acts_differently');
    expect(failing.code).toBe(1);
  });

  it('reads what it can of a broken journal, says what it could not, and says so by its exit code', async () => {
    const broken = join(folder, 'broken.ndjson');
    writeFileSync(broken, `${delivery(BEGAN, 'one', 'firing', BEGAN)}\n`);
    appendFileSync(broken, '{"type":"delivery","at":"2026-10-');
    const { code, out, err } = await amends(`--from=${broken}`, '--output=json');
    expect(code).toBe(1);
    expect(err).toMatch(/broken\.ndjson:2: no JSON.*\n +mend: .*\n.*Not all of it could be read/s);
    expect(JSON.parse(out)).toMatchObject({ summary: { decisions: { admitted: 1 } } });
  });

  it('says where in a long journal a line is no post, and what would read it', async () => {
    const broken = join(folder, 'long.ndjson');
    writeFileSync(broken, `${delivery(BEGAN, 'one', 'firing', BEGAN)}\n${'\n'.repeat(51_201)}`);
    appendFileSync(broken, '{"type":"delivery","at":"2026-10-20T00:01:00Z","body":"<html>"}\n');
    appendFileSync(broken, '{"type":"delivery","at":"2026-10-20T00:02:00Z","body":{"alerts":7}}\n');
    const { code, out, err } = await amends(`--from=${broken}`, '--output=json');
    expect(code).toBe(1);
    expect(err).toMatch(/long\.ndjson:51203: body is no object .*\n +mend: /);
    expect(err).toMatch(/long\.ndjson:51204: the body has no list `alerts` .*\n +mend: /);
    expect(JSON.parse(out)).toMatchObject({ summary: { deliveries: 1, refused: [{ line: 51_204 }] } });
  });

  it('says that a Prometheus does not answer and how to go on, and exits 1', async () => {
    const { code, out, err } = await amends('--prometheus=http://127.0.0.1:9', '--since=2d', '--output=json');
    expect(code).toBe(1);
    expect(err).toMatch(/Prometheus did not give the alerts of \d{4}-\d\d-\d\d: .*\n +mend: look at its address/);
    expect(JSON.parse(out)).toMatchObject({ summary: { deliveries: 0 } });
  });

  it('shows each decision, and the whole as Markdown, when asked to', async () => {
    const { out } = await amends(`--from=${journal}`, '--show=decisions');
    expect(out.match(/ ShopDown +shop (?:one|two) +admitted +shop-down > mend/g)).toHaveLength(2);
    expect(out).not.toMatch(/ ShopDown +.* resolved/);
    const markdown = await amends(`--from=${journal}`, '--output=markdown');
    expect(markdown.out).toContain('| shop-down | 2 | 0 | 0 | 0 | 0 |');
  });

  it('decides the journal of a running amends as that did', async () => {
    const running = await servers.amends({
      config: join(folder, 'amends.yaml'),
      args: [`--storage.path=${join(folder, 'data')}`],
    });
    // Nothing answers at the address of the shop: the first run fails, the second alert meets the cooldown.
    for (const target of ['one', 'two']) {
      const { body } = JSON.parse(delivery(Date.now(), target, 'firing', Date.now())) as { body: object };
      const answer = await fetch(`${running.url}/webhook/alertmanager`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(202);
      await until(`${target} has been dealt with`, async () => {
        const decided = await list(running, `decisions?target=${target}&origin=delivery`);
        const open = await list(running, 'runs?state=running');
        return decided.length === 1 && open.length === 0 && (await list(running, 'runs?state=done')).length === 1;
      });
    }
    const lived = (await list(running, 'decisions?origin=delivery')).toReversed().map(({ reason }) => reason);
    expect(lived).toEqual(['admitted', 'cooldown']);

    const exported = join(folder, 'exported.ndjson');
    const exporting = [join(root, 'bin/amends'), 'journal', 'export', `--url=${running.url}`];
    const { stdout } = await call(process.execPath, exporting);
    writeFileSync(exported, stdout);
    const types = new Set(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { type: string }).type),
    );
    expect([...types]).toEqual(expect.arrayContaining(['config', 'delivery', 'outcome']));
    // With what it ran under, straight from its API: all it decided, in its order.
    const straight = await amends(`--url=${running.url}`, '--since=1h', '--show=all', '--output=json');
    expect(straight.err).toContain('journal read');
    const told = JSON.parse(straight.out) as { decisions: readonly Row[]; otherRules: boolean };
    expect(told.otherRules).toBe(false);
    const reasonsOf = (rows: readonly Row[]) => rows.map(({ origin, target, reason }) => [origin, target, reason]);
    const all = reasonsOf((await list(running, 'decisions')).toReversed());
    expect(reasonsOf(told.decisions).slice(0, all.length)).toEqual(all);
    const { code, out } = await amends(`--from=${exported}`, '--output=json');
    expect(code).toBe(0);
    const { summary } = JSON.parse(out) as { summary: { decisions: Record<string, number>; runs: unknown } };
    expect(summary.decisions).toMatchObject({ admitted: expect.any(Number) as unknown as number });
    expect(summary.decisions['cooldown']).toBeGreaterThanOrEqual(1);
    expect(summary.runs).toContainEqual({ component: 'shop', strategy: 'mend', outcome: 'unresolved', count: 1 });
  });

  it.each([
    [
      'a revision that does not exist',
      ['--against=no-such-revision'],
      /no-such-revision is neither a folder nor a revision/,
    ],
    ['a journal that is not there', ['--from=nowhere.ndjson'], /nowhere\.ndjson is no file; amends journal export/],
    ['an unknown assumption', ['--assume=luck'], /--assume: one of success, failure, recorded/],
    [
      'both a journal and a Prometheus',
      ['--from=journal.ndjson', '--prometheus=http://127.0.0.1:9'],
      /give either --from=FILE or/,
    ],
    ['to show what there is not', ['--show=some'], /--show: decisions or all/],
    ['an unknown change', ['--fail-on=everything'], /--fail-on: none, any, or some of/],
  ])('refuses %s with what to write instead, exit 2', async (_what, args, message) => {
    const from = args.some((arg) => arg.startsWith('--from')) ? [] : [`--from=${journal}`];
    const { code, err } = await amends(...from, ...args);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });

  itWith('prometheus', 'promtool')(
    'tells a newcomer what it would have done in the month that Prometheus remembers',
    async () => {
      // On each day every target of the shop was down for ten minutes, hours apart, and forty others fired for half an hour.
      const now = Math.floor(Date.now() / MINUTE) * MINUTE;
      const series = [
        ...['one', 'two', 'three', 'four'].map((target, index) => ({
          labels: `alertname="ShopDown",component="shop",target="${target}"`,
          from: (1 + index * 3) * 60,
          minutes: 11,
        })),
        ...Array.from({ length: 40 }, (_, index) => ({
          labels: `alertname="Noise",instance="node-${index}"`,
          from: index * 30,
          minutes: 31,
        })),
      ];
      const samples = series.flatMap(({ labels, from, minutes }) =>
        Array.from({ length: DAYS }, (_, day) =>
          Array.from({ length: minutes }, (_unused, minute) => {
            const at = now - (DAYS - day) * DAY + (from + minute) * MINUTE;
            return `ALERTS{alertstate="firing",${labels}} 1 ${at / 1_000}`;
          }),
        ).flat(),
      );
      const text = join(folder, 'alerts.txt');
      writeFileSync(text, `# TYPE ALERTS gauge\n${samples.join('\n')}\n# EOF\n`);
      const data = join(folder, 'tsdb');
      await call(binaryOf('promtool') ?? 'promtool', ['tsdb', 'create-blocks-from', 'openmetrics', text, data]);
      const prometheus = await servers.prometheus({ config: {}, data, retention: '40d' });
      const began = performance.now();
      const { code, out, err } = await amends(`--prometheus=${prometheus.url}`, '--since=30d', '--output=json');
      expect(err).toContain('30 of 30 days read');
      expect(JSON.parse(out)).toMatchObject({
        summary: {
          deliveries: DAYS * 44 * 2,
          decisions: { admitted: DAYS * 4, resolved: DAYS * 44, no_match: DAYS * 40 },
          rules: [{ rule: 'shop-down', acted: DAYS * 4 }],
        },
      });
      expect(code).toBe(0);
      expect(performance.now() - began).toBeLessThan(60_000);
    },
    120_000,
  );
});
