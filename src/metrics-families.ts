// The families of metrics: names, help, labels, buckets. Names and labels are for ever, since rules and dashboards that we
// never see depend on them. A label that a stranger can set must never decide how much memory amends or Prometheus needs:
// past the ceiling a new set of labels is counted as `other`.
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

/** A scrape of so many takes a few milliseconds of the thread that answers. */
const MOST_SERIES = 2_000;
/** So far goes what is made at zero beforehand: requests and probes come later, and are not to push it out again. */
const MOST_SPARE_SERIES = 1_800;
const OTHER = 'other';
/** From a lock that is let go of to a restore that takes an afternoon. */
const RECOVERY_BUCKETS = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3_600, 14_400];
const STEP_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120];
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

type Labels<Name extends string> = Readonly<Record<Name, string>>;
type Keeper<Name extends string> = {
  keep(this: void, labels: Labels<Name>): Labels<Name>;
  forget(this: void, labels: Labels<Name>): void;
};
/** `spare`: what stands at zero because it may happen; it makes room for what did happen, the last made first. */
type Series = { used: number; readonly spare: Map<string, () => void> };

const makeRoom = (series: Series, wanted: number): boolean => {
  while (series.used + wanted > MOST_SERIES) {
    const last = [...series.spare].at(-1);
    if (last === undefined) return false;
    const [name, giveUp] = last;
    series.spare.delete(name);
    giveUp();
  }
  return true;
};

/** A family lets a set of labels through while there is room; afterwards new ones become `other`. */
const keeper = <Name extends string>(series: Series, names: readonly Name[], each: number): Keeper<Name> => {
  const seen = new Set<string>();
  const others = Object.fromEntries(names.map((name) => [name, OTHER])) as Labels<Name>;
  series.used += each;
  const keyOf = (labels: Labels<Name>): string => JSON.stringify(names.map((name) => labels[name]));
  return {
    keep(labels) {
      if (names.length === 0) return labels;
      const key = keyOf(labels);
      if (seen.has(key)) return labels;
      if (!makeRoom(series, each)) return others;
      seen.add(key);
      series.used += each;
      return labels;
    },
    forget(labels) {
      if (seen.delete(keyOf(labels))) series.used -= each;
    },
  };
};

/** How families are made against a registry, all of them under one ceiling. */
const createMakers = (registry: Registry) => {
  // The process' own.
  const series: Series = { used: 10, spare: new Map() };
  const registers = [registry];
  const counter = <Name extends string = never>(name: string, help: string, labelNames: readonly Name[] = []) => {
    const metric = new Counter<Name>({ name, help, labelNames: [...labelNames], registers });
    const { keep } = keeper(series, labelNames, 1);
    return { inc: (labels: Labels<Name>, by = 1) => metric.inc(keep(labels), by) };
  };
  const gauge = <Name extends string = never>(name: string, help: string, labelNames: readonly Name[] = []) => {
    const metric = new Gauge<Name>({ name, help, labelNames: [...labelNames], registers });
    const { keep } = keeper(series, labelNames, 1);
    return {
      set: (labels: Labels<Name>, value: number) => metric.set(keep(labels), value),
      remove: (labels: Labels<Name>) => metric.remove(labels),
      /** Forgets every series, so that nothing is told any more of what is no longer there. */
      reset: () => metric.reset(),
    };
  };
  const histogram = <Name extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Name[] = [],
  ) => {
    const metric = new Histogram<Name>({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers });
    // With `+Inf`, the sum and the count.
    const each = buckets.length + 3;
    const { keep, forget } = keeper(series, labelNames, each);
    const there = new Set<string>();
    /** There is something to tell of it. */
    const claim = (labels: Labels<Name>): { kept: Labels<Name>; isNew: boolean } => {
      const kept = keep(labels);
      const key = JSON.stringify(kept);
      series.spare.delete(`${name} ${key}`);
      const isNew = labelNames.length > 0 && !there.has(key);
      if (isNew) there.add(key);
      return { kept, isNew };
    };
    return {
      observe: (labels: Labels<Name>, value: number) => metric.observe(claim(labels).kept, value),
      /** Makes the series, at zero, unless it is there. */
      ensure(labels: Labels<Name>) {
        const { kept, isNew } = claim(labels);
        if (isNew) metric.zero(kept);
      },
      /** The same where there is room to spare, until something else needs it. */
      offer(labels: Labels<Name>) {
        const key = JSON.stringify(labels);
        if (there.has(key) || series.used + each > MOST_SPARE_SERIES) return;
        metric.zero(keep(labels));
        there.add(key);
        series.spare.set(`${name} ${key}`, () => {
          metric.remove(labels);
          there.delete(key);
          forget(labels);
        });
      },
    };
  };
  /** One series, whose labels say what is in force; others take its place. */
  const info = <Name extends string>(name: string, help: string, labelNames: readonly Name[]) => {
    const metric = new Gauge<Name>({ name, help, labelNames: [...labelNames], registers });
    series.used += 1;
    return {
      show(labels: Labels<Name>) {
        metric.reset();
        metric.set(labels, 1);
      },
    };
  };
  return { counter, gauge, histogram, info };
};

