// What commands need that look at files rather than at a running amends: the files as `serve` would load them, a Prometheus
// that may be asked, a record of their own.
import { stat } from 'node:fs/promises';
import { formatProblem } from '../../base/failure.ts';
import type { Problem } from '../../base/failure.ts';
import type { Ids } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import type { Settings } from '../../config.ts';
import type { Loaded } from '../../engine/context.ts';
import type { Store } from '../../port/store.ts';
import type { Journal } from '../../replay/journal.ts';
import type { VirtualClock } from '../../replay/virtual-clock.ts';
import { Misuse } from './command.ts';

const refusedText = (problems: readonly Problem[]): string => problems.map(formatProblem).join('\n');

/** Misuse with every problem when `serve` would refuse them. */
export const loadFiles = async (settings: Settings): Promise<Loaded> => {
  const { loadParts } = await import('../../app.ts');
  const { loadCatalog } = await import('../../catalog.ts');
  const { loadConfig } = await import('../../config.ts');
  const config = await loadConfig(settings.configFile, undefined, settings.recoveryMode);
  if (!config.ok) throw new Misuse(refusedText(config.problems));
  const catalog = await loadCatalog({ config: config.value, ...(await loadParts()) });
  if (!catalog.ok) throw new Misuse(refusedText(catalog.problems));
  return { config: config.value, catalog: catalog.value };
};

/** Everything for an engine that decides again, and is gone when `use` is done. */
export const withScratch = async <T>(
  start: number,
  use: (scratch: {
    readonly store: Store;
    readonly clock: VirtualClock;
    readonly ids: Ids;
    readonly log: Log;
  }) => Promise<T>,
): Promise<T> => {
  const { createOrderedIds } = await import('../../replay/virtual.ts');
  const { createVirtualClock } = await import('../../replay/virtual-clock.ts');
  const { openScratchStore } = await import('../../app.ts');
  const { createLog } = await import('../../base/log.ts');
  const { createRedactor } = await import('../../base/secret.ts');
  const clock = createVirtualClock(start);
  const log = createLog('silent', createRedactor());
  const ids = createOrderedIds();
  const store = openScratchStore(clock, ids, log);
  try {
    return await use({ store, clock, ids, log });
  } finally {
    await store.close();
  }
};

/** A journal, with where it came from; bodies are read from it until it is closed. */
export type Recorded = Journal & { readonly name: string; readonly close: () => void };

export const EMPTY_JOURNAL: Journal = {
  deliveries: [],
  acts: [],
  outcomes: [],
  facts: [],
  retries: [],
  configs: [],
  texts: new Map(),
  problems: [],
};

/** The journal file that `--from` names. */
export const readJournalAt = async (path: string): Promise<Recorded> => {
  if (!(await stat(path).catch(() => null))?.isFile())
    throw new Misuse(`--from: ${path} is no file; amends journal export writes one`);
  const [{ readJournal }, { openJournalFile }] = await Promise.all([
    import('../../replay/journal.ts'),
    import('../../replay/journal-file.ts'),
  ]);
  const opened = openJournalFile(path);
  return { ...(await readJournal(opened.lines, path)), name: path, close: opened.close };
};
