// A git repository that the configuration declares, asked through the git command: no hook, no editor, no prompt and no
// network comes into it.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { allowedCommand, allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';

/** The tree of processes has to be gone before the step's own time is up. */
const ROOM_MS = 500;
const GRACE_MS = 1_000;

/** A hook or a monitor of the repository would run as amends. */
const SETTINGS = ['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'protocol.allow=never', 'gc.auto=0'];
const ENVIRONMENT = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  LANG: 'C.UTF-8',
  HOME: '/',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_EDITOR: '/bin/false',
  GIT_PAGER: '',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_AUTHOR_NAME: 'amends',
  GIT_AUTHOR_EMAIL: 'amends@localhost',
  GIT_COMMITTER_NAME: 'amends',
  GIT_COMMITTER_EMAIL: 'amends@localhost',
};

export const repositoryInput = {
  /** The top folder of a work tree, below allow.paths. */
  repository: absolutePath,
  /** Has to be in allow.commands. */
  git: absolutePath.default('/usr/bin/git'),
};

/** A commit, tag or branch: nothing that git would take for an option or for an expression. */
export const revision = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/, { message: 'a commit, a tag or a branch by its plain name' })
  .refine((text) => !text.includes('..') && !text.endsWith('.lock') && !text.endsWith('/'), {
    message: 'a commit, a tag or a branch by its plain name',
  });

type Said = { readonly code: number; readonly out: string };
export type Repository = {
  readonly path: string;
  /** Throws unless it ends with one of `expected`. */
  ask(args: readonly string[], expected?: readonly number[]): Promise<Said>;
  /** The id of what a revision names; throws `permanent` when there is no such thing. */
  resolve(name: string, as: 'commit' | 'tree'): Promise<string>;
};

export const openRepository = async (
  input: { readonly repository: string; readonly git: string },
  context: ActionContext,
): Promise<Repository> => {
  const { allow, clock, deadline, marker, signal, spawner } = context;
  allowedCommand(input.git, allow);
  const path = await allowedPath(input.repository, allow, 'the repository');
  const ask = async (args: readonly string[], expected: readonly number[] = [0]): Promise<Said> => {
    signal.throwIfAborted();
    const what = `git ${args[0] ?? ''} in ${path}`;
    const result = await spawner.run(
      {
        file: input.git,
        args: [...SETTINGS.flatMap((setting) => ['-c', setting]), '-C', path, ...args],
        env: ENVIRONMENT,
        cwd: '/',
        stdin: null,
        timeoutMs: Math.max(1, deadline - clock.monotonic() - ROOM_MS - GRACE_MS),
        graceMs: GRACE_MS,
      },
      marker,
      signal,
    );
    if (!result.started) throw new ActionError('permanent', `${what} was not started: ${result.error ?? 'unknown'}`);
    if (result.exitCode !== null && !result.timedOut && !signal.aborted && expected.includes(result.exitCode))
      return { code: result.exitCode, out: result.stdout.text };
    if (result.exitCode === null || result.timedOut || signal.aborted)
      throw new ActionError('indeterminate', `${what} was ended before it was done`);
    const why = result.stderr.text.trim().split('\n').slice(0, 3).join(' ').slice(0, 400);
    throw new ActionError('permanent', `${what} failed with ${result.exitCode}: ${why}`);
  };
  const { out: top } = await ask(['rev-parse', '--show-toplevel']);
  if (top.trimEnd() !== path)
    throw new ActionError('permanent', `${path} is not the top of a repository, but a part of ${top.trimEnd()}`);
  return {
    path,
    ask,
    async resolve(name, as) {
      const { code, out } = await ask(
        ['rev-parse', '--quiet', '--verify', '--end-of-options', `${name}^{${as}}`],
        [0, 1, 128],
      );
      const id = out.trim();
      if (code === 0 && /^[0-9a-f]{40,64}$/.test(id)) return id;
      throw new ActionError('permanent', `${path} has no ${as} ${name}; mend: was it fetched, and is it spelt right?`);
    },
  };
};

/** Files that differ from HEAD or that nobody added, at most 20; ignored ones do not count. */
export const changedFiles = async (repository: Repository): Promise<readonly string[]> => {
  const { out } = await repository.ask(['status', '--porcelain=v1', '-z', '--untracked-files=normal']);
  return out
    .split('\0')
    .filter((line) => line !== '')
    .slice(0, 20);
};
