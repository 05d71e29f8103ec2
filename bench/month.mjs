// A busy month as a journal: what some hundreds of targets, two Alertmanagers and a few bad evenings post. The same seed
// makes the same bytes.
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { dirname, join } from 'node:path';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BEGAN = Date.parse('2026-10-01T00:00:00Z');
export const DAYS = 30;

/** Kind, number of targets, and how many of its incidents a day somebody might act on. */
const COMPONENTS = {
  cache: { kind: 'redis', targets: 24, a_day: 5 },
  'shop-db': { kind: 'database', targets: 12, a_day: 4 },
  orders: { kind: 'database', targets: 8, a_day: 3 },
  vectors: { kind: 'chromadb', targets: 10, a_day: 4 },
  api: { kind: 'application', targets: 60, a_day: 8 },
  web: { kind: 'openwebui', targets: 20, a_day: 5 },
  workers: { kind: 'application', targets: 40, a_day: 6 },
  hosts: { kind: 'system', targets: 200, a_day: 14, split: true },
};
const KINDS = [...new Set(Object.values(COMPONENTS).map(({ kind }) => kind))];
const FAILURES = ['down', 'slow', 'full', 'locked', 'corrupt'];
const STRATEGIES = ['reconnect', 'restart', 'cleanup'];
/** What every installation has too: alerts that somebody looks at, and no rule acts on. */
const WATCHED = ['CPUThrottlingHigh', 'KubePodNotReady', 'NodeClockSkew', 'TargetDown', 'CertificateExpires'];

const alertOf = (kind, failure) => `${kind}_${failure}`.replaceAll(/(?:^|_)(.)/g, (_, first) => first.toUpperCase());

/** Rules and runbooks in the manner of the shipped ones: five a kind, ladders, some that only ask, some that only note. */
export function writeConfiguration(folder, { cap = 3 } = {}) {
  const write = (name, text) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const components = Object.fromEntries(
    Object.entries(COMPONENTS).map(([name, { kind, targets, split }]) => [
      name,
      {
        kind,
        match: [`job="${name}"`],
        inventory: { static: Array.from({ length: targets }, (_, index) => targetOf(name, index)) },
        allow: { actions: ['wait.*'] },
        ...(split === true
          ? { split: 'target', fleet: { attempts: [{ max: 10, per: '1h' }], max_concurrent: 2 } }
          : {}),
      },
    ]),
  );
  write(
    'amends.yaml',
    JSON.stringify({
      version: 1,
      rule_files: ['rules/**/*.json'],
      runbook_files: ['runbooks/**/*.yaml'],
      recovery: { mode: 'auto' },
      components,
    }),
  );
  for (const kind of KINDS) {
    for (const strategy of STRATEGIES) write(`runbooks/${kind}/${strategy}.yaml`, runbookOf(kind, strategy));
    for (const [index, failure] of FAILURES.entries())
      write(`rules/${kind}/${kind}-${failure}.json`, JSON.stringify(ruleOf(kind, failure, index, cap)));
  }
  for (const [index, name] of ['Watchdog', ...WATCHED.slice(0, 3)].entries()) {
    const event = index === 3 ? { type: 'escalate', params: { severity: 'SEV3' } } : { type: 'observe' };
    const conditions = { all: [{ fact: 'alertname', operator: 'equal', value: name }] };
    write(
      `rules/watch/${name.toLowerCase()}.json`,
      JSON.stringify({ name: name.toLowerCase(), description: 'Seen.', priority: 5, conditions, event }),
    );
  }
}

const targetOf = (component, index) => `${component}-${index + 1}.example.org:9100`;

const ruleOf = (kind, failure, index, cap) => ({
  name: `${kind}-${failure}`,
  description: `What is done about ${kind} when it is ${failure}.`,
  priority: 50 - index,
  conditions: {
    any: [
      { fact: 'alertname', operator: 'in', value: [alertOf(kind, failure), `${alertOf(kind, failure)}Soon`] },
      { fact: 'label.failure_type', operator: 'equal', value: failure },
    ],
  },
  event: {
    type: 'remediate',
    params: {
      runbook: [`${kind}/reconnect`, { runbook: `${kind}/restart`, mode: 'approve' }, `${kind}/cleanup`].slice(
        index % 2,
      ),
      mode: index === 4 ? 'approve' : 'auto',
      limits: { attempts: [{ max: Math.min(cap, 3), per: '1h' }] },
    },
  },
});

const runbookOf = (kind, strategy) => `version: 1
summary: Mend ${kind} by ${strategy}.
severity: SEV3
steps:
  - { id: look, uses: wait.for, with: { duration: 10ms } }
  - { id: mend, uses: wait.for, with: { duration: 10ms } }
verify:
  - { uses: wait.for, with: { duration: 10ms } }
guide: |
  Look at the dashboard of ${kind}, and at its log.
`;

/** The same numbers every time (mulberry32). */
const createLots = (seed) => {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    below: (count) => Math.floor(next() * count),
    of: (list) => list[Math.floor(next() * list.length)],
    /** Exponential around a mean. */
    about: (mean) => -Math.log(1 - next()) * mean,
  };
};

const BY_DAY = Object.values(COMPONENTS).reduce((sum, { a_day: aDay }) => sum + aDay, 0);

