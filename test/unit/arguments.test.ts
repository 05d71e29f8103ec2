// What a user calls by `npm run` says how it is called, and what it does not understand it says in a sentence.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../..');
const NODE = process.execPath;
/** By the name of the script, how npm starts it. */
const SCRIPTS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  bench: [NODE, 'bench/main.mjs'],
  'coverage:ids': [NODE, 'scripts/coverage-ids.mjs'],
  dashboards: [NODE, 'scripts/dashboards.mjs'],
  'dashboards:preview': [NODE, 'scripts/dashboards-preview.mjs'],
  drill: [NODE, 'drill/main.mjs'],
  prometheusrule: [NODE, 'scripts/prometheusrule.mjs'],
  schemas: [NODE, 'scripts/schemas.mjs'],
  'setup:servers': ['bash', 'scripts/setup-servers.sh'],
  torture: [NODE, 'torture/main.mjs'],
};
const call = (name: string, ...given: readonly string[]) => {
  const [file, ...rest] = SCRIPTS[name] ?? [NODE];
  return spawnSync(file, [...rest, ...given], { cwd: root, encoding: 'utf8' });
};

describe.each(Object.keys(SCRIPTS))('npm run %s', (name) => {
  it.each(['--help', '-h'])('says with %s how it is called, with examples, and does nothing', (help) => {
    const { status, stdout, stderr } = call(name, help);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n')[0]).toMatch(new RegExp(`^npm run ${name}( |$)`));
    expect(stdout).toMatch(/^Examples?:\n( {2}npm run .+\n)+$/m);
  });

  it('refuses an option that it does not know in a sentence', () => {
    const { status, stdout, stderr } = call(name, '--nope');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toBe(`Unknown option '--nope'.\nTo see how it is called, add --help.\n`);
  });
});

it.each([
  ['torture', ['--only', 'tea'], "There is no torment 'tea'; there are storm, race, "],
  ['torture', ['--seed', 'x'], "--seed takes a whole number, not 'x'."],
  ['torture', ['--minutes', '0'], "--minutes takes a whole number from 1 on, not '0'."],
  ['torture', ['--seed'], "Option '--seed <value>' argument missing."],
  ['torture', ['storm'], "Unexpected argument 'storm'."],
  ['drill', ['--tries', '0'], "--tries takes a whole number from 1 to 9999, not '0'."],
  ['drill', ['--only', 'tea'], "There is no system 'tea'; there are "],
  ['drill', ['--output', 'xml'], "--output is table or json, not 'xml'."],
  ['bench', [], 'One measurement is wanted: accept, latency, '],
  ['bench', ['tea'], "There is no measurement 'tea'; there are accept, "],
  ['bench', ['audit', '--runs=many'], "--runs takes a whole number from 1 on, not 'many'."],
  ['bench', ['audit', '--rules=3'], "Unknown option '--rules'."],
  ['coverage:ids', ['--output=xml'], "--output is table or json, not 'xml'."],
  [
    'dashboards:preview',
    ['--prometheus=here'],
    "--prometheus takes an address like http://127.0.0.1:9090, not 'here'.",
  ],
] as const)('npm run %s -- %j: %s', (name, given, sentence) => {
  const { status, stderr } = call(name, ...given);
  expect(status).toBe(2);
  expect(stderr).toContain(sentence);
  expect(stderr).not.toMatch(/\n {4}at /);
});
