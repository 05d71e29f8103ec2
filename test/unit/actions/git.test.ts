// Going back to an earlier version of a real repository: nothing of the history and nothing uncommitted is ever lost.
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import revertTo from '../../../src/actions/git/revert-to.ts';
import verifyVersion from '../../../src/actions/git/verify-version.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { commit, git, makeRepository } from '../../support/repository.ts';

const contexts = createContexts();
afterAll(() => contexts.stop());
let folder: string;
let ids: readonly string[];
let made = 0;

beforeEach(() => {
  made += 1;
  folder = join(contexts.folder, `repository-${made}`);
  ids = makeRepository(folder, [
    { 'app.txt': 'one', 'lib/a.txt': 'a' },
    { 'app.txt': 'two', 'lib/a.txt': 'a', 'lib/b.txt': 'b' },
    { 'app.txt': 'three' },
    { 'app.txt': 'four', 'lib/c.txt': 'c' },
  ]);
  git(folder, 'tag', 'last-good', ids[1] ?? '');
});

const make = (timeout = 20_000): TestContext => contexts.make({ allow: { commands: ['/usr/bin/git'] }, timeout });
const input = (more: JsonObject = {}): JsonObject => ({ repository: folder, revision: 'last-good', ...more });
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
/** What must be as it was after a refusal. */
const state = (): string =>
  [
    git(folder, 'rev-parse', 'HEAD'),
    git(folder, 'status', '--porcelain'),
    git(folder, 'for-each-ref'),
    read('app.txt'),
  ].join('\n');

