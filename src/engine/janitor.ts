// What time does by itself: approvals remind, escalate and expire, verified runs settle, quiet episodes close, old
// records go.
import { formatDuration } from '../base/duration.ts';
import type { RunRow } from '../port/store.ts';
import { stepOf } from '../run/asked.ts';
import { haltedSince } from '../run/halted.ts';
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { record } from './record.ts';
import { declareIneffective, endNow, withdrawResolved } from './withdraw.ts';

const EVERY_MS = 1_000;
const PRUNE_EVERY_MS = 3_600_000;
const PRUNE_ROWS = 1_000;
const DAY_MS = 86_400_000;

export const createJanitor = (context: EngineContext): Loop & { tick(): Promise<void> } => {
  const { store, clock } = context;
  /** How often each open question was brought up again: reminders are a courtesy and may repeat after a restart. */
  const reminded = new Map<string, 'asked' | 'reminded' | 'escalated'>();
  let prunedAt = Number.NEGATIVE_INFINITY;

  const tick = async (): Promise<void> => {
    if (context.halt.reason() !== null || (await store.controls()).halt.on) return;
    await lookAtQuestions();
    await lookAtSettling();
    await sweep();
    await prune();
  };

  const lookAtQuestions = async (): Promise<void> => {
    const waiting = (await store.activeRuns()).filter((run) => run.state === 'awaiting_approval');
    for (const id of reminded.keys()) if (!waiting.some((run) => run.id === id)) reminded.delete(id);
    for (const run of waiting) await lookAtQuestion(run);
  };

  const lookAtQuestion = async (run: RunRow): Promise<void> => {
    await record(context, run.id, null, (view, state) => {
      const { asked } = state;
      if (state.name !== 'awaiting_approval' || asked === null) return null;
      const stoodStill = haltedSince(view.history.halt, asked.at, view.now);
      if (view.now - stoodStill >= asked.expiresAt) {
        if (asked.step !== null) {
          return {
            events: [{ type: 'expired', step: asked.step }],
            writes: [
              { type: 'inbox.close_for_run', runId: run.id, kind: 'approval', by: 'amends', comment: 'expired' },
            ],
          };
        }
        return endNow(
          context,
          view,
          state,
          [{ type: 'expired', step: null }],
          'withdrawn',
          'expired',
          `nobody answered within ${formatDuration(asked.expiresAt - asked.at)}`,
        );
      }
      const { remind, escalate } = view.plan.policy.approval;
      const age = view.now - asked.at - stoodStill;
      const level = age >= escalate ? 'escalated' : age >= remind ? 'reminded' : 'asked';
      const before = reminded.get(run.id) ?? 'asked';
      if (level === before || level === 'asked' || before === 'escalated') return null;
      reminded.set(run.id, level);
      const severity = level === 'escalated' ? 'SEV2' : view.plan.runbook.severity;
      const notify: Write = {
        type: 'notify',
        id: context.ids.next(),
        topic: level === 'escalated' ? 'approval_escalated' : 'approval_reminder',
        receiver: null,
        severity,
        component: run.component,
        target: run.target,
        runId: run.id,
        title: `Still waiting for an answer: ${asked.question}`,
        body: `${stepOf(asked)}; expires in ${formatDuration(asked.expiresAt - view.now)}`,
      };
      return { events: [], writes: [notify] };
    });
  };

  /** At the end of its time a verified run's alert must be quiet. */
  const lookAtSettling = async (): Promise<void> => {
    const now = clock.now();
    for (const run of await store.settlingRuns()) {
      if ((run.settleUntil ?? 0) > now) continue;
      const episode = run.episodeId === null ? null : await store.episode(run.episodeId);
      if (episode?.state === 'firing')
        await declareIneffective(context, run, 'the alert did not go quiet while the run was settling', () => true);
      else await store.endSettling(run.id);
    }
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

  const prune = async (): Promise<void> => {
    if (clock.monotonic() - prunedAt < PRUNE_EVERY_MS) return;
    const before = clock.now() - context.loaded().config.journalRetentionDays * DAY_MS;
    if ((await store.prune(before, PRUNE_ROWS)) < PRUNE_ROWS) prunedAt = clock.monotonic();
  };

  return { ...createLoop({ name: 'janitor', clock, everyMs: EVERY_MS, log: context.log, tick }), tick };
};
