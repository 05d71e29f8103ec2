// A drill of real systems, recorded and decided again: the same decisions from the journal alone; and with one rule's cap
// changed exactly the alerts that it changes, in the words of a pull request.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from '@jest/globals';
import { itWith } from '../support/requires.ts';
import { root, startedHere } from '../support/servers.ts';

const call = promisify(execFile);
const servers = startedHere();
afterAll(() => servers.stopAll());

type Row = Readonly<Record<string, unknown>>;
type KeptFile = { readonly kind: string; readonly file: string; readonly text: string };
const RULE = 'redis-connection-lost';
const STRATEGIES = ['restore-backup', 'release-lock', 'retry-connection', 'checkpoint-wal', 'reconnect'];

const words = ({ origin, component, target, rule, strategy, reason }: Row): string =>
  [origin, component, target, rule, strategy, reason].join(' ');
/** What the rows of the first table say, without the marks that keep it from being markup. */
const rowsOf = (markdown: string): ReadonlyArray<readonly string[]> => {
  const lines = markdown.split('\n');
  const from = lines.findIndex((line) => line.startsWith('|---'));
  const to = lines.findIndex((line, index) => index > from && !line.startsWith('|'));
  return lines.slice(from + 1, to).map((line) =>
    line
      .replaceAll('\\', '')
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
};

describe('a recorded drill', () => {
  itWith('redis-server')(
    'is decided again as live did, all of it, in the same order; a changed cap shows exactly the alerts that change, and no others',
    async () => {
      const folder = await servers.folder();
      const empty = join(folder, 'empty');
      const changed = join(folder, 'changed');
      for (const one of [empty, join(changed, 'rules')]) mkdirSync(one, { recursive: true });
      const drill = [
        join(root, 'drill/main.mjs'),
        '--built',
        '--tries=1',
        '--only=database',
        '--only=redis',
        // Those that act by themselves: what a human said yes to is done again all the same, and shows beside the others.
        ...STRATEGIES.map((strategy) => `--strategy=${strategy}`),
        '--seed=5',
      ];
      await call(process.execPath, [...drill, `--record=${folder}`]);
      const journal = join(folder, 'journal.ndjson');
      const amends = async (cwd: string, ...args: readonly string[]): Promise<string> =>
        (await call(process.execPath, [join(root, 'bin/amends'), 'backtest', `--from=${journal}`, ...args], { cwd }))
          .stdout;

      const lived = JSON.parse(readFileSync(join(folder, 'decisions.json'), 'utf8')) as readonly Row[];
      const again = JSON.parse(await amends(empty, '--show=all', '--output=json')) as {
        readonly decisions: readonly Row[];
      };
      expect(lived.filter(({ reason }) => reason === 'admitted').length).toBeGreaterThanOrEqual(7);
      expect(again.decisions.slice(0, lived.length).map(words)).toEqual(lived.map(words));

      // The same configuration as files, and in it one rule with a cap of one.
      const lines = readFileSync(journal, 'utf8').trim().split('\n');
      const { files } = lines.map((line) => JSON.parse(line) as Row).find(({ type }) => type === 'config') ?? {};
      const config = JSON.parse((files as readonly KeptFile[])[0]?.text ?? '') as Row;
      writeFileSync(join(changed, 'amends.yaml'), JSON.stringify({ ...config, rule_files: ['rules/*.json'] }));
      const write = (cap: number | null): void => {
        for (const { file, text } of (files as readonly KeptFile[]).filter(({ kind }) => kind === 'rule')) {
          const rule = JSON.parse(text) as { name: string; event: { params: Row } };
          const { params } = rule.event;
          const limits = { attempts: [{ max: cap, per: '1d' }] };
          const event =
            rule.name === RULE && cap !== null ? { ...rule.event, params: { ...params, limits } } : rule.event;
          writeFileSync(join(changed, 'rules', basename(file)), JSON.stringify({ ...rule, event }));
        }
      };
      write(null);
      expect(await amends(changed, '--against=recorded', '--markdown')).toContain(
        '**Against `recorded` nothing changes.**',
      );
      write(1);
      const markdown = await amends(changed, '--against=recorded', '--markdown');
      const ofRule = lived.filter(({ rule, reason }) => rule === RULE && reason === 'admitted');
      const past = ofRule.slice(1);
      expect(past.length).toBeGreaterThanOrEqual(1);
      expect(rowsOf(markdown)).toEqual(
        past.map(({ target, strategy }) => [
          'no longer acts',
          expect.stringMatching(/^2\d{3}-.*Z$/) as unknown,
          expect.any(String) as unknown,
          `redis ${String(target)}`,
          `admitted: ${RULE} > ${String(strategy)}`,
          `attempts_used_up: ${RULE} > ${String(strategy)}`,
        ]),
      );
      // They are those alerts: each opened within the second before it was decided.
      for (const [index, { at }] of past.entries()) {
        const late = Date.parse(String(at)) - Date.parse(rowsOf(markdown)[index]?.[1] ?? '');
        expect(late).toBeGreaterThanOrEqual(0);
        expect(late).toBeLessThan(1_000);
      }
    },
    120_000,
  );
});