type Makers = ReturnType<typeof createMakers>;

export const createFamilies = (registry: Registry) => {
  const makers = createMakers(registry);
  return { ...recoveries(makers), ...intake(makers), ...present(makers), ...own(makers) };
};

export type Families = ReturnType<typeof createFamilies>;

const RUN = ['component', 'strategy'] as const;
const PROBE = ['probe', 'component', 'target'] as const;

const recoveries = ({ counter, histogram }: Makers) => ({
  attempts: counter(
    'infra_recovery_attempts_total',
    'Recovery attempts that ended, by result, counted at verification.',
    ['component', 'strategy', 'result'],
  ),
  successes: counter('infra_recovery_success_total', 'Recovery attempts that were verified.', RUN),
  duration: histogram(
    'infra_recovery_duration_seconds',
    'From the start of a run to its end, whatever it came to.',
    RECOVERY_BUCKETS,
    RUN,
  ),
  fromAlert: histogram(
    'amends_recovery_from_alert_seconds',
    "From the start of the alert to verified. The alert starts when Prometheus has waited for its rule's `for`, so that time came before and is not in it.",
    RECOVERY_BUCKETS,
    RUN,
  ),
  fromStart: histogram(
    'amends_recovery_from_start_seconds',
    'From the start of the run to verified.',
    RECOVERY_BUCKETS,
    RUN,
  ),
  started: counter('amends_runs_started_total', 'Runs that began.', RUN),
  runs: counter('amends_runs_total', 'Runs that ended, by outcome.', ['component', 'strategy', 'outcome']),
  ineffective: counter('amends_runs_ineffective_total', 'Verified runs whose alert did not stay quiet.', RUN),
  steps: counter('amends_steps_total', 'Steps by action and result.', ['action', 'result']),
  stepDuration: histogram('amends_step_duration_seconds', 'How long steps take.', STEP_BUCKETS, ['action']),
  verifications: counter('amends_verifications_total', 'Verifications that ended, by result.', [
    'component',
    'strategy',
    'result',
  ]),
  verificationDuration: histogram(
    'amends_verification_duration_seconds',
    'How long verifications take, whatever they come to.',
    RECOVERY_BUCKETS,
  ),
});

const intake = ({ counter, gauge, histogram }: Makers) => ({
  deliveries: counter('amends_deliveries_total', 'Webhook posts by what became of them.', ['result']),
  acknowledged: histogram(
    'amends_delivery_duration_seconds',
    'From the arrival of an accepted post to its answer, which comes after the commit.',
    LATENCY_BUCKETS,
  ),
  alerts: counter('amends_alerts_total', 'Alert entries received, by status.', ['status']),
  unknownFields: counter('amends_unknown_fields_total', 'Fields of deliveries that amends does not know.'),
  lastDelivery: gauge('amends_last_delivery_timestamp_seconds', 'When the last delivery was accepted; 0 before one.'),
  watchdog: gauge(
    'amends_watchdog_last_seen_timestamp_seconds',
    'When the Watchdog alert was last seen; 0 before it was.',
  ),
  decisions: counter('amends_decisions_total', 'Decisions by reason and origin.', ['reason', 'origin']),
  ruleDecisions: counter('amends_rule_decisions_total', 'Decisions by the rule that won, and what came of it.', [
    'rule',
    'verdict',
  ]),
  decided: histogram(
    'amends_decision_delay_seconds',
    'From when an alert was received to when its decision was committed.',
    LATENCY_BUCKETS,
  ),
  admission: histogram(
    'amends_admission_duration_seconds',
    'One transaction in which decisions pass the guards or fail them.',
    LATENCY_BUCKETS,
  ),
});

