// Under what is decided again: the files of a folder, of a git revision, or what the journal says was loaded.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { formatProblem } from '../../base/failure.ts';
import type { Problem } from '../../base/failure.ts';
import type { Settings } from '../../config.ts';
import type { Loaded } from '../../engine/context.ts';
import type { LoadedFrom } from '../../replay/backtest.ts';
import type { Recorded } from './offline.ts';
import { loadFiles } from './offline.ts';
import { Misuse } from './command.ts';

/** `recorded` is how many configurations the journal has; null: files. */
export type Ruling = {
  readonly loaded: Loaded;
  readonly later: readonly LoadedFrom[];
  readonly recorded: number | null;
  /** What could not be loaded of it. */
  readonly problems: readonly Problem[];
};

/** In place of a revision or a folder: what live had. */
export const RECORDED = 'recorded';

export const rulingOfFiles = async (settings: Settings): Promise<Ruling> => ({
  loaded: await loadFiles(settings),
  later: [],
  recorded: null,
  problems: [],
});

/** Each configuration when live had it. `--recovery.mode` goes before the modes that they had. */
export const rulingOfJournal = async (journal: Recorded, settings: Settings): Promise<Ruling> => {
  const [{ loadParts }, { loadRecorded }, { loadRecordedConfigs }] = await Promise.all([
    import('../../app.ts'),
    import('../../config-record.ts'),
    import('../../replay/recorded-configs.ts'),
  ]);
  const parts = await loadParts();
  const { active, problems } = await loadRecordedConfigs(journal, journal.name, (one) =>
    loadRecorded(one, parts, settings.recoveryMode),
  );
  const [first, ...later] = active;
  if (first === undefined) {
    const why = problems.map(formatProblem).join('\n');
    throw new Misuse(
      `${why === '' ? '' : `${why}\n`}${journal.name} has no configuration that could be loaded; name one: --config=files --config.file=amends.yaml`,
    );
  }
  return { loaded: first.loaded, later, recorded: new Set(active.map(({ loaded }) => loaded)).size, problems };
};

/** Whether the journal has the text of any configuration. */
export const hasTexts = ({ configs }: Pick<Recorded, 'configs'>): boolean =>
  configs.some(({ files }) => files !== null);

const call = promisify(execFile);

/** The configuration as it stands in a folder, or as it stood at a revision. */
export const rulingOfRevision = async (settings: Settings, against: string): Promise<Ruling> => {
  const folder = await stat(against).catch(() => null);
  if (folder?.isDirectory() === true)
    return rulingOfFiles({ ...settings, configFile: join(against, basename(settings.configFile)) });
  const config = resolve(settings.configFile);
  const scratch = await mkdtemp(join(tmpdir(), 'amends-revision-'));
  try {
    const git = (...args: readonly string[]): Promise<{ stdout: string }> =>
      call('git', ['-C', dirname(config), ...args]);
    const top = (await git('rev-parse', '--show-toplevel')).stdout.trim();
    const archive = join(scratch, 'revision.tar');
    await git('-C', top, 'archive', '--format=tar', `--output=${archive}`, '--', against);
    await call('tar', ['-xf', archive, '-C', scratch]);
    return await rulingOfFiles({ ...settings, configFile: join(scratch, relative(top, config)) });
  } catch (error) {
    if (error instanceof Misuse) throw error;
    const said = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim().split('\n')[0] ?? '';
    throw new Misuse(
      `--against: ${against} is neither a folder nor a revision that git can give (${said}); for example main, HEAD~1, ../other, or recorded`,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};
