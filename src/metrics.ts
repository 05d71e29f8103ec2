// Every metric, made against a registry that is passed in: what the engine tells becomes counters, what the store knows
// becomes gauges at a scrape. Label values come from closed sets alone.
import type { Registry } from 'prom-client';
import type { Clock } from './base/clock.ts';
import { formatDuration } from './base/duration.ts';
import { createFamilies, createProcessMetrics } from './metrics-families.ts';
import type { Families } from './metrics-families.ts';
import type { StoreFigures } from './port/record.ts';
import type { Telemetry } from './port/telemetry.ts';
import { ORIGINS, REASONS } from './run/reasons.ts';

/** Enough that nobody finds another chain that ends so. */
const HEAD_DIGITS = 16;
const SECONDS = 1_000;
/** In the place of a component: several of them, or none. */
const NO_SINGLE_ONE = '*';

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
  /** What steps of the runbooks of these components use. */
  readonly actions: readonly string[];
  readonly probes: ReadonlyArray<{ readonly probe: string; readonly component: string; readonly target: string }>;
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
  /** By digest, and the commit where there is one. */
  loaded(what: { readonly config: string; readonly catalog: string; readonly revision: string | null }): void;
  /** How long a commit of the store took, in milliseconds. */
  committed(ms: number): void;
  /** How a probe went last, since amends started; null: not yet. */
  lastProbe(probe: ProbeLabels): { readonly success: boolean; readonly at: number } | null;
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
  const processes = createProcessMetrics(registry, () => clock.now());
  const probes = createProbeSeries(families);
  const modes = new Set<string>();
  const rules = new Set<string>();
  families.buildInfo.show({ version: options.version, node: process.version });
  return {
    telemetry: createTelemetry(families, probes.show),
    initialise(vocabulary) {
      for (const mode of vocabulary.degradedModes) modes.add(mode);
      for (const rule of vocabulary.rules) rules.add(rule);
      initialise(families, vocabulary);
      probes.only(vocabulary.probes);
    },
    reloaded(successful) {
      families.reloadSuccessful.set({}, successful ? 1 : 0);
      if (successful) families.reloadAt.set({}, clock.now() / SECONDS);
    },
    auditHead({ seq, hash }) {
      families.auditHead.show({ head: hash.slice(0, HEAD_DIGITS) });
      families.auditRows.set({}, seq);
    },
    loaded: ({ config, catalog, revision }) => families.configInfo.show({ config, catalog, revision: revision ?? '' }),
    committed: (ms) => families.commit.observe({}, ms / SECONDS),
    lastProbe: probes.last,
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

type ProbeLabels = Vocabulary['probes'][number];

/** What probes found; a probe that a reload took away is told of no more, since nobody would ever mend its last word. */
const createProbeSeries = (families: Families) => {
  const shown = new Map<
    string,
    { readonly labels: ProbeLabels; readonly outputs: Set<string>; readonly last: { success: boolean; at: number } }
  >();
  const nameOf = ({ probe, component, target }: ProbeLabels): string => JSON.stringify([probe, component, target]);
  const show: Telemetry['probe'] = ({ name: probe, component, target }, { success, ms, at, outputs }) => {
    const labels = { probe, component, target };
    const last = { success, at };
    const known = { labels, outputs: shown.get(nameOf(labels))?.outputs ?? new Set<string>(), last };
    shown.set(nameOf(labels), known);
    families.probeSuccess.set(labels, success ? 1 : 0);
    families.probeDuration.set(labels, ms / SECONDS);
    families.probeAt.set(labels, at / SECONDS);
    for (const [output, value] of Object.entries(outputs)) {
      const figure = typeof value === 'boolean' ? Number(value) : value;
      if (typeof figure !== 'number' || !Number.isFinite(figure)) continue;
      known.outputs.add(output);
      families.probeOutput.set({ ...labels, output }, figure);
    }
  };
  return {
    show,
    last: (labels: ProbeLabels) => shown.get(nameOf(labels))?.last ?? null,
    only(declared: readonly ProbeLabels[]) {
      const stay = new Set(declared.map(nameOf));
      for (const [name, { labels, outputs }] of shown) {
        if (stay.has(name)) continue;
        shown.delete(name);
        for (const family of [families.probeSuccess, families.probeDuration, families.probeAt]) family.remove(labels);
        for (const output of outputs) families.probeOutput.remove({ ...labels, output });
      }
    },
  };
};

const createTelemetry = (families: Families, probe: Telemetry['probe']): Telemetry => ({
  delivery(result, at) {
    families.deliveries.inc({ result });
    if (result === 'accepted') families.lastDelivery.set({}, at / SECONDS);
  },
  acknowledged: (ms) => families.acknowledged.observe({}, ms / SECONDS),
  alert: (status) => families.alerts.inc({ status }),
  unknownFields: (count) => families.unknownFields.inc({}, count),
  watchdog: (at) => families.watchdog.set({}, at / SECONDS),
  decision: (reason, origin) => families.decisions.inc({ reason, origin }),
  decided: (ms) => families.decided.observe({}, ms / SECONDS),
  admission: (ms) => families.admission.observe({}, ms / SECONDS),
  ruleDecision: (rule, verdict) => families.ruleDecisions.inc({ rule, verdict }),
  runStarted(component, strategy) {
    families.started.inc({ component, strategy });
    zeroTimes(families, { component, strategy });
  },
  runEnded({ component, strategy, outcome, fromAlertMs, fromStartMs, durationMs }) {
    const labels = { component, strategy };
    families.runs.inc({ ...labels, outcome });
    families.attempts.inc({ ...labels, result: RESULTS[outcome] });
    if (durationMs !== null) families.duration.observe(labels, durationMs / SECONDS);
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
  verification({ component, strategy, passed, ms }) {
    families.verifications.inc({ component, strategy, result: passed ? 'passed' : 'failed' });
    families.verificationDuration.observe({}, ms / SECONDS);
  },
  probe,
  notification: (receiver, result) => families.notifications.inc({ receiver, result }),
});

/** At zero before the first of them is over, so that it is an increase; what was observed stays. */
const zeroTimes = (families: Families, run: { readonly component: string; readonly strategy: string }): void => {
  for (const family of [families.duration, families.fromAlert, families.fromStart]) family.ensure(run);
};

const initialise = (families: Families, vocabulary: Vocabulary): void => {
  for (const result of ['accepted', 'refused', 'overloaded', 'unauthorized']) families.deliveries.inc({ result }, 0);
  for (const status of ['firing', 'resolved', 'invalid']) families.alerts.inc({ status }, 0);
  for (const origin of ORIGINS) for (const reason of REASONS) families.decisions.inc({ reason, origin }, 0);
  for (const mode of vocabulary.degradedModes) families.degraded.set({ mode }, 0);
  initialiseRuns(families, vocabulary);
  for (const rule of vocabulary.rules) {
    families.demoted.set({ rule }, 0);
    for (const verdict of ['acted', 'held', 'shadow', 'escalated']) families.ruleDecisions.inc({ rule, verdict }, 0);
  }
  for (const action of vocabulary.actions) {
    for (const result of ['succeeded', 'failed', 'unknown']) families.steps.inc({ action, result }, 0);
  }
  for (const receiver of vocabulary.receivers)
    for (const result of ['sent', 'failed']) families.notifications.inc({ receiver, result }, 0);
  // It is given up when none of them could be told for a day.
  families.notifications.inc({ receiver: 'all', result: 'dead' }, 0);
  offerTimes(families, vocabulary);
};

/**
 * Histograms come last, as far as there is room for so many series, and in this order: the recovery times of every
 * component and strategy are worth more than all of one of them.
 */
const offerTimes = (families: Families, vocabulary: Vocabulary): void => {
  const runs = runsOf(vocabulary);
  for (const family of [families.fromAlert, families.duration, families.fromStart])
    for (const run of runs) family.offer(run);
  for (const action of vocabulary.actions) families.stepDuration.offer({ action });
};

const runsOf = ({ components }: Vocabulary): ReadonlyArray<{ readonly component: string; readonly strategy: string }> =>
  components.flatMap(({ name: component, strategies }) => strategies.map((strategy) => ({ component, strategy })));

const initialiseRuns = (families: Families, vocabulary: Vocabulary): void => {
  for (const run of runsOf(vocabulary)) {
    for (const result of ['success', 'failure', 'withdrawn']) families.attempts.inc({ ...run, result }, 0);
    for (const result of ['passed', 'failed']) families.verifications.inc({ ...run, result }, 0);
    for (const outcome of Object.keys(RESULTS)) families.runs.inc({ ...run, outcome }, 0);
    families.started.inc(run, 0);
    families.successes.inc(run, 0);
    families.ineffective.inc(run, 0);
    families.breakers.set(run, 0);
  }
  for (const { name: component } of vocabulary.components) families.cooldown.set({ component }, 0);
};

/** Those of a component that is gone are told of until they are closed. */
const showEscalations = (
  { escalations }: Families,
  { openEscalations }: Collected['store'],
  components: Collected['components'],
): void => {
  escalations.reset();
  for (const component of [NO_SINGLE_ONE, ...components.map(({ name }) => name)]) escalations.set({ component }, 0);
  for (const { component, open } of openEscalations) if (open > 0) escalations.set({ component }, open);
};

const showCollected = (families: Families, { store, halted, components }: Collected): void => {
  const { breakers, disabled, cooldown, cooldownEnd, attemptsUsed, attemptsLimit, storm } = families;
  // A component that a reload took away is told of no more.
  for (const family of [breakers, disabled, cooldown, cooldownEnd, attemptsUsed, attemptsLimit, storm]) family.reset();
  for (const component of [NO_SINGLE_ONE, ...components.map(({ name }) => name)])
    storm.set({ component }, store.storms.includes(component) ? 1 : 0);
  families.approvals.set({}, store.approvalsWaiting);
  families.outbox.set({}, store.outboxDepth);
  families.oldestOutbox.set({}, (store.oldestOutboxAt ?? 0) / SECONDS);
  families.inbox.set({}, store.inboxOpen);
  showEscalations(families, store, components);
  families.episodes.set({}, store.openEpisodes);
  families.undecided.set({}, store.undecided);
  families.oldestUndecided.set({}, (store.oldestUndecidedAt ?? 0) / SECONDS);
  families.storeBytes.set({}, store.bytes);
  families.oldestDelivery.set({}, (store.oldestDeliveryAt ?? 0) / SECONDS);
  families.archivedRows.set({}, store.archived.rows);
  families.archivedFiles.set({}, store.archived.files);
  families.archivedBytes.set({}, store.archived.bytes);
  families.halted.set({}, halted ? 1 : 0);
  for (const figures of components) {
    const component = figures.name;
    for (const { strategy, open } of figures.breakers) breakers.set({ component, strategy }, open ? 1 : 0);
    disabled.set({ component }, figures.disabled ? 1 : 0);
    cooldownEnd.set({ component }, (figures.cooldownUntil ?? 0) / SECONDS);
    cooldown.set({ component }, figures.cooldownUntil === null ? 0 : 1);
    for (const { window, used, limit } of figures.attempts) {
      attemptsUsed.set({ component, window: formatDuration(window) }, used);
      attemptsLimit.set({ component, window: formatDuration(window) }, limit);
    }
  }
};
