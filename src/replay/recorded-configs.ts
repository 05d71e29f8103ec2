// The configurations that a journal has on record, loaded again: what counted when.
import type { Problem, Result } from '../base/failure.ts';
import type { RecordedTexts } from '../config-record.ts';
import type { Loaded } from '../engine/context.ts';
import type { LoadedFrom } from './backtest.ts';
import type { Journal, RecordedConfig } from './journal.ts';

export type RecordedConfigs = {
  /** By time; the first counts from the beginning. None: the journal has no texts at all, or none of them can be loaded. */
  readonly active: readonly LoadedFrom[];
  readonly problems: readonly Problem[];
};

const MEND = 'export the journal anew from an amends that keeps them, or name a configuration: --config=files';

/** Whatever cannot be loaded is said, and the one before counts on. */
export const loadRecordedConfigs = async (
  { configs, texts }: Pick<Journal, 'configs' | 'texts'>,
  file: string,
  load: (recorded: RecordedTexts) => Promise<Result<Loaded>>,
): Promise<RecordedConfigs> => {
  const known = new Map<string, RecordedConfig>();
  // Of one that came to count again, a line may say no more than its digests.
  for (const one of configs) if (one.files !== null && !known.has(keyOf(one))) known.set(keyOf(one), one);
  const problems: Problem[] = [];
  const loaded = new Map<string, Loaded | null>();
  const loadOne = async (config: RecordedConfig): Promise<Loaded | null> => {
    const full = known.get(keyOf(config));
    const since = `what live decided under from ${new Date(config.at).toISOString()} on`;
    const place = { file, line: config.line };
    if (full?.files === undefined || full.files === null) {
      problems.push({
        code: 'config-not-recorded',
        message: `${since} is not in the journal, only its digests`,
        mend: MEND,
        ...place,
      });
      return null;
    }
    const missing = full.files.filter(({ digest }) => !texts.has(digest));
    if (missing[0] !== undefined) {
      problems.push({
        code: 'config-not-recorded',
        message: `${since} is not whole: the text of ${missing[0].file} is not in the journal${missing.length > 1 ? `, nor of ${missing.length - 1} more` : ''}`,
        mend: MEND,
        ...place,
      });
      return null;
    }
    const files = full.files.map(({ kind, file: name, digest }) => ({
      kind,
      file: name,
      text: texts.get(digest) ?? '',
    }));
    const result = await load({ ...full, files });
    if (result.ok) return result.value;
    const [first] = result.problems;
    problems.push({
      code: 'config-refused',
      message: `${since} is refused by this amends: ${[first?.file, first?.message].filter((word) => word !== undefined).join(': ')}${result.problems.length > 1 ? `, and ${result.problems.length - 1} more` : ''}`,
      mend: 'decide again with the amends that loaded it, or name a configuration: --config=files',
      ...place,
    });
    return null;
  };
  const active: LoadedFrom[] = [];
  for (const config of configs) {
    const key = keyOf(config);
    const one = loaded.has(key) ? (loaded.get(key) ?? null) : await loadOne(config);
    loaded.set(key, one);
    if (one !== null && active.at(-1)?.loaded !== one) active.push({ at: config.at, loaded: one });
  }
  return { active, problems };
};

const keyOf = ({ catalog, config }: RecordedConfig): string => JSON.stringify([catalog, config]);
