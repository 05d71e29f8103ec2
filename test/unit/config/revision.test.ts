// The commit that the configuration stands at, read from git's own files of repositories that git made.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { revisionOf } from '../../../src/config-revision.ts';

let folder: string;
let repository: string;

const git = (...args: readonly string[]): string =>
  execFileSync(
    'git',
    [
      '-C',
      repository,
      '-c',
      'user.name=ann',
      '-c',
      'user.email=ann@example.org',
      '-c',
      'commit.gpgsign=false',
      ...args,
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  ).trim();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-revision-'));
  repository = join(folder, 'repository');
  mkdirSync(join(repository, 'rules'), { recursive: true });
  git('init', '--quiet', '--initial-branch=main');
  git('commit', '--quiet', '--allow-empty', '--message=first');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the revision of a folder', () => {
  it('is the commit of the branch that is checked out, from any folder below', async () => {
    const first = git('rev-parse', 'HEAD');
    expect(await revisionOf(repository)).toBe(first);
    git('commit', '--quiet', '--allow-empty', '--message=second');
    expect(await revisionOf(join(repository, 'rules'))).toBe(git('rev-parse', 'HEAD'));
    expect(git('rev-parse', 'HEAD')).not.toBe(first);
  });

  it('is found where git has packed its refs, and the loose one wins where both are there', async () => {
    git('pack-refs', '--all');
    expect(await revisionOf(repository)).toBe(git('rev-parse', 'HEAD'));
    git('commit', '--quiet', '--allow-empty', '--message=second');
    expect(await revisionOf(repository)).toBe(git('rev-parse', 'HEAD'));
  });

  it('is the commit itself where no branch is checked out', async () => {
    const first = git('rev-parse', 'HEAD');
    git('commit', '--quiet', '--allow-empty', '--message=second');
    git('checkout', '--quiet', '--detach', first);
    expect(await revisionOf(repository)).toBe(first);
  });

  it('is that of a worktree, not of the repository which it shares', async () => {
    git('worktree', 'add', '--quiet', '-b', 'other', join(folder, 'tree'));
    git('commit', '--quiet', '--allow-empty', '--message=second');
    expect(await revisionOf(join(folder, 'tree'))).toBe(git('rev-parse', 'other'));
    expect(git('rev-parse', 'other')).not.toBe(git('rev-parse', 'main'));
  });

  it.each([
    ['a repository without a commit', 'ref: refs/heads/none\n'],
    ['a HEAD that leaves the folder', 'ref: refs/../../outside\n'],
    ['a HEAD that points to itself', 'ref: HEAD\n'],
    ['a HEAD that is something else', 'hello\n'],
  ])('is nothing for %s', async (_what, head) => {
    writeFileSync(join(repository, '.git/HEAD'), head);
    expect(await revisionOf(repository)).toBeNull();
  });

  it('is nothing outside of a repository', async () => {
    expect(await revisionOf(folder)).toBeNull();
  });
});
