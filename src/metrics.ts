// Every metric, made against a registry that is passed in. Label values come from closed sets alone, and the number of
// series has a ceiling: a label that a stranger can set must never decide how much memory amends or Prometheus needs.
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Clock } from './base/clock.ts';
import { formatDuration } from './base/duration.ts';
import type { StoreFigures } from './port/store.ts';
import type { Telemetry } from './port/telemetry.ts';
import { ORIGINS, REASONS } from './run/reasons.ts';

/** A scrape of 2,000 series takes about 17 ms of the thread that answers. */
const MOST_SERIES = 2_000;
const OTHER = 'other';
/** Enough that nobody finds another chain that ends so. */
const HEAD_DIGITS = 16;
const RECOVERY_BUCKETS = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900];
const STEP_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120];
const SECONDS = 1_000;

const RESULTS = { resolved: 'success', unresolved: 'failure', stuck: 'failure', withdrawn: 'withdrawn' } as const;

/** What only the store and the configuration know, read at a scrape. Times in milliseconds. */
export type Collected = {
  readonly store: StoreFigures;
  readonly halted: boolean;
  /** Names of modes that are on. */
  readonly degraded: readonly string[];
  /** Names of rules that did harm and now ask. */
  readonly demoted: readonly string[];
  readonly components: ReadonlyArray<{
    readonly name: string;
    readonly disabled: boolean;
    readonly attempts: ReadonlyArray<{ readonly window: number; readonly used: number; readonly limit: number }>;
    readonly cooldownUntil: number | null;
    readonly breakers: ReadonlyArray<{ readonly strategy: string; readonly open: boolean }>;
  }>;
};

/** Everything loaded that a label can name. */
export type Vocabulary = {
  readonly components: ReadonlyArray<{ readonly name: string; readonly strategies: readonly string[] }>;
  readonly rules: readonly string[];
  readonly degradedModes: readonly string[];
  readonly receivers: readonly string[];
};

export type Metrics = {
  readonly telemetry: Telemetry;
  /** Makes the series of what is loaded, at zero, so that the first failure is an increase. Again after a reload. */
  initialise(vocabulary: Vocabulary): void;
  reloaded(successful: boolean): void;
  /** Where the chain of the audit ends: how many rows it has, and the hash of the last. */
  auditHead(head: { readonly seq: number; readonly hash: string }): void;
  /** `route` is the pattern of a known route, or `other`. */
  request(route: string, status: number): void;
  /** The text of a scrape. What cannot be collected is left as it was, and `amends_store_up` says so. */
  text(): Promise<string>;
  readonly contentType: string;
};

export type MetricsOptions = {
  readonly registry: Registry;
  readonly clock: Pick<Clock, 'now'>;
  readonly version: string;
  collect(): Promise<Collected>;
};