/** Writes `deliveries` lines over `days`, with the outcomes of runs between them; answers with how many of what. */
export async function writeJournal(path, { deliveries, days = DAYS, seed = 1 }) {
  const lots = createLots(seed);
  const posts = [];
  const outcomes = [];
  const length = days * DAY;
  for (let at = 0; at < length && posts.length < deliveries / 10; at += 5 * MINUTE)
    posts.push({ at, alerts: [alertLine({ alertname: 'Watchdog', severity: 'none' }, at, null)] });
  for (let day = 0; day < days; day += 1) {
    for (let count = 0; count < BY_DAY; count += 1) recoverable(lots, day * DAY + lots.below(DAY), posts, outcomes);
    if (day % 5 === 3) storm(lots, day * DAY + lots.below(DAY), posts);
  }
  while (posts.length < deliveries) watched(lots, lots.below(length), posts);
  posts.length = deliveries;
  const lines = [...posts, ...outcomes].toSorted((left, right) => left.at - right.at);
  const file = createWriteStream(path);
  let alerts = 0;
  for (const line of lines) {
    alerts += line.alerts?.length ?? 0;
    const { at, ...rest } = line.alerts === undefined ? line : { at: line.at, ...deliveryOf(line) };
    if (!file.write(`${JSON.stringify({ type: rest.type, at: iso(at), ...rest })}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
  return { deliveries: posts.length, alerts, outcomes: outcomes.length };
}

const iso = (at) => new Date(BEGAN + Math.floor(at)).toISOString();

const alertLine = (labels, from, to) => ({ labels, from, to });

const labelsOf = (component, index, alertname) => ({
  alertname,
  cluster: 'eu-2',
  instance: targetOf(component, index),
  target: targetOf(component, index),
  job: component,
  prometheus: 'monitoring/k8s',
  severity: 'warning',
});

/** Begins, repeats every few minutes as a group that goes on changing does, and is over; a fifth comes from both of a pair. */
const incident = (lots, labels, from, lasts, every, posts) => {
  const to = from + lasts;
  const say = (at, over) => {
    posts.push({ at, alerts: [alertLine(labels, from, over)] });
    if (lots.next() < 0.2) posts.push({ at: at + 200 + lots.below(800), alerts: [alertLine(labels, from, over)] });
  };
  for (let at = from + 30_000; at < to; at += every) say(at, null);
  say(to + 30_000, to);
};

const recoverable = (lots, at, posts, outcomes) => {
  let left = lots.below(BY_DAY);
  const [component, { kind, targets }] = Object.entries(COMPONENTS).find(([, { a_day: aDay }]) => (left -= aDay) < 0);
  const target = lots.below(targets);
  const failure = lots.of(FAILURES);
  const helped = lots.next() < 0.7;
  incident(
    lots,
    labelsOf(component, target, alertOf(kind, failure)),
    at,
    helped ? 2 * MINUTE + lots.about(5 * MINUTE) : 20 * MINUTE + lots.about(2 * HOUR),
    5 * MINUTE,
    posts,
  );
  const strategy = FAILURES.indexOf(failure) % 2 === 0 ? 'reconnect' : 'restart';
  outcomes.push({
    type: 'outcome',
    at: at + 31_000,
    component,
    target: targetOf(component, target),
    strategy,
    outcome: helped ? 'resolved' : 'unresolved',
    cause: helped ? 'verified' : 'not_verified',
  });
};

/** Most targets of one component within a minute, in groups, for half an hour. */
const storm = (lots, at, posts) => {
  const [component, { kind, targets }] = lots.of(Object.entries(COMPONENTS));
  const hit = Array.from({ length: Math.ceil(targets * 0.7) }, (_, index) => index);
  const alertname = alertOf(kind, 'down');
  for (let minute = 0; minute <= 30; minute += 5) {
    for (let from = 0; from < hit.length; from += 10) {
      const group = hit.slice(from, from + 10);
      const over = minute === 30 ? at + 29 * MINUTE : null;
      const alerts = group.map((index) => alertLine(labelsOf(component, index, alertname), at + index * 500, over));
      posts.push({ at: at + minute * MINUTE + 15_000 + from * 300, alerts });
    }
  }
};

const watched = (lots, at, posts) => {
  const [component, { targets }] = lots.of(Object.entries(COMPONENTS));
  const labels = labelsOf(component, lots.below(targets), lots.of(WATCHED));
  incident(lots, labels, at, 10 * MINUTE + lots.about(HOUR), 10 * MINUTE, posts);
};

const deliveryOf = ({ alerts }) => {
  const status = alerts.some(({ to }) => to === null) ? 'firing' : 'resolved';
  const [{ labels }] = alerts;
  const { alertname, cluster } = labels;
  return {
    type: 'delivery',
    source: 'alertmanager',
    body: {
      receiver: 'amends',
      status,
      alerts: alerts.map(({ labels: its, from, to }) => ({
        status: to === null ? 'firing' : 'resolved',
        labels: its,
        annotations: {
          summary: `${its.alertname} on ${its.instance ?? 'the whole'}`,
          description: `${its.alertname} has been true for more than five minutes. Look at the dashboard of ${its.job ?? 'all'}.`,
          runbook_url: `https://runbooks.example.org/${its.alertname}`,
        },
        startsAt: iso(from),
        endsAt: to === null ? '0001-01-01T00:00:00Z' : iso(to),
        generatorURL: 'http://prometheus.example.org:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1',
        fingerprint: 'ff60186b990e9bbf',
      })),
      groupLabels: { alertname, ...(cluster === undefined ? {} : { cluster }) },
      commonLabels: labels,
      commonAnnotations: {},
      externalURL: 'http://alertmanager.example.org:9093',
      version: '4',
      groupKey: `{}:{alertname="${alertname}"}`,
      truncatedAlerts: 0,
    },
  };
};
