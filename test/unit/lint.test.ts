// The house rules bite: each ban and each edge of the import order fires on a small file, and lets its neighbour pass.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

type Diagnostic = { readonly code: string; readonly filename: string };

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Path, content, and the rule that must fire; without a rule the file must pass. */
const files: ReadonlyArray<readonly [path: string, content: string, rule?: string]> = [
  // Time, environment and chance, each in its one file.
  ['src/engine/now.ts', 'export const now = () => Date.now();', 'amends(clock)'],
  ['src/engine/date.ts', 'export const now = () => new Date();', 'amends(clock)'],
  ['src/engine/date-string.ts', 'export const now = () => Date();', 'amends(clock)'],
  ['src/engine/performance.ts', 'export const now = () => performance.now();', 'amends(clock)'],
  ['src/engine/timeout.ts', 'export const wait = (f: () => void) => setTimeout(f, 1);', 'amends(clock)'],
  ['src/engine/interval.ts', 'export const wait = (f: () => void) => setInterval(f, 1);', 'amends(clock)'],
  ['src/engine/later.ts', "export { setTimeout } from 'node:timers/promises';", 'amends(clock)'],
  ['src/base/clock.ts', 'export const now = () => Date.now();'],
  ['src/engine/given-date.ts', 'export const at = (ms: number) => new Date(ms);'],
  ['src/engine/given-clock.ts', 'export const at = (clock: { setTimeout: () => void }) => clock.setTimeout();'],
  ['src/engine/environment.ts', "export const home = process.env['HOME'];", 'amends(environment)'],
  [
    'src/engine/imported-environment.ts',
    "import { env } from 'node:process';\nexport const home = env;",
    'amends(environment)',
  ],
  ['src/config.ts', "export const home = process.env['HOME'];"],
  ['src/engine/random.ts', 'export const lot = () => Math.random();', 'amends(randomness)'],
  ['src/base/ids.ts', 'export const lot = () => Math.random();'],

  // No shell, no HTML, no any.
  ['src/actions/exec.ts', "import { exec } from 'node:child_process';\nexport const go = exec;", 'amends(no-shell)'],
  [
    'src/actions/exec-sync.ts',
    "import * as cp from 'node:child_process';\nexport const go = cp.execSync;",
    'amends(no-shell)',
  ],
  ['src/actions/shell.ts', 'export const options = { shell: true };', 'amends(no-shell)'],
  ['src/actions/shell-path.ts', "export const options = { shell: '/bin/sh' };", 'amends(no-shell)'],
  [
    'src/actions/no-shell.ts',
    "import { execFile } from 'node:child_process';\nexport const go = [execFile, { shell: false }];",
  ],
  ['src/actions/regex.ts', 'export const found = /a/.exec("a");'],
  ['src/console/inner.ts', 'export const f = (e: { innerHTML: string }) => { e.innerHTML = ""; };', 'amends(no-html)'],
  [
    'src/console/insert.ts',
    'export const f = (e: { insertAdjacentHTML: () => void }) => e.insertAdjacentHTML();',
    'amends(no-html)',
  ],
  [
    'src/console/write.ts',
    'declare const document: { write(text: string): void };\ndocument.write("");\nexport {};',
    'amends(no-html)',
  ],
  ['src/console/text.ts', 'export const f = (e: { textContent: string }) => { e.textContent = ""; };'],
  ['src/engine/any.ts', 'export const x = (y: any): unknown => y;', 'typescript(no-explicit-any)'],

  // With types: promises nobody waits for, switches that forget a case.
  [
    'src/engine/floating.ts',
    'export const f = (p: Promise<void>): void => { p; };',
    'typescript(no-floating-promises)',
  ],
  ['src/engine/awaited.ts', 'export const f = async (p: Promise<void>): Promise<void> => { await p; };'],
  [
    'src/engine/switch.ts',
    "export const f = (x: 'a' | 'b'): number => { switch (x) { case 'a': return 1; } return 2; };",
    'typescript(switch-exhaustiveness-check)',
  ],

  // The import order.
  ['src/base/a.ts', "import type {} from '../alert/x.ts';", 'amends(import-order)'],
  ['src/alert/a.ts', "import type {} from '../rule/x.ts';", 'amends(import-order)'],
  ['src/rule/a.ts', "import type {} from '../runbook/x.ts';", 'amends(import-order)'],
  ['src/runbook/a.ts', "import type {} from '../rule/x.ts';", 'amends(import-order)'],
  ['src/run/a.ts', "import type {} from '../port/x.ts';", 'amends(import-order)'],
  ['src/port/a.ts', "import type {} from '../store/x.ts';", 'amends(import-order)'],
  ['src/actions/a.ts', "import type {} from '../facts/x.ts';", 'amends(import-order)'],
  ['src/store/a.ts', "import type {} from '../config.ts';", 'amends(import-order)'],
  ['src/catalog.ts', "import type {} from './engine/x.ts';", 'amends(import-order)'],
  ['src/engine/a.ts', "import type {} from '../store/x.ts';", 'amends(import-order)'],
  ['src/engine/b.ts', "export * from '../actions/http/request.ts';", 'amends(import-order)'],
  ['src/engine/c.ts', "export const f = async () => import('../notifiers/x.ts');", 'amends(import-order)'],
  ['src/replay/a.ts', "import type {} from '../http/x.ts';", 'amends(import-order)'],
  ['src/http/a.ts', "import type {} from '../store/x.ts';", 'amends(import-order)'],
  ['src/http/b.ts', "import type {} from '../app.ts';", 'amends(import-order)'],
  ['src/cli/a.ts', "import type {} from '../store/x.ts';", 'amends(import-order)'],
  ['src/app/a.ts', "import type {} from '../main.ts';", 'amends(import-order)'],
  ['src/config-schema.ts', "import type {} from './engine/x.ts';", 'amends(import-order)'],
  ['src/misc/a.ts', "import type {} from '../base/x.ts';", 'amends(import-order)'],
  ['src/engine/d.ts', "import type {} from '../../test/support/x.ts';", 'amends(import-order)'],
  [
    'src/engine/good.ts',
    "import type {} from '../config.ts';\nimport type {} from '../port/x.ts';\nimport type {} from './x.ts';",
  ],
  ['src/port/good.ts', "import type {} from '../run/x.ts';\nimport type {} from '../base/x.ts';"],
  ['src/config-source.ts', "import type {} from './config.ts';\nimport type {} from './port/x.ts';"],
  ['src/app.ts', "import type {} from './store/x.ts';\nimport type {} from './http/x.ts';"],
  ['src/main.ts', "import type {} from './cli/x.ts';\nimport type {} from './app.ts';"],
  ['src/base/ring.ts', "export * from './ring-back.ts';\nexport const a = 1;", 'import(no-cycle)'],
  ['src/base/ring-back.ts', "export * from './ring.ts';\nexport const b = 1;", 'import(no-cycle)'],
];

describe('the house rules', () => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-lint-'));
  const fired = new Map<string, string[]>();

  beforeAll(() => {
    for (const name of ['.oxlintrc.json', 'tsconfig.json']) copyFileSync(join(root, name), join(folder, name));
    for (const name of ['scripts', 'node_modules', 'package.json']) symlinkSync(join(root, name), join(folder, name));
    for (const [path, content] of files) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, path), `${content}\n`);
    }
    const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
    const args = [oxlint, '--type-aware', '--format=json', 'src'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    if (!stdout.startsWith('{')) throw new Error(`oxlint did not run: ${stdout}${stderr}`);
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: Diagnostic[] };
    for (const { filename, code } of diagnostics) fired.set(filename, [...(fired.get(filename) ?? []), code]);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const bad = files.filter((file): file is [string, string, string] => file[2] !== undefined);
  const good = files.filter(([, , rule]) => rule === undefined);

  it.each(bad)('refuse %s: %j by %s', (path, _content, rule) => {
    expect(fired.get(path)).toContain(rule);
  });

  it.each(good)('let %s pass: %j', (path) => {
    const rules = new Set(bad.map(([, , rule]) => rule));
    expect((fired.get(path) ?? []).filter((code) => rules.has(code))).toEqual([]);
  });
});
