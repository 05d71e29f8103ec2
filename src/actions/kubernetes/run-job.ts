// Runs a job from the template of a declared cron job, once for a step: its name is derived from run and step, so that a
// second try finds the first one's job and waits for that.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { sha256 } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import type { Cluster } from './cluster.ts';
import { withCluster } from './cluster.ts';
import { need } from './permissions.ts';
import { cronJob, declared, namespace } from './connect.ts';
import type { CronJob, Job } from './shapes.ts';
import { conditionOf } from './shapes.ts';

const BY = 'amends/run';
const KEPT_SECONDS = 86_400;
const LONGEST_NAME = 40;
const UNANSWERED = 3;

const nameFor = (cron: string, marker: string): string =>
  `${cron.slice(0, LONGEST_NAME).replace(/[-.]+$/, '')}-amends-${sha256(marker).slice(0, 10)}`;

/** As kubectl create job --from=cronjob makes it, with an end to it. */
const jobOf = (cron: CronJob, name: string, space: string, marker: string, withinMs: number): JsonObject => {
  const { metadata, spec } = cron.spec.jobTemplate;
  const seconds = Math.max(1, Math.ceil(withinMs / 1_000));
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace: space,
      labels: metadata?.labels ?? {},
      annotations: { ...metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual', [BY]: marker },
    },
    spec: {
      ...(spec as JsonObject),
      activeDeadlineSeconds: Math.min(seconds, spec.activeDeadlineSeconds ?? seconds),
      ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished ?? KEPT_SECONDS,
    },
  };
};

/** False: an earlier try of this step has started it. */
const startOnce = async (
  cluster: Cluster,
  { namespace: space, cronjob }: { readonly namespace: string; readonly cronjob: string },
  name: string,
  withinMs: number,
  marker: string,
): Promise<boolean> => {
  const isOurs = (job: Job): boolean => {
    if (job.metadata.annotations[BY] === marker) return true;
    throw new ActionError('permanent', `nothing was done: the job ${name} is there, and not of this step`);
  };
  const there = await cluster.job(space, name);
  if (there !== null) return !isOurs(there);
  const cron = await cluster.cronJob(space, cronjob);
  const active = cron.status.active.map((one) => one.name ?? '');
  if (active.length > 0 && cron.spec.concurrencyPolicy !== 'Allow')
    throw new ActionError(
      'permanent',
      `nothing was done: ${active.slice(0, 5).join(', ')} of the cron job ${cronjob} runs, and it allows one at a time`,
    );
  if (cron.spec.jobTemplate.spec['suspend'] === true)
    throw new ActionError(
      'permanent',
      `nothing was done: jobs of the cron job ${cronjob} are suspended from the start`,
    );
  if (await cluster.createJob(space, name, jobOf(cron, name, space, marker, withinMs))) return true;
  const other = await cluster.job(space, name);
  return other === null || !isOurs(other);
};

type Ended = { readonly job: Job; readonly ok: boolean; readonly why: string };

/** Null: it still runs after `withinMs`. */
const untilEnded = async (
  cluster: Cluster,
  space: string,
  name: string,
  withinMs: number,
  { clock, signal }: ActionContext,
  everyMs: number,
): Promise<Ended | null> => {
  const until = clock.monotonic() + withinMs;
  let unanswered = 0;
  for (;;) {
    const job = await cluster.job(space, name).catch((error: unknown) => {
      unanswered += 1;
      if (!(error instanceof ActionError) || error.kind !== 'retryable' || signal.aborted || unanswered > UNANSWERED)
        throw error;
      return undefined;
    });
    if (job === null) throw new Error('it was deleted before it had ended');
    if (job !== undefined) {
      unanswered = 0;
      if (conditionOf(job, 'Complete')?.status === 'True') return { job, ok: true, why: '' };
      const failed = conditionOf(job, 'Failed');
      if (failed?.status === 'True')
        return { job, ok: false, why: `${failed.reason ?? 'Failed'}: ${(failed.message ?? '').slice(0, 300)}` };
    }
    if (clock.monotonic() >= until) return null;
    await clock.sleep(everyMs, signal);
  }
};

export default defineAction({
  summary: 'Runs a job from the template of a declared cron job, once for a step, and waits until it has ended well.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ namespace, cronjob: cronJob }),
    /** From its start to its end; the cluster ends it then. */
    within: duration.refine((ms) => ms >= 1_000 && ms <= 86_400_000, { message: 'from 1s to 24h' }).default(300_000),
    every: duration.refine((ms) => ms >= 50, { message: 'at least 50ms' }).default(1_000),
  }),
  outputs: {
    job: 'its name',
    started: 'this try has started it; false: an earlier try of the same step had',
    succeeded: 'how many of its pods ended well',
    failed: 'how many did not',
    duration_seconds: 'how long this try has waited for it, in seconds',
  },
  undo: 'only the runbook knows: give the step an `undo` if what the job does has an opposite',
  defaultTimeout: 330_000,
  run: ({ connect, within, every }, context) => {
    const { namespace: space, cronjob } = connect;
    const needs = [need.cronJob(space, cronjob), need.jobs('get', space), need.jobs('create', space)];
    const name = nameFor(cronjob, context.marker);
    return withCluster(connect, context, needs, async (cluster) => {
      const start = context.clock.monotonic();
      const started = await startOnce(cluster, connect, name, within, context.marker);
      let ended: Ended | null;
      try {
        ended = await untilEnded(cluster, space, name, within, context, every);
      } catch (error) {
        throw new ActionError(
          'indeterminate',
          `the job ${name} was started, and what became of it could not be seen: ${(error as Error).message}`,
          { cause: error, outputs: { job: name, started } },
        );
      }
      const waited = Math.round(context.clock.monotonic() - start) / 1_000;
      const { succeeded = 0, failed = 0 } = ended?.job.status ?? {};
      const outputs = { job: name, started, succeeded, failed, duration_seconds: waited };
      if (ended === null)
        throw new ActionError('indeterminate', `the job ${name} has not ended within ${within} ms`, { outputs });
      if (ended.ok) return { outputs };
      throw new ActionError(
        'permanent',
        `the job ${name} failed: ${ended.why}; mend: kubectl -n ${space} logs job/${name}`,
        { outputs },
      );
    });
  },
});