describe('git.revert-to', () => {
  it('O2: puts the files of the last good version back by a new commit; the history and what was there are kept', async () => {
    const result = await revertTo.run(revertTo.input.parse(input({ branch: 'main' })), make());
    expect(result.outputs).toMatchObject({
      from: ids[3],
      target: ids[1],
      branch: 'main',
      changed: true,
      files: 2,
      kept_ref: 'refs/amends/run/before',
    });
    expect(result.undo).toEqual({ from: ids[3] });
    expect([read('app.txt'), read('lib/b.txt'), existsSync(join(folder, 'lib/c.txt'))]).toEqual(['two', 'b', false]);
    expect(git(folder, 'status', '--porcelain')).toBe('');
    expect(git(folder, 'rev-parse', 'HEAD^')).toBe(ids[3]);
    expect(git(folder, 'rev-parse', 'refs/amends/run/before')).toBe(ids[3]);
    expect(git(folder, 'log', '--format=%an %s', '-1')).toBe('amends Go back to the last good version');
    expect(await perform(verifyVersion, input(), make())).toMatchObject({
      matches: true,
      revision: ids[1],
      branch: 'main',
      changed: [],
    });
  });

  it('O2: again it changes nothing, and its undo brings every file back', async () => {
    const first = await perform(revertTo, input(), make());
    expect(await perform(revertTo, input(), make())).toMatchObject({
      changed: false,
      from: ids[3],
      commit: first['commit'],
      files: 0,
    });
    await perform(revertTo, input({ revision: ids[3] ?? '', message: 'Take it back' }), make());
    expect([read('app.txt'), read('lib/c.txt')]).toEqual(['four', 'c']);
    expect(git(folder, 'diff', '--stat', ids[3] ?? '', 'HEAD')).toBe('');
    expect(git(folder, 'rev-list', '--count', 'HEAD')).toBe('6');
  });

  it('O2: goes over merges, which reverting commit by commit cannot', async () => {
    git(folder, 'checkout', '-q', '-b', 'side', ids[2] ?? '');
    commit(folder, { 'side.txt': 's' }, 'side');
    git(folder, 'checkout', '-q', 'main');
    git(folder, 'merge', '-q', '--no-edit', 'side');
    expect(await perform(revertTo, input(), make())).toMatchObject({ changed: true });
    expect([read('app.txt'), existsSync(join(folder, 'side.txt'))]).toEqual(['two', false]);
  });

  it.each([
    ['a changed file', () => writeFileSync(join(folder, 'app.txt'), 'edited on the server'), 'app.txt'],
    [
      'a staged file',
      () => (writeFileSync(join(folder, 'lib/a.txt'), 'staged'), git(folder, 'add', '-A')),
      'lib/a.txt',
    ],
    ['a file that nobody added', () => writeFileSync(join(folder, 'notes.txt'), 'mine'), 'notes.txt'],
    ['a file that was removed', () => rmSync(join(folder, 'lib/a.txt')), 'lib/a.txt'],
  ])('O2: with %s it refuses, names it, and leaves everything as it is', async (_what, spoil, name) => {
    spoil();
    const before = state();
    const context = make();
    const error = await failureOf(perform(revertTo, input(), context));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('changes that nobody committed');
    expect(error.message).toContain(name);
    expect(state()).toBe(before);
    expect(context.beganCount()).toBe(0);
  });

  it('files that git ignores are no reason to refuse, and stay', async () => {
    commit(folder, { '.gitignore': '*.log\n' }, 'ignore logs');
    git(folder, 'tag', '-f', 'last-good');
    commit(folder, { 'app.txt': 'six' }, 'later');
    writeFileSync(join(folder, 'app.log'), 'kept');
    await perform(revertTo, input(), make());
    expect([read('app.log'), read('app.txt')]).toEqual(['kept', 'four']);
  });

  it.each([
    ['no such version', { revision: 'v99' }, 'has no commit v99'],
    ['a version of another branch', { revision: 'other' }, 'is no ancestor of main'],
    ['another branch than the one that is deployed', { branch: 'production' }, 'main is checked out, not production'],
  ])('O2: %s is refused before anything is touched', async (_what, more, said) => {
    git(folder, 'checkout', '-q', '--orphan', 'other');
    commit(folder, { 'x.txt': 'x' }, 'unrelated');
    git(folder, 'checkout', '-q', 'main');
    const before = state();
    expect((await failureOf(perform(revertTo, input(more), make()))).message).toContain(said);
    expect(state()).toBe(before);
  });

  it('a detached head, and a merge that is under way, are refused', async () => {
    git(folder, 'checkout', '-q', '--detach', 'HEAD');
    expect((await failureOf(perform(revertTo, input(), make()))).message).toContain('no branch is checked out');
    git(folder, 'checkout', '-q', 'main');
    writeFileSync(join(folder, '.git/MERGE_HEAD'), `${ids[1]}\n`);
    expect((await failureOf(perform(revertTo, input(), make()))).message).toContain('is under way there (MERGE_HEAD)');
  });

  it('C4: what could be an option or an expression of git is no revision', () => {
    for (const revision of [
      '--hard',
      '-f',
      'HEAD~1',
      'main@{1}',
      'a..b',
      ':/fix',
      'a b',
      'x;rm',
      '',
      '../x',
      'HEAD^',
      'v1\n--',
    ])
      expect([revision, revertTo.input.safeParse(input({ revision })).success]).toEqual([revision, false]);
  });

  it('C4: no hook and no monitor of the repository is run', async () => {
    const told = join(contexts.folder, `hook-${made}`);
    for (const hook of ['post-merge', 'pre-commit', 'post-checkout', 'reference-transaction']) {
      mkdirSync(join(folder, '.git/hooks'), { recursive: true });
      writeFileSync(join(folder, '.git/hooks', hook), `#!/bin/sh\necho ${hook} >> ${told}\n`);
      chmodSync(join(folder, '.git/hooks', hook), 0o755);
    }
    writeFileSync(join(folder, '.git/monitor'), `#!/bin/sh\necho monitor >> ${told}\n`, { mode: 0o755 });
    git(folder, 'config', 'core.fsmonitor', '.git/monitor');
    rmSync(told, { force: true });
    await perform(revertTo, input(), make());
    expect(existsSync(told)).toBe(false);
  });

  it('C8: only a declared repository, by a declared git, and only its top folder', async () => {
    expect((await failureOf(perform(revertTo, input(), contexts.make()))).message).toContain(
      'the command /usr/bin/git is not allowed',
    );
    const stranger = contexts.make({ allow: { commands: ['/usr/bin/git'], paths: ['/nowhere'] } });
    expect((await failureOf(perform(revertTo, input(), stranger))).message).toContain('is not allowed');
    expect((await failureOf(perform(revertTo, input({ repository: join(folder, 'lib') }), make()))).message).toContain(
      'not the top of a repository',
    );
    symlinkSync(folder, join(contexts.folder, `link-${made}`));
    expect(
      (await failureOf(perform(revertTo, input({ repository: join(contexts.folder, `link-${made}`) }), make()))).kind,
    ).toBe('permanent');
    const empty = join(contexts.folder, `empty-${made}`);
    mkdirSync(empty);
    expect((await failureOf(perform(revertTo, input({ repository: empty }), make()))).message).toContain(
      'not a git repository',
    );
  });

  it('another git that holds the lock makes it fail, with everything as it was', async () => {
    writeFileSync(join(folder, '.git/index.lock'), '');
    const error = await failureOf(perform(revertTo, input(), make()));
    expect(error).toMatchObject({ kind: 'indeterminate' });
    expect(error.message).toContain('going back was not finished');
    rmSync(join(folder, '.git/index.lock'));
    expect([git(folder, 'rev-parse', 'HEAD'), git(folder, 'status', '--porcelain'), read('app.txt')]).toEqual([
      ids[3],
      '',
      'four',
    ]);
  });
});

describe('git.verify-version', () => {
  it('O2: tells another version, a changed file and a file too many', async () => {
    expect((await failureOf(perform(verifyVersion, input(), make()))).message).toContain(
      'is checked out, which is another',
    );
    expect(await perform(verifyVersion, input({ revision: 'main' }), make())).toMatchObject({ matches: true });
    writeFileSync(join(folder, 'app.txt'), 'edited');
    const error = await failureOf(perform(verifyVersion, input({ revision: 'main' }), make()));
    expect(error).toMatchObject({ kind: 'permanent', outputs: { matches: false } });
    expect(error.message).toContain('app.txt');
  });
});
