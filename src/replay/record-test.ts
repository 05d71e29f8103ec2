// From what is on record to a test of it: the alert, what Prometheus said and how the run came out, as a test file would
// say them. What is secret is left out.
import { formatDuration } from '../base/duration.ts';
import { isObject } from '../base/json.ts';
import { createRedactor } from '../base/secret.ts';

/** As the API gives them: times as RFC 3339. */
type Row = Readonly<Record<string, unknown>>;
type Members = Record<string, unknown>;

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const object = (value: unknown): Row => (isObject(value) ? value : {});
const list = (value: unknown): readonly Row[] => (Array.isArray(value) ? value.filter(isObject) : []);
const withoutEmpty = (members: Members): Members =>
  Object.fromEntries(
    Object.entries(members).filter(
      ([, value]) => value !== undefined && !(isObject(value) && Object.keys(value).length === 0),
    ),
  );

const hidden = createRedactor();
/** A password in an address is as secret as one under its name. */
const open = <T>(value: T): T =>
  JSON.parse(JSON.stringify(hidden.value(value)).replaceAll(/(:\/\/[^/:@"\s]*):[^/@"\s]+@/g, '$1@')) as T;

/** The document of a rule test with one case. `decision` is `GET decisions/:id`, `run` the run that it led to, if any. */
export const ruleTestOf = (decision: Row, run: Row | null, config: string): Members => {
  const record = object(decision['record']);
  const labels = object(record['labels']);
  const at = Date.parse(text(decision['at']));
  const age = at - Date.parse(text(record['starts_at']));
  const [plan] = list(record['plans']).slice(-1);
  const outcome = run === null ? null : text(run['outcome']);
  const told = outcome === 'resolved' || outcome === 'unresolved' ? outcome : null;
  const runbook = text(plan?.['runbook']);
  const asked = decision['reason'] === 'awaiting_approval' && told !== null;
  const expected: Members = {
    eval_time: '0s',
    exp_reason: decision['reason'],
    exp_rule: decision['rule'] ?? null,
    exp_component: decision['component'] ?? null,
    exp_target: decision['target'] ?? null,
    ...(plan === undefined
      ? {}
      : {
          exp_runbook: runbook,
          exp_with: plan['inputs'],
          exp_mode: plan['mode'],
          exp_rung: Number(plan['rung']) + 1,
        }),
  };
  const test: Members = {
    name: `${text(labels['alertname'])} on ${text(decision['component']) || 'no component'} ${text(decision['target'])}, as decided at ${text(decision['at'])}`.replaceAll(
      /\s+/g,
      ' ',
    ),
    ...modeOf(decision, plan),
    start: text(decision['at']),
    alerts: [
      withoutEmpty({
        from: '0s',
        ...(age > 0 ? { age: formatDuration(age) } : {}),
        labels,
        annotations: object(record['annotations']),
      }),
    ],
    run_outcomes: told === null ? undefined : { [runbook]: told },
    facts: figuresOf(object(record['facts'])),
    ...(asked ? { acts: [{ at: '1s', approve: runbook }] } : {}),
    decision_test: [withoutEmpty(expected), ...(told === null ? [] : [{ eval_time: '1s', exp_outcome: told }])],
  };
  return open({ config, tests: [withoutEmpty(test)] });
};

/** The configuration may have been in another mode since. */
const modeOf = (decision: Row, plan: Row | undefined): Members => {
  if (decision['reason'] === 'shadow' && plan?.['ledger'] === 'shadow') return { mode: 'shadow' };
  return plan?.['mode'] === 'auto' || plan?.['mode'] === 'approve' ? { mode: 'auto' } : {};
};

/** What came from Prometheus, by its id or by its query. */
const figuresOf = (facts: Row): Members =>
  Object.fromEntries(
    Object.values(facts).flatMap((fact) => {
      if (!isObject(fact) || typeof fact['query'] !== 'string') return [];
      return [[text(fact['id']) || fact['query'], typeof fact['value'] === 'number' ? fact['value'] : null]];
    }),
  );

/** The document of a runbook test: each step comes out as it did in the run (`GET runs/:id`). */
export const runbookTestOf = (run: Row, config: string): Members => {
  const plan = object(run['plan']);
  const alert = object(plan['alert']);
  const events = list(run['events']);
  const forward = events.flatMap((event) => {
    const [phase, id] = text(event['step']).split('/');
    return event['type'] === 'step_started' && event['try'] === 1 && (phase === 'before' || phase === 'steps')
      ? [id]
      : [];
  });
  const test: Members = {
    name: `${text(run['component'])} ${text(run['target'])}, as it went at ${text(run['createdAt'])}`,
    component: run['component'],
    target: run['target'],
    inputs: object(plan['inputs']),
    alert: withoutEmpty({ labels: object(alert['labels']), annotations: object(alert['annotations']) }),
    actions: withoutEmpty({ ...resultsOf(events), ...looksOf(events) }),
    runbook_test: withoutEmpty({
      exp_path: forward,
      exp_outcome: text(run['outcome']) || undefined,
      exp_cause: text(run['cause']) || undefined,
      exp_undone: events.flatMap(({ type, step }) =>
        type === 'step_succeeded' && text(step).startsWith('undo/') ? [text(step).slice('undo/'.length)] : [],
      ),
    }),
  };
  return open({ config, runbook: `${text(run['kind'])}/${text(run['strategy'])}`, tests: [withoutEmpty(test)] });
};

const resultsOf = (events: readonly Row[]): Members => {
  const tries = new Map<string, Members[]>();
  const undone = new Map<string, Members[]>();
  for (const event of events) {
    const key = text(event['step']);
    const [phase, id] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    const result = resultOf(event);
    if (result === null || id === '') continue;
    const kept = phase === 'undo' ? undone : tries;
    const name = phase !== 'undo' && (id === 'verify' || id === 'undo') ? key : id;
    kept.set(name, [...(kept.get(name) ?? []), result]);
  }
  const single = (of: ReadonlyMap<string, Members[]>): Members =>
    Object.fromEntries([...of].map(([id, results]) => [id, results.length === 1 ? results[0] : results]));
  return { ...single(tries), undo: single(undone), ...answersOf(events) };
};

const resultOf = (event: Row): Members | null => {
  const outputs = object(event['outputs']);
  if (event['type'] === 'step_succeeded') return withoutEmpty({ outputs, undo: object(event['undo']) });
  if (event['type'] === 'step_unknown')
    return { outcome: 'failed', kind: 'indeterminate', error: text(event['error']).slice(0, LONGEST) };
  if (event['type'] !== 'step_failed') return null;
  const { kind, began, error } = event;
  return withoutEmpty({
    outcome: 'failed',
    kind,
    began: began === true ? true : undefined,
    error: text(error).slice(0, LONGEST) || undefined,
    outputs,
  });
};
const LONGEST = 1_000;

/** Whoever was asked in the middle of a run. */
const answersOf = (events: readonly Row[]): Members =>
  Object.fromEntries(
    events.flatMap(({ type, step }) => {
      const id = text(step).split('/').at(-1) ?? '';
      const answer = { approved: 'approve', denied: 'deny', expired: 'expire' }[text(type)];
      return answer === undefined || id === '' ? [] : [[id, answer]];
    }),
  );

/** A look that passed gave what was expected of it, and that is not on record: a check that expects something has to be completed by hand. */
const looksOf = (events: readonly Row[]): Members => {
  const ended = events.findLast(({ type }) => type === 'verify_ended');
  return ended === undefined ? {} : { verify: ended['passed'] === true ? 'pass' : 'fail' };
};