const present = ({ gauge }: Makers) => ({
  attemptsUsed: gauge('amends_attempts_used', 'Attempts in the rolling window.', ['component', 'window']),
  attemptsLimit: gauge('amends_attempts_limit', 'The most attempts in the rolling window.', ['component', 'window']),
  cooldownEnd: gauge('amends_cooldown_end_timestamp_seconds', 'When the cooldown ends; 0 without one.', ['component']),
  cooldown: gauge('infra_recovery_cooldown_active', 'Whether the component rests after an attempt.', ['component']),
  breakers: gauge(
    'amends_breaker_open',
    'Whether the strategy failed so often that it is only tried now and then.',
    RUN,
  ),
  storm: gauge(
    'amends_storm_active',
    'Whether so many targets of the component fail at once that nothing is done about any; * is a storm over several components.',
    ['component'],
  ),
  demoted: gauge('amends_rule_demoted', 'Whether the rule was ineffective so often that it asks a human.', ['rule']),
  disabled: gauge('amends_component_disabled', 'Whether the component was disabled by a human.', ['component']),
  degraded: gauge('infra_degraded_mode_active', 'Whether the degraded mode is on.', ['mode']),
  halted: gauge('amends_halted', 'Whether everything stands still.'),
  approvals: gauge('amends_approvals_waiting', 'Runs that wait for an approval.'),
  inbox: gauge('amends_inbox_open', 'Entries of the inbox that wait for a human.'),
  escalations: gauge(
    'amends_escalations_open',
    'Escalations that wait for a human, whatever they come from: a rule, a run, a guard; * is of no single component.',
    ['component'],
  ),
  episodes: gauge('amends_episodes_open', 'Episodes that are not closed.'),
  undecided: gauge('amends_alerts_undecided', 'Alerts that were received and not yet decided.'),
  oldestUndecided: gauge(
    'amends_oldest_undecided_timestamp_seconds',
    'When the oldest undecided alert was received; 0 without one.',
  ),
  probeSuccess: gauge('amends_probe_success', 'Whether the last run of the probe found everything well.', PROBE),
  probeDuration: gauge('amends_probe_duration_seconds', 'How long the last run of the probe took.', PROBE),
  probeAt: gauge('amends_probe_last_run_timestamp_seconds', 'When the probe last ran.', PROBE),
  probeOutput: gauge('amends_probe_output', 'A number or truth that the probe found.', [...PROBE, 'output']),
});

const own = ({ counter, gauge, histogram, info }: Makers) => ({
  outbox: gauge('amends_outbox_depth', 'Notifications that wait to be sent.'),
  oldestOutbox: gauge(
    'amends_outbox_oldest_timestamp_seconds',
    'Since when the oldest notification has waited to be sent; 0 without one.',
  ),
  notifications: counter('amends_notifications_total', 'Tries to tell a human, by receiver and result.', [
    'receiver',
    'result',
  ]),
  requests: counter('amends_http_requests_total', 'Requests by route and class of status.', ['route', 'status']),
  storeUp: gauge('amends_store_up', 'Whether the store answered the last scrape.'),
  storeBytes: gauge('amends_store_size_bytes', 'Size of the store.'),
  oldestDelivery: gauge(
    'amends_journal_oldest_timestamp_seconds',
    'When the oldest delivery that is kept was received; 0 without one.',
  ),
  auditHead: info(
    'amends_audit_head_info',
    'The beginning of the hash of the last row of the audit, looked at every minute.',
    ['head'],
  ),
  auditRows: gauge('amends_audit_rows', 'Rows of the audit, archives included, as of the same look.'),
  archivedRows: gauge('amends_audit_archived_rows', 'Rows of the audit that are in archives.'),
  archivedFiles: gauge('amends_audit_archives', 'Archives of the audit.'),
  archivedBytes: gauge('amends_audit_archive_size_bytes', 'Size of all archives of the audit as they were written.'),
  commit: histogram('amends_store_commit_duration_seconds', 'How long commits of the store take.', LATENCY_BUCKETS),
  reloadSuccessful: gauge('amends_config_last_reload_successful', 'Whether the last reload was taken.'),
  reloadAt: gauge('amends_config_last_reload_success_timestamp_seconds', 'When the last reload was taken.'),
  configInfo: info(
    'amends_config_info',
    'What is loaded: digests of the configuration and of all rules and runbooks, and the git commit of their folder, empty outside of a repository.',
    ['config', 'catalog', 'revision'],
  ),
  buildInfo: info('amends_build_info', 'Which amends this is.', ['version', 'node']),
});

/** What is read from the process at a scrape. prom-client's own defaults wake it for the event loop's lag, and promtool objects to some of their names. */
export const createProcessMetrics = (registry: Registry, now: () => number): (() => void) => {
  const registers = [registry];
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Time of the processor, user and system.',
    registers,
  });
  const memory = new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.', registers });
  const heap = new Gauge({ name: 'nodejs_heap_used_bytes', help: 'Used part of the JavaScript heap.', registers });
  const started = new Gauge({ name: 'process_start_time_seconds', help: 'When the process began.', registers });
  const loop = new Gauge({
    name: 'nodejs_eventloop_utilization_ratio',
    help: 'How busy the event loop was since the last scrape.',
    registers,
  });
  started.set(Math.round(now() / 1_000 - process.uptime()));
  let spent = 0;
  let last = performance.eventLoopUtilization();
  return () => {
    const { user, system } = process.cpuUsage();
    const total = (user + system) / 1_000_000;
    cpu.inc(total - spent);
    spent = total;
    memory.set(process.memoryUsage.rss());
    heap.set(process.memoryUsage().heapUsed);
    const current = performance.eventLoopUtilization();
    loop.set(performance.eventLoopUtilization(current, last).utilization);
    last = current;
  };
};
