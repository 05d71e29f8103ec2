// docs/pull-requests.md as somebody would follow it: each file is written, each command typed, and what the page shows comes out. The
// workflow and the hooks that it names are held to the commands that there are.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { root, startedHere } from '../support/servers.ts';

const servers = startedHere();
afterAll(() => servers.stopAll());

const page = readFileSync(join(root, 'docs/pull-requests.md'), 'utf8');
const tutorial = page.slice(page.indexOf('## From an empty rule to a merged one'));
const blocks = [...tutorial.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)].map(
  ([, language = '', file = '', text = '']) => ({
    language,
    file,
    text,
  }),
);

const call = promisify(execFile);
const NOBODY = {
  GIT_AUTHOR_NAME: 'sre',
  GIT_AUTHOR_EMAIL: 'sre@localhost',
  GIT_COMMITTER_NAME: 'sre',
  GIT_COMMITTER_EMAIL: 'sre@localhost',
};
/** Words, and what stands in quotes as one. */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');

const type = async (line: string, cwd: string): Promise<string> => {
  const [program = '', ...args] = wordsOf(line);
  const [file, all] = program === 'amends' ? [process.execPath, [join(root, 'bin/amends'), ...args]] : [program, args];
  return call(file, all, { cwd, env: { ...process.env, ...NOBODY } }).then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr, code }: { stdout: string; stderr: string; code: number }) => {
      // 1 is an answer: something was found.
      if (code !== 1) throw new Error(`${line}: ${code}\n${stdout}${stderr}`);
      return stdout + stderr;
    },
  );
};

describe('docs/pull-requests.md', () => {
  it('goes from an empty rule to a merged one, and every command says what the page says', async () => {
    const folder = await servers.folder();
    const said: string[] = [];
    for (const { language, file, text } of blocks) {
      if (language !== 'console') {
        mkdirSync(dirname(join(folder, file)), { recursive: true });
        writeFileSync(join(folder, file), text);
        continue;
      }
      for (const part of text.split(/^\$ /m).filter((one) => one !== '')) {
        const [command = '', ...expected] = part.trimEnd().split('\n');
        const output = await type(command, folder);
        said.push(command);
        for (const line of expected) expect(`${command}\n${output}`).toContain(line);
      }
    }
    expect(said.length).toBeGreaterThanOrEqual(12);
    const merged = await type('git log --oneline main', folder);
    expect(merged.trim().split('\n')).toHaveLength(2);
  }, 120_000);

  it('the workflow and the hooks call commands with options that there are', async () => {
    const workflow = parse(readFileSync(join(root, 'docs/examples/github-rules.yml'), 'utf8')) as {
      jobs: Record<string, { steps: ReadonlyArray<{ run?: string }> }>;
    };
    const hooks = parse(readFileSync(join(root, '.pre-commit-hooks.yaml'), 'utf8')) as ReadonlyArray<{ entry: string }>;
    const lines = [
      ...Object.values(workflow.jobs).flatMap(({ steps }) => steps.flatMap(({ run = '' }) => run.split('\n'))),
      ...hooks.map(({ entry }) => entry),
    ].filter((line) => line.startsWith('amends '));
    expect(lines.length).toBeGreaterThanOrEqual(7);
    for (const line of lines) {
      const words = wordsOf(line.split(' > ')[0] ?? '').slice(1);
      const options = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]);
      const command = words.filter((word) => !word.startsWith('--'));
      const help = await type(`amends ${command.join(' ')} --help`, root);
      for (const option of options)
        expect([line, help.includes(` ${option} `) || help.includes(` ${option}\n`)]).toEqual([line, true]);
    }
  }, 60_000);
});
