// The draft of a post-mortem, from the record alone: what is known is filled in, what only people know is asked for.
import { rfc3339 } from '../base/clock.ts';
import { formatDuration } from '../base/duration.ts';
import type { JsonObject } from '../base/json.ts';
import type { AuditRow, DecisionRow, EpisodeRow, InboxRow, OutboxRow, RunRow } from '../port/record.ts';
import type { StoredEvent } from '../run/events.ts';
import type { Plan } from '../run/plan.ts';
import { tell } from '../run/story.ts';

export type PostmortemFrom = {
  /** Null for a run that a human asked for without an alert. */
  readonly episode: EpisodeRow | null;
  /** Oldest first. */
  readonly runs: ReadonlyArray<{ readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] }>;
  readonly decisions: readonly DecisionRow[];
  readonly inbox: readonly InboxRow[];
  /** About the runs: who did what, degraded modes that went on and off. */
  readonly audit: readonly AuditRow[];
  readonly told: readonly OutboxRow[];
  /** What each degraded mode takes away, as configured now. */
  readonly modes: ReadonlyMap<string, { readonly unavailable: readonly string[]; readonly impact: string }>;
  readonly now: number;
};

type Line = { readonly at: number; readonly what: string };
export type Postmortem = {
  readonly title: string;
  readonly startedAt: number;
  /** Null while it goes on. */
  readonly endedAt: number | null;
  readonly durationMs: number;
  readonly severity: string;
  readonly responders: readonly string[];
  readonly timeline: readonly Line[];
  readonly impact: readonly string[];
  readonly hints: readonly string[];
  readonly actions: readonly string[];
  readonly open: readonly string[];
  readonly markdown: string;
};

const SEVERITIES = ['SEV1', 'SEV2', 'SEV3', 'SEV4'];
const MOST_LINES = 300;
const MOST_HINTS = 40;
const LONGEST_HINT = 600;
/** Of these the record has too many to read, and the others say the same. */
const UNTOLD: ReadonlySet<string> = new Set(['claimed', 'step_started', 'aftermath_ended', 'verify_started']);

export const draftPostmortem = (from: PostmortemFrom): Postmortem => {
  const { episode, runs } = from;
  const first = runs[0]?.run;
  const place = [episode?.component ?? first?.component, episode?.target ?? first?.target].filter(Boolean).join(' ');
  const alertname = episode?.labels['alertname'] ?? null;
  const startedAt = episode?.startsAt ?? first?.alertStartedAt ?? first?.createdAt ?? from.now;
  const endedAt = endOf(from);
  const draft = {
    title: `${alertname ?? first?.strategy ?? 'Incident'}${place === '' ? '' : ` on ${place}`}`,
    startedAt,
    endedAt,
    durationMs: Math.max(0, (endedAt ?? from.now) - startedAt),
    severity: severityOf(from),
    responders: respondersOf(from),
    timeline: timelineOf(from, startedAt, endedAt),
    impact: impactOf(from),
    hints: hintsOf(from).slice(0, MOST_HINTS),
    actions: actionsOf(from),
    open: openOf(from, endedAt),
  };
  return { ...draft, markdown: markdown(draft, from) };
};

const endOf = ({ episode, runs }: PostmortemFrom): number | null => {
  if (episode !== null) return episode.state === 'firing' ? null : (episode.resolvedAt ?? episode.closedAt);
  const last = runs.at(-1)?.run;
  return last === undefined || last.outcome === 'unresolved' || last.outcome === 'stuck' ? null : last.endedAt;
};

/** The gravest that anybody was told. */
const severityOf = ({ inbox, runs, episode }: PostmortemFrom): string => {
  const said = new Set<string | null>([
    ...inbox.map((entry) => entry.severity),
    ...runs.map(({ plan }) => plan.runbook.severity),
  ]);
  return SEVERITIES.find((severity) => said.has(severity)) ?? episode?.labels['severity'] ?? 'not known';
};

const respondersOf = ({ audit, runs, inbox }: PostmortemFrom): readonly string[] => {
  const people = [
    ...audit.map(({ actor }) => actor),
    ...runs.flatMap(({ events }) => events.flatMap(({ event }) => ('by' in event ? [event.by] : []))),
    ...runs.flatMap(({ plan }) => (plan.manual === null ? [] : [plan.manual.by])),
    ...inbox.flatMap(({ closedBy }) => closedBy ?? []),
  ];
  return [...new Set(people)].filter((name) => name !== 'amends' && name !== '').toSorted();
};

