// What time does by itself: questions are brought up again and expire, verified runs settle, quiet episodes close, old
// records go.
import type { SettlingRun } from '../port/store.ts';
import { archiveSlice } from './archive.ts';
import { closeWhatIsOver } from './causes.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { lookAtQuestions } from './questions.ts';
import { createUpdates } from './updates.ts';
import { declareIneffective, withdrawResolved } from './withdraw.ts';

/** Nothing it looks after is a matter of a second, and each look costs a transaction. */
const EVERY_MS = 5_000;
/** A source that does not answer is asked in vain for its whole time. */
const CAUSES_EVERY_MS = 15_000;
const PRUNE_EVERY_MS = 3_600_000;
const ARCHIVE_EVERY_MS = 3_600_000;
const FIRST_ARCHIVE_MS = 300_000;
const PRUNE_ROWS = 1_000;
const DAY_MS = 86_400_000;
/** Of one target; an episode each for alerts that differ in more than their pods. */
const MOST_EPISODES = 500;

export const createJanitor = (context: EngineContext): Loop & { tick(): Promise<void> } => {
  const { store, clock } = context;
  const updates = createUpdates(context);
  let prunedAt = Number.NEGATIVE_INFINITY;
  let lookedAt = Number.NEGATIVE_INFINITY;
  // A start has enough to do.
  let archivedAt = clock.monotonic() - ARCHIVE_EVERY_MS + FIRST_ARCHIVE_MS;

  const tick = async (): Promise<void> => {
    // To tell people is no act: a halt does not keep it from them.
    await updates.tick();
    if (context.halt.reason() !== null || (await store.controls()).halt.on) return;
    await lookAtQuestions(context);
    await lookAtSettling();
    await sweep();
    await closeCauses();
    await prune();
    await archive();
  };

  /** At the end of its time a verified run's alert must be quiet, under whatever other labels it may have come back. */
  const lookAtSettling = async (): Promise<void> => {
    for (const run of await store.settledRuns(clock.now())) {
      if (await stillFires(run))
        await declareIneffective(context, run, 'the alert did not go quiet while the run was settling', () => true);
      else await store.endSettling(run.id);
    }
  };

  const stillFires = async (run: SettlingRun): Promise<boolean> => {
    const alert = (await store.run(run.id))?.plan.alert ?? null;
    const filters = { state: 'firing', kind: run.kind, target: run.target };
    const { items } = await store.list('episodes', { limit: MOST_EPISODES, cursor: null, filters, since: null });
    for (const episode of items) {
      const same = episode.id === run.episodeId || episode.labels['alertname'] === alert?.labels['alertname'];
      // One that began later is another matter: this look may come late, after a halt or a stop.
      if (!same || episode.startsAt > run.settleUntil) continue;
      // Alertmanager may have it resolved without our having heard; what nobody can say counts as firing.
      const { state } = await context.sources.alert(episode.labels, episode.source);
      if (state !== 'absent') return true;
    }
    return false;
  };

  const sweep = async (): Promise<void> => {
    const { config } = context.loaded();
    const policyOf = (component: string | null) =>
      (component === null ? undefined : config.components.get(component))?.policy ?? config.recovery;
    const { expired } = await store.sweepEpisodes(
      clock.now(),
      (component) => policyOf(component).resolveHold,
      (component) => policyOf(component).episodeTtl,
    );
    for (const episodeId of expired)
      await withdrawResolved(context, episodeId, 'the alert was not heard of for its time to live');
  };

  const closeCauses = async (): Promise<void> => {
    if (clock.monotonic() - lookedAt < CAUSES_EVERY_MS) return;
    await closeWhatIsOver(context);
    lookedAt = clock.monotonic();
  };

  const prune = async (): Promise<void> => {
    if (clock.monotonic() - prunedAt < PRUNE_EVERY_MS) return;
    const before = clock.now() - context.loaded().config.journalRetentionDays * DAY_MS;
    if ((await store.prune(before, PRUNE_ROWS)) < PRUNE_ROWS) prunedAt = clock.monotonic();
  };

  /** A slice a tick as long as there is one: a day's rows are some seconds' work, and nothing waits for it. */
  const archive = async (): Promise<void> => {
    if (clock.monotonic() - archivedAt < ARCHIVE_EVERY_MS) return;
    if (!(await archiveSlice(context))) archivedAt = clock.monotonic();
  };

  return { ...createLoop({ name: 'janitor', clock, everyMs: EVERY_MS, log: context.log, tick }), tick };
};
