// What a running amends has on record, as lines of a journal: enough to decide again as it did. Rows are as the API gives
// them.
import { isObject } from '../base/json.ts';

type Row = Readonly<Record<string, unknown>>;
/** A line of the journal; `at` is RFC 3339. */
export type Line = Readonly<Record<string, unknown>> & { readonly type: string; readonly at: string };

/** Of the alert that led to a run: what was asked about it before the run began. */
type Origin = { readonly source: unknown; readonly labels: unknown; readonly asked: boolean };

/** A file of a configuration, as the API gives it. */
export type RecordedFile = { readonly kind: string; readonly file: string; readonly digest: string };

export type Recording = {
  /** Oldest first; `texts` are at least those that no earlier one had, by digest. */
  configuration(row: Row, files: readonly RecordedFile[], texts: ReadonlyMap<string, string>): Line;
  /** All of them, before the others. */
  decision(row: Row): readonly Line[];
  inbox(row: Row): void;
  /** All of them, before the audit. */
  run(row: Row): readonly Line[];
  audit(row: Row): readonly Line[];
};

export const createRecording = (): Recording => {
  const origins = new Map<unknown, Origin>();
  const runs = new Map<unknown, Row>();
  const entries = new Map<unknown, Row>();
  const said = new Set<string>();
  return {
    configuration({ at, catalog, config, revision, mode }, files, texts) {
      const named = files.map(({ kind, file, digest }) => {
        const text = said.has(digest) ? undefined : texts.get(digest);
        if (text !== undefined) said.add(digest);
        return { kind, file, digest, ...(text === undefined ? {} : { text }) };
      });
      return { type: 'config', at: textOf(at), catalog, config, revision, mode, files: named };
    },
    decision(row) {
      const record = objectOf(row['record']);
      const asked = presentOf(record);
      const { source, labels } = record;
      if (typeof row['runId'] === 'string' && isObject(labels))
        origins.set(row['runId'], { source, labels, asked: asked.some(({ asked: whom }) => whom === 'alertmanager') });
      const at = textOf(row['at']);
      return [
        ...(row['origin'] === 'retry' ? [{ type: 'retry', at, source, labels, reason: row['reason'] }] : []),
        ...(row['origin'] === 'manual' ? [manualOf(row, record, at)] : []),
        ...[...asked, ...factsOf(record)].map((fact) => ({ type: 'fact', at, ...fact })),
        ...configOf(record, decidedOn(row, at)),
        ...haltFileOf(record, decidedOn(row, at), at),
      ];
    },
    inbox: (row) => void entries.set(row['id'], row),
    run(row) {
      runs.set(row['id'], row);
      if (row['state'] !== 'done') return [];
      const { component, target, strategy, outcome, cause, startedAt, endedAt } = row;
      const [started, ended] = [startedAt ?? null, endedAt ?? null];
      const origin = origins.get(row['id']);
      // It would not have begun without: its alert was asked about once more.
      const confirmed = origin?.asked === true && typeof started === 'string' ? [firing(origin, started)] : [];
      return [
        {
          type: 'outcome',
          at: textOf(row['createdAt']),
          component,
          target,
          strategy,
          outcome,
          cause,
          started_at: started,
          ended_at: ended,
        },
        ...confirmed,
      ];
    },
    audit(row) {
      const at = textOf(row['at']);
      const { actor: by, subject, action } = row;
      const detail = objectOf(row['detail']);
      if (action === 'run.ineffective') {
        const origin = origins.get(subject);
        return origin === undefined ? [] : [firing(origin, at)];
      }
      const answer = /^run\.(approve|deny|cancel)$/.exec(textOf(action))?.[1];
      if (answer !== undefined) {
        const run = runs.get(subject);
        if (run === undefined || detail['outcome'] !== 'done') return [];
        const { component, target, strategy } = run;
        return [{ type: 'approval', at, answer, by, component, target, strategy }];
      }
      const control = controlOf(textOf(action), subject, detail, entries.get(subject), by);
      return control === null ? [] : [{ type: 'control', at, ...control, by }];
    },
  };
};

/** Oldest first, without the lines that say once more what counts. */
export const inOrder = <T>(all: readonly T[], lineOf: (one: T) => Pick<Line, 'type' | 'at'> & Row): readonly T[] => {
  let active = '';
  const full = new Set<string>();
  return all
    .toSorted((left, right) => (lineOf(left).at < lineOf(right).at ? -1 : lineOf(left).at > lineOf(right).at ? 1 : 0))
    .filter((one) => {
      const { type, catalog, config, files } = lineOf(one);
      if (type !== 'config') return true;
      const digests = JSON.stringify([catalog, config]);
      const news = digests !== active || (files !== undefined && !full.has(digests));
      active = digests;
      if (files !== undefined) full.add(digests);
      return news;
    });
};

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const objectOf = (value: unknown): Row => (isObject(value) ? value : {});

const firing = ({ source, labels }: Origin, at: string): Line => ({
  type: 'fact',
  at,
  asked: 'alertmanager',
  source,
  labels,
  state: 'firing',
});

type Fact = Readonly<Record<string, unknown>> & { readonly asked: 'alertmanager' | 'prometheus' };