const timelineOf = (from: PostmortemFrom, startedAt: number, endedAt: number | null): readonly Line[] => {
  const { episode, runs, decisions, inbox, audit, told } = from;
  const lines: Line[] = [];
  if (episode !== null) {
    lines.push({ at: startedAt, what: `The alert ${episode.labels['alertname'] ?? ''} began to fire.` });
    lines.push({ at: episode.openedAt, what: 'Detected: amends took the alert in.' });
    if (endedAt !== null) lines.push({ at: endedAt, what: 'The alert resolved.' });
  }
  for (const { at, reason, rule, strategy, runId } of decisions) {
    const asked = [rule === null ? null : `rule ${rule}`, strategy].filter(Boolean).join(', ');
    lines.push({
      at,
      what: `Decided: ${reason}${asked === '' ? '' : ` (${asked})`}${runId === null ? '' : `, run ${runId}`}.`,
    });
  }
  for (const { run, events } of runs) {
    for (const stored of events) {
      if (UNTOLD.has(stored.event.type)) continue;
      lines.push({ at: stored.at, what: `${run.strategy}: ${tell(stored).message}` });
    }
  }
  for (const entry of inbox) {
    lines.push({
      at: entry.at,
      what: `Handed to people (${entry.kind}, ${entry.severity ?? 'no severity'}): ${entry.title}`,
    });
    if (entry.closedAt !== null)
      lines.push({
        at: entry.closedAt,
        what: `Closed by ${entry.closedBy ?? 'nobody'}: ${entry.title}${entry.comment === '' || entry.comment === null ? '' : ` (${entry.comment})`}`,
      });
  }
  for (const { at, action, subject } of audit) {
    if (action === 'degraded.set') lines.push({ at, what: `Degraded mode ${subject} went on.` });
    else if (action === 'degraded.clear') lines.push({ at, what: `Degraded mode ${subject} went off.` });
  }
  for (const { at, topic, title, status } of told) lines.push({ at, what: `Told (${topic}, ${status}): ${title}` });
  return lines.toSorted((left, right) => left.at - right.at).slice(0, MOST_LINES);
};

const impactOf = ({ audit, modes, episode, now }: PostmortemFrom): readonly string[] => {
  const spans = audit
    .filter(({ action }) => action === 'degraded.set')
    .map(({ at, subject }) => {
      const off = audit.find((row) => row.action === 'degraded.clear' && row.subject === subject && row.at >= at);
      const { unavailable = [], impact = '' } = modes.get(subject) ?? {};
      const lasted =
        off === undefined ? `still on after ${formatDuration(now - at)}` : `for ${formatDuration(off.at - at)}`;
      const without = unavailable.length === 0 ? '' : `; not available: ${unavailable.join(', ')}`;
      return `degraded mode ${subject} ${lasted}${impact === '' ? '' : `: ${impact}`}${without}`;
    });
  const firings = episode === null || episode.firings < 2 ? [] : [`the alert was received ${episode.firings} times`];
  return [...spans, ...firings];
};

/** What was seen when it began, and what went wrong on the way. */
const hintsOf = ({ episode, runs }: PostmortemFrom): readonly string[] => {
  const hints: string[] = [];
  for (const name of ['summary', 'description']) {
    const said = episode?.annotations[name];
    if (said !== undefined && said !== '') hints.push(`the alert says: ${said}`);
  }
  for (const { run, events } of runs) {
    for (const { event } of events) {
      if ((event.type === 'step_succeeded' || event.type === 'step_failed') && event.step.startsWith('before/'))
        hints.push(`${run.strategy} ${event.step} found ${text(event.outputs)}`);
      if (event.type === 'step_failed' || event.type === 'step_unknown')
        hints.push(`${run.strategy} ${event.step} failed: ${event.error}`);
      if (event.type === 'ineffective') hints.push(`${run.strategy} looked as if it helped: ${event.why}`);
    }
  }
  return [...new Set(hints.map((hint) => hint.slice(0, LONGEST_HINT)))];
};

const text = (outputs: JsonObject): string => JSON.stringify(outputs);