export const createMetrics = (options: MetricsOptions): Metrics => {
  const { registry, clock } = options;
  const families = createFamilies(registry);
  const processes = createProcessMetrics(registry, clock);
  const modes = new Set<string>();
  const rules = new Set<string>();
  families.buildInfo.set({ version: options.version, node: process.version }, 1);
  return {
    telemetry: createTelemetry(families),
    initialise(vocabulary) {
      for (const mode of vocabulary.degradedModes) modes.add(mode);
      for (const rule of vocabulary.rules) rules.add(rule);
      initialise(families, vocabulary);
    },
    reloaded(successful) {
      families.reloadSuccessful.set({}, successful ? 1 : 0);
      if (successful) families.reloadAt.set({}, clock.now() / SECONDS);
    },
    auditHead({ seq, hash }) {
      // One series: the one before it goes, so that a hash that moves every minute does not make more of them.
      families.auditHead.reset();
      families.auditHead.set({ head: hash.slice(0, HEAD_DIGITS) }, 1);
      families.auditRows.set({}, seq);
    },
    request: (route, status) => families.requests.inc({ route, status: `${Math.floor(status / 100)}xx` }),
    async text() {
      try {
        const collected = await options.collect();
        for (const mode of collected.degraded) modes.add(mode);
        for (const mode of modes) families.degraded.set({ mode }, collected.degraded.includes(mode) ? 1 : 0);
        for (const rule of collected.demoted) rules.add(rule);
        for (const rule of rules) families.demoted.set({ rule }, collected.demoted.includes(rule) ? 1 : 0);
        showCollected(families, collected);
        families.storeUp.set({}, 1);
      } catch {
        families.storeUp.set({}, 0);
      }
      processes();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
};

type Labels<Name extends string> = Readonly<Record<Name, string>>;
type Kept<Name extends string> = (labels: Labels<Name>) => Labels<Name>;
type Series = { used: number };

/** A family lets a set of labels through while there is room; afterwards new ones become `other`. */
const keeper = <Name extends string>(series: Series, names: readonly Name[], each: number): Kept<Name> => {
  const seen = new Set<string>();
  const others = Object.fromEntries(names.map((name) => [name, OTHER])) as Labels<Name>;
  if (names.length > 0) series.used += each;
  return (labels) => {
    const key = JSON.stringify(names.map((name) => labels[name]));
    if (seen.has(key)) return labels;
    if (names.length > 0 && series.used + each > MOST_SERIES) return others;
    seen.add(key);
    series.used += each;
    return labels;
  };
};

const createFamilies = (registry: Registry) => {
  // The process' own, and room for what is made without labels.
  const series: Series = { used: 20 };
  const registers = [registry];
  const counter = <Name extends string = never>(name: string, help: string, labelNames: readonly Name[] = []) => {
    const metric = new Counter<Name>({ name, help, labelNames: [...labelNames], registers });
    const keep = keeper(series, labelNames, 1);
    return { inc: (labels: Labels<Name>, by = 1) => metric.inc(keep(labels), by) };
  };
  const gauge = <Name extends string = never>(name: string, help: string, labelNames: readonly Name[] = []) => {
    const metric = new Gauge<Name>({ name, help, labelNames: [...labelNames], registers });
    const keep = keeper(series, labelNames, 1);
    return {
      set: (labels: Labels<Name>, value: number) => metric.set(keep(labels), value),
      reset: () => metric.reset(),
    };
  };
  const histogram = <Name extends string>(
    name: string,
    help: string,
    labelNames: readonly Name[],
    buckets: readonly number[],
  ) => {
    const metric = new Histogram<Name>({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers });
    const keep = keeper(series, labelNames, buckets.length + 3);
    return { observe: (labels: Labels<Name>, value: number) => metric.observe(keep(labels), value) };
  };
  const run = ['component', 'strategy'] as const;
  return {
    deliveries: counter('amends_deliveries_total', 'Webhook posts by what became of them.', ['result']),
    alerts: counter('amends_alerts_total', 'Alert entries received, by status.', ['status']),
    unknownFields: counter('amends_unknown_fields_total', 'Fields of deliveries that amends does not know.'),
    lastDelivery: gauge('amends_last_delivery_timestamp_seconds', 'When the last delivery was accepted.'),
    watchdog: gauge('amends_watchdog_last_seen_timestamp_seconds', 'When the Watchdog alert was last seen.'),
    decisions: counter('amends_decisions_total', 'Decisions by reason and origin.', ['reason', 'origin']),
    ruleDecisions: counter('amends_rule_decisions_total', 'Decisions by the rule that won, and what came of it.', [
      'rule',
      'verdict',
    ]),
    started: counter('amends_runs_started_total', 'Runs that began.', run),
    runs: counter('amends_runs_total', 'Runs that ended, by outcome.', ['component', 'strategy', 'outcome']),
    ineffective: counter('amends_runs_ineffective_total', 'Verified runs whose alert did not stay quiet.', run),
    attempts: counter(
      'infra_recovery_attempts_total',
      'Recovery attempts that ended, by result, counted at verification.',
      ['component', 'strategy', 'result'],
    ),
    successes: counter('infra_recovery_success_total', 'Recovery attempts that were verified.', run),
    duration: histogram(
      'infra_recovery_duration_seconds',
      'From the start of a run to its end.',
      run,
      RECOVERY_BUCKETS,
    ),
    fromAlert: histogram(
      'amends_recovery_from_alert_seconds',
      'From the start of the alert to verified.',
      run,
      RECOVERY_BUCKETS,
    ),
    fromStart: histogram(
      'amends_recovery_from_start_seconds',
      'From the start of the run to verified.',
      run,
      RECOVERY_BUCKETS,
    ),
    steps: counter('amends_steps_total', 'Steps by action and result.', ['action', 'result']),
    stepDuration: histogram('amends_step_duration_seconds', 'How long steps take.', ['action'], STEP_BUCKETS),
    notifications: counter('amends_notifications_total', 'Tries to tell a human, by receiver and result.', [
      'receiver',
      'result',
    ]),
    requests: counter('amends_http_requests_total', 'Requests by route and class of status.', ['route', 'status']),
    attemptsUsed: gauge('amends_attempts_used', 'Attempts in the rolling window.', ['component', 'window']),
    attemptsLimit: gauge('amends_attempts_limit', 'The most attempts in the rolling window.', ['component', 'window']),
    cooldownEnd: gauge('amends_cooldown_end_timestamp_seconds', 'When the cooldown ends or ended; 0 without one.', [
      'component',
    ]),
    cooldown: gauge('infra_recovery_cooldown_active', 'Whether the component rests after an attempt.', ['component']),
    breakers: gauge(
      'amends_breaker_open',
      'Whether the strategy failed so often that it is only tried now and then.',
      run,
    ),
    demoted: gauge('amends_rule_demoted', 'Whether the rule was ineffective so often that it asks a human.', ['rule']),
    disabled: gauge('amends_component_disabled', 'Whether the component was disabled by a human.', ['component']),
    degraded: gauge('infra_degraded_mode_active', 'Whether the degraded mode is on.', ['mode']),
    halted: gauge('amends_halted', 'Whether everything stands still.'),
    approvals: gauge('amends_approvals_waiting', 'Runs that wait for an approval.'),
    outbox: gauge('amends_outbox_depth', 'Notifications that wait to be sent.'),
    inbox: gauge('amends_inbox_open', 'Entries of the inbox that wait for a human.'),
    episodes: gauge('amends_episodes_open', 'Episodes that are not closed.'),
    undecided: gauge('amends_alerts_undecided', 'Alerts that were received and not yet decided.'),
    oldestUndecided: gauge(
      'amends_oldest_undecided_timestamp_seconds',
      'When the oldest undecided alert was received; 0 without one.',
    ),
    storeBytes: gauge('amends_store_size_bytes', 'Size of the store.'),
    oldestDelivery: gauge(
      'amends_journal_oldest_timestamp_seconds',
      'When the oldest delivery that is kept was received; 0 without one.',
    ),
    auditHead: new Gauge({
      name: 'amends_audit_head_info',
      help: 'The beginning of the hash of the last row of the audit, looked at every minute.',
      labelNames: ['head'],
      registers,
    }),
    auditRows: gauge('amends_audit_rows', 'Rows of the audit, archives included, as of the same look.'),
    archivedRows: gauge('amends_audit_archived_rows', 'Rows of the audit that are in archives.'),
    archivedFiles: gauge('amends_audit_archives', 'Archives of the audit.'),
    archivedBytes: gauge('amends_audit_archive_size_bytes', 'Size of all archives of the audit as they were written.'),
    storeUp: gauge('amends_store_up', 'Whether the store answered the last scrape.'),
    probeSuccess: gauge('amends_probe_success', 'Whether the last run of the probe found everything well.', [
      'probe',
      'component',
      'target',
    ]),
    probeDuration: gauge('amends_probe_duration_seconds', 'How long the last run of the probe took.', [
      'probe',
      'component',
      'target',
    ]),
    probeAt: gauge('amends_probe_last_run_timestamp_seconds', 'When the probe last ran.', [
      'probe',
      'component',
      'target',
    ]),
    probeOutput: gauge('amends_probe_output', 'A number or truth that the probe found.', [
      'probe',
      'component',
      'target',
      'output',
    ]),
    reloadSuccessful: gauge('amends_config_last_reload_successful', 'Whether the last reload was taken.'),
    reloadAt: gauge('amends_config_last_reload_success_timestamp_seconds', 'When the last reload was taken.'),
    buildInfo: gauge('amends_build_info', 'Which amends this is.', ['version', 'node']),
  };
};

type Families = ReturnType<typeof createFamilies>;

const createTelemetry = (families: Families): Telemetry => ({
  delivery(result, at) {
    families.deliveries.inc({ result });
    if (result === 'accepted') families.lastDelivery.set({}, at / SECONDS);
  },
  alert: (status) => families.alerts.inc({ status }),
  unknownFields: (count) => families.unknownFields.inc({}, count),
  watchdog: (at) => families.watchdog.set({}, at / SECONDS),
  decision: (reason, origin) => families.decisions.inc({ reason, origin }),
  ruleDecision: (rule, verdict) => families.ruleDecisions.inc({ rule, verdict }),
  runStarted: (component, strategy) => families.started.inc({ component, strategy }),
  runEnded({ component, strategy, outcome, fromAlertMs, fromStartMs }) {
    const labels = { component, strategy };
    families.runs.inc({ ...labels, outcome });
    families.attempts.inc({ ...labels, result: RESULTS[outcome] });
    if (fromStartMs !== null) families.duration.observe(labels, fromStartMs / SECONDS);
    if (outcome !== 'resolved') return;
    families.successes.inc(labels);
    if (fromAlertMs !== null) families.fromAlert.observe(labels, fromAlertMs / SECONDS);
    if (fromStartMs !== null) families.fromStart.observe(labels, fromStartMs / SECONDS);
  },
  runIneffective: (component, strategy) => families.ineffective.inc({ component, strategy }),
  step(action, result, ms) {
    families.steps.inc({ action, result });
    families.stepDuration.observe({ action }, ms / SECONDS);
  },
  probe({ name, component, target }, { success, ms, at, outputs }) {
    const labels = { probe: name, component, target };
    families.probeSuccess.set(labels, success ? 1 : 0);
    families.probeDuration.set(labels, ms / SECONDS);
    families.probeAt.set(labels, at / SECONDS);
    for (const [output, value] of Object.entries(outputs)) {
      if (typeof value === 'number' && Number.isFinite(value)) families.probeOutput.set({ ...labels, output }, value);
      else if (typeof value === 'boolean') families.probeOutput.set({ ...labels, output }, value ? 1 : 0);
    }
  },
  notification: (receiver, result) => families.notifications.inc({ receiver, result }),
});

const initialise = (families: Families, vocabulary: Vocabulary): void => {
  for (const result of ['accepted', 'refused', 'overloaded', 'unauthorized']) families.deliveries.inc({ result }, 0);
  for (const status of ['firing', 'resolved', 'invalid']) families.alerts.inc({ status }, 0);
  for (const reason of REASONS) families.decisions.inc({ reason, origin: ORIGINS[0] }, 0);
  for (const mode of vocabulary.degradedModes) families.degraded.set({ mode }, 0);
  for (const { name: component, strategies } of vocabulary.components) {
    families.cooldown.set({ component }, 0);
    for (const strategy of strategies) {
      for (const result of ['success', 'failure', 'withdrawn'])
        families.attempts.inc({ component, strategy, result }, 0);
      families.started.inc({ component, strategy }, 0);
      families.successes.inc({ component, strategy }, 0);
      families.ineffective.inc({ component, strategy }, 0);
      families.breakers.set({ component, strategy }, 0);
      for (const outcome of Object.keys(RESULTS)) families.runs.inc({ component, strategy, outcome }, 0);
    }
  }
  for (const rule of vocabulary.rules) {
    families.demoted.set({ rule }, 0);
    for (const verdict of ['acted', 'held', 'shadow', 'escalated']) families.ruleDecisions.inc({ rule, verdict }, 0);
  }
  for (const receiver of vocabulary.receivers) {
    for (const result of ['sent', 'failed', 'dead']) families.notifications.inc({ receiver, result }, 0);
  }
};

const showCollected = (families: Families, { store, halted, components }: Collected): void => {
  families.approvals.set({}, store.approvalsWaiting);
  families.outbox.set({}, store.outboxDepth);
  families.inbox.set({}, store.inboxOpen);
  families.episodes.set({}, store.openEpisodes);
  families.undecided.set({}, store.undecided);
  families.oldestUndecided.set({}, (store.oldestUndecidedAt ?? 0) / SECONDS);
  families.storeBytes.set({}, store.bytes);
  families.oldestDelivery.set({}, (store.oldestDeliveryAt ?? 0) / SECONDS);
  families.archivedRows.set({}, store.archived.rows);
  families.archivedFiles.set({}, store.archived.files);
  families.archivedBytes.set({}, store.archived.bytes);
  families.halted.set({}, halted ? 1 : 0);
  for (const { name: component, disabled, attempts, cooldownUntil, breakers } of components) {
    for (const { strategy, open } of breakers) families.breakers.set({ component, strategy }, open ? 1 : 0);
    families.disabled.set({ component }, disabled ? 1 : 0);
    families.cooldownEnd.set({ component }, (cooldownUntil ?? 0) / SECONDS);
    families.cooldown.set({ component }, cooldownUntil === null ? 0 : 1);
    for (const { window, used, limit } of attempts) {
      families.attemptsUsed.set({ component, window: formatDuration(window) }, used);
      families.attemptsLimit.set({ component, window: formatDuration(window) }, limit);
    }
  }
};

/** prom-client's own defaults wake the process for the event loop's lag, and promtool objects to some of their names. */
const createProcessMetrics = (registry: Registry, clock: Pick<Clock, 'now'>): (() => void) => {
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
  started.set(Math.round(clock.now() / SECONDS - process.uptime()));
  let spent = 0;
  let last = performance.eventLoopUtilization();
  return () => {
    const { user, system } = process.cpuUsage();
    const total = (user + system) / 1_000_000;
    cpu.inc(total - spent);
    spent = total;
    memory.set(process.memoryUsage.rss());
    heap.set(process.memoryUsage().heapUsed);
    const now = performance.eventLoopUtilization();
    loop.set(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  };
};
