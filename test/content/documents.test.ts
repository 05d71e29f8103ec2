// What the documents tell people to type works: the tutorial's files recover a page, examples load, commands exist.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../src/base/failure.ts';
import { buildCatalog } from '../../src/catalog.ts';
import { builtInConfig } from '../../src/config.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { actions, facts, root } from '../support/content.ts';

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
/** Fenced blocks: what stands behind the fence, and the text. */
const blocks = (file: string): ReadonlyArray<{ readonly about: string; readonly text: string }> =>
  [...read(file).matchAll(/^ *```([^\n]*)\n(.*?)^ *```$/gms)].map((match) => ({
    about: match[1] ?? '',
    text: match[2] ?? '',
  }));

describe("README's tutorial", () => {
  let amends: EngineUnderTest | undefined;
  let server: Server | undefined;
  let folder = '';
  afterEach(async () => {
    await amends?.close();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    rmSync(folder, { recursive: true, force: true });
  });

  it('puts the missing page back when its alert comes', async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-tutorial-'));
    const page = join(folder, 'page.txt');
    server = createServer((_request, response) => response.writeHead(existsSync(page) ? 200 : 404).end());
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const files = Object.fromEntries(
      blocks('README.md')
        .filter(({ about }) => about.includes(' tutorial/'))
        .map(({ about, text }) => [
          about.split(' tutorial/')[1] ?? '',
          text.replaceAll('8765', String(port)).replaceAll('/tmp/amends-tutorial', folder),
        ]),
    );
    expect(Object.keys(files).toSorted()).toEqual([
      'amends.yaml',
      'rules/page-missing.json',
      'runbooks/page/put-back.yaml',
    ]);
    const { 'amends.yaml': config = '', ...others } = files;
    amends = await startEngine({ config, files: others });
    await amends.post([{ labels: { alertname: 'PageMissing', component: 'web', target: 'shop' } }]);
    expect((await amends.list('runs'))[0]).toMatchObject({
      strategy: 'put-back',
      outcome: 'resolved',
      cause: 'verified',
    });
    expect(existsSync(page)).toBe(true);
  });
});

it('the rule of docs/rules.md and the runbook of docs/runbooks.md load', async () => {
  const rule = blocks('docs/rules.md').find(({ about }) => about === 'json')?.text ?? '';
  const runbook = blocks('docs/runbooks.md').find(({ about }) => about === 'yaml')?.text ?? '';
  const modes = new Map([['worker_unavailable', { available: [], unavailable: [], impact: '' }]]);
  const catalog = buildCatalog(
    {
      rules: [{ file: 'rules/worker/hangs.json', text: rule }],
      runbooks: [{ file: 'runbooks/worker/restart.yaml', text: runbook }],
      conditions: [],
    },
    { config: { ...builtInConfig(root), degradedModes: modes }, actions: await actions(), facts: await facts() },
  );
  expect(catalog.ok ? [] : catalog.problems.map(formatProblem)).toEqual([]);
});

it('the commands that documents and guides name are there', () => {
  const commands = new Set(readdirSync(join(root, 'src/cli')).map((name) => name.replace('.ts', '')));
  const guides = readdirSync(join(root, 'runbooks'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(?<!\.test)\.yaml$/.test(name),
  );
  for (const file of [
    'README.md',
    'docs/operations.md',
    'docs/configuration.md',
    'docs/examples/amends.shop.yaml',
    'amends.yaml',
    ...guides.map((name) => `runbooks/${name}`),
  ]) {
    const typed = blocks(file)
      .map(({ text }) => text)
      .join('\n');
    const named = [
      ...read(file).matchAll(/(?:bin\/amends|`amends) ([a-z]+(?:-[a-z]+)*)/g),
      ...typed.matchAll(/^amends ([a-z]+(?:-[a-z]+)*)/gm),
    ];
    for (const [, command] of named)
      expect([file, command, commands.has(command ?? '')]).toEqual([file, command, true]);
  }
});

it('the metrics that documents name are there', () => {
  const known = read('src/metrics-families.ts');
  for (const file of ['README.md', 'docs/operations.md', 'docs/runbooks.md', 'alerts/database.yaml']) {
    for (const [name] of read(file).matchAll(
      /\b(?:amends|infra)_[a-z_]+(?:_total|_seconds|_active|_success|_output|_used|_limit|_open|_waiting|_depth|_successful)\b/g,
    )) {
      expect([file, name, known.includes(`'${name}'`)]).toEqual([file, name, true]);
    }
  }
});