const actionsOf = ({ runs }: PostmortemFrom): readonly string[] =>
  runs.map(({ run, plan, events }) => {
    const steps = events.flatMap(({ event }) =>
      event.type === 'step_succeeded' && !event.step.startsWith('before/') ? [event.step] : [],
    );
    const asked =
      plan.manual === null
        ? run.rule === null
          ? ''
          : ` (rule ${run.rule})`
        : ` (asked by ${plan.manual.by}: ${plan.manual.reason})`;
    const ended = run.outcome === null ? run.state : `${run.outcome} (${run.cause ?? ''})`;
    return `${plan.runbook.name}${asked}: ${ended}; done: ${steps.length === 0 ? 'nothing' : steps.join(', ')}; run ${run.id}`;
  });

const openOf = ({ inbox, episode, runs }: PostmortemFrom, endedAt: number | null): readonly string[] => [
  ...inbox
    .filter(({ status }) => status === 'open')
    .map(({ title, severity, id }) => `${title} (${severity ?? 'no severity'}, inbox ${id})`),
  ...(endedAt === null ? ['Bring the incident to its end: it still goes on'] : []),
  ...(episode?.exhausted === true
    ? ['Find out why nothing automatic helped, and give the runbook or the rule what it lacked']
    : []),
  ...runs
    .filter(({ run }) => run.cause === 'ineffective')
    .map(({ plan }) => `The verification of ${plan.runbook.name} passed although it did not help: make it stricter`),
];

/** What the record says must not become markup. */
const safe = (said: string): string =>
  said
    .replaceAll(/[\\|`<>*_[\]#]/g, (mark) => `\\${mark}`)
    .replaceAll(/\s+/g, ' ')
    .trim();
const bullets = (items: readonly string[], none: string): readonly string[] =>
  items.length === 0 ? [none] : items.map((item) => `- ${safe(item)}`);

const markdown = (draft: Omit<Postmortem, 'markdown'>, { episode, runs }: PostmortemFrom): string => {
  const ids = [episode === null ? null : `episode ${episode.id}`, ...runs.map(({ run }) => `run ${run.id}`)].filter(
    Boolean,
  );
  const helped = runs.findLast(({ run }) => run.outcome === 'resolved');
  return [
    `# Post-mortem: ${safe(draft.title)}`,
    '',
    `**Date**: ${rfc3339(draft.startedAt).slice(0, 10)}`,
    `**Duration**: ${formatDuration(Math.round(draft.durationMs / 1_000) * 1_000)}${draft.endedAt === null ? ' so far' : ''} (${rfc3339(draft.startedAt)} to ${draft.endedAt === null ? 'now' : rfc3339(draft.endedAt)})`,
    `**Severity**: ${safe(draft.severity)}`,
    `**Responders**: ${draft.responders.length === 0 ? 'amends alone' : safe(draft.responders.join(', '))}`,
    `**Record**: ${safe(ids.join(', '))}`,
    '',
    '## Summary',
    '',
    `${safe(draft.title)}: ${runs.length === 0 ? 'nothing was run' : `${runs.length} ${runs.every(({ plan }) => plan.manual === null) ? 'automatic ' : ''}${runs.length === 1 ? 'run' : 'runs'}`}, ${helped === undefined ? 'none of which was verified to help' : `${safe(helped.plan.runbook.name)} was verified to help`}. *What did users see? Fill in.*`,
    '',
    '## Timeline (UTC)',
    '',
    ...draft.timeline.map(({ at, what }) => `- ${rfc3339(at).slice(0, 19).replace('T', ' ')} - ${safe(what)}`),
    '',
    '## Root cause',
    '',
    '*To be confirmed by a human.* Hints from the record:',
    '',
    ...bullets(draft.hints, '- none'),
    '',
    '## Impact',
    '',
    ...bullets(draft.impact, '- no degraded mode was on'),
    '- Users affected: *fill in*',
    '- Data loss: *fill in*',
    '',
    '## Actions taken',
    '',
    ...bullets(draft.actions, '- none by amends'),
    '',
    '## Lessons learned',
    '',
    '- What went well: *fill in*',
    '- What went poorly: *fill in*',
    '- Where we got lucky: *fill in*',
    '',
    '## Action items',
    '',
    ...draft.open.map((item) => `- [ ] ${safe(item)} (owner: , due: )`),
    '- [ ] Fix the root cause (owner: , due: )',
    '',
  ].join('\n');
};