/** What admission had to know of the present. */
const presentOf = (record: Row): readonly Fact[] => {
  const { present, source, labels } = record;
  const asked = (Array.isArray(present) ? present : []).filter(isObject);
  return asked.flatMap((one): readonly Fact[] => {
    const [alert, health] = [objectOf(one['alert']), objectOf(one['health'])];
    const { state, value, detail } = health;
    return [
      ...(alert['state'] === undefined || alert['state'] === 'not_asked'
        ? []
        : [{ asked: 'alertmanager', source, labels, state: alert['state'] } as const]),
      ...(state === undefined || state === 'not_asked' || typeof one['query'] !== 'string'
        ? []
        : [
            {
              asked: 'prometheus',
              query: one['query'],
              value: value ?? null,
              ...(state === 'unknown' ? { problem: detail } : {}),
            } as const,
          ]),
    ];
  });
};

/** What rules asked Prometheus. */
const factsOf = (record: Row): readonly Fact[] =>
  Object.values(objectOf(record['facts'])).flatMap((fact) => {
    if (!isObject(fact) || typeof fact['query'] !== 'string') return [];
    const { query, value, problem } = fact;
    return [{ asked: 'prometheus', query, value: value ?? null, ...(problem === undefined ? {} : { problem }) }];
  });

/**
 * From when on what it was decided by counted, as a replay sees it: there a delivery is decided in the moment in which
 * it comes in, while live may have reloaded in between. Its id tells when that was, to a millisecond.
 */
const decidedOn = (row: Row, at: string): string => {
  const { origin, deliveryId } = row;
  if (origin !== 'delivery' || typeof deliveryId !== 'string') return at;
  const cameIn = Number.parseInt(deliveryId.replaceAll('-', '').slice(0, 12), 16) - 1;
  const decided = Date.parse(at);
  return cameIn < decided && cameIn > decided - MOST_LATE_MS ? new Date(cameIn).toISOString() : at;
};
/** What was kept over a stop is decided at the next start. */
const MOST_LATE_MS = 86_400_000;

const configOf = (record: Row, at: string): readonly Line[] => {
  const { catalog, config } = objectOf(record['digests']);
  return typeof catalog === 'string' && typeof config === 'string' ? [{ type: 'config', at, catalog, config }] : [];
};

/** A halt by file is on record within a second; whoever decides before that has seen the file himself. */
const haltFileOf = (record: Row, at: string, until: string): readonly Line[] => {
  const verdicts = Array.isArray(record['verdicts']) ? record['verdicts'].flat().filter(isObject) : [];
  const found = verdicts.find(({ guard, passed }) => guard === 'halted' && passed === false);
  const { file } = objectOf(found?.['inputs']);
  // What is due in a moment is decided before what people did in it.
  const before = at === until ? new Date(Date.parse(at) - 1).toISOString() : at;
  return typeof file === 'string'
    ? [{ type: 'control', at: before, action: 'halt_file', by: 'amends', reason: file, until }]
    : [];
};

const RESERVED: ReadonlySet<string> = new Set(['alertname', 'component', 'target', 'failure_type']);

const manualOf = (row: Row, record: Row, at: string): Line => {
  const { component, target, strategy, caller: by, reason } = row;
  const request = objectOf(record['request']);
  const labels = objectOf(record['labels']);
  const byType = typeof labels['failure_type'] === 'string';
  return {
    type: 'manual',
    at,
    by,
    component: component ?? labels['component'],
    target: target ?? labels['target'],
    ...(byType
      ? {
          failure_type: labels['failure_type'],
          reason: objectOf(record['annotations'])['summary'],
          context: Object.fromEntries(Object.entries(labels).filter(([name]) => !RESERVED.has(name))),
        }
      : {
          strategy,
          reason: request['reason'],
          inputs: request['inputs'],
          context: request['context'],
          override_cooldown: request['override_cooldown'],
          require_approval: reason === 'awaiting_approval',
        }),
  };
};

const controlOf = (action: string, subject: unknown, detail: Row, entry: Row | undefined, by: unknown): Row | null => {
  const { reason } = detail;
  switch (action) {
    case 'halt':
      return { action, reason, hard: detail['hard'] === true };
    case 'resume':
      return { action, reason };
    case 'component.disable':
    case 'rule.disable':
      return { action: 'disable', scope: scopeOf(action), name: subject, until: detail['until'] ?? null, reason };
    case 'component.enable':
    case 'rule.enable':
      return { action: 'enable', scope: scopeOf(action), name: subject };
    case 'rule.restore':
      return { action: 'restore', name: subject, reason };
    case 'clock.jumped':
      return { action: 'clock_jump', by_ms: detail['by_ms'], until: detail['until'] };
    case 'config.loaded':
      // What a process knew of its clock goes with it.
      return detail['at'] === 'start' ? { action: 'start' } : null;
    case 'breaker.close': {
      const [component, strategy] = textOf(subject).split('/');
      return { action: 'close_breaker', component, strategy, reason: detail['comment'] };
    }
    case 'inbox.close':
      // What amends closes itself it closes again itself.
      return entry === undefined || entry['kind'] !== 'escalation' || by === 'amends'
        ? null
        : { action: 'close_inbox', component: entry['component'], target: entry['target'], reason: detail['comment'] };
    default:
      return null;
  }
};

const scopeOf = (action: string): string => action.slice(0, action.indexOf('.'));
