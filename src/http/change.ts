// What applications and people are told of as it happens: made of rows of the record alone, so that what is told again
// after a lost connection or a restart is, id by id, what was told before.
import type { Json, JsonObject } from '../base/json.ts';
import type { AuditRow, EpisodeRow, InboxRow, RunRow } from '../port/record.ts';
import type { StoredEvent } from '../run/events.ts';
import type { Plan } from '../run/plan.ts';
import { apply, fold } from '../run/state.ts';
import type { RunState } from '../run/state.ts';

export const CHANGE_EVENTS = ['run', 'episode', 'inbox', 'degraded', 'audit'] as const;
export type ChangeEvent = (typeof CHANGE_EVENTS)[number];

export type Change = {
  /** `<milliseconds>-<what>-<its id>-<how>`: the same whenever it is made of the same rows, and in order of time as text. */
  readonly id: string;
  readonly at: number;
  readonly event: ChangeEvent;
  readonly data: JsonObject;
};
export type EpisodeStep = 'opened' | 'reopened' | 'quiet' | 'closed';

/** Of a run's input and outputs, as JSON. */
const LONGEST_DATA = 4_096;

const make = (event: ChangeEvent, at: number, key: string, data: JsonObject): Change => ({
  id: `${at}-${key}`,
  at,
  event,
  data: { at, ...data },
});

const bounded = (value: Json): Json => {
  const text = JSON.stringify(value);
  return text.length <= LONGEST_DATA ? value : { cut: text.slice(0, LONGEST_DATA), bytes: Buffer.byteLength(text) };
};

/** An event as it may be shown: whatever an action said is bounded in size. */
const shownEvent = (event: StoredEvent['event']): JsonObject =>
  Object.fromEntries(
    Object.entries(event as unknown as JsonObject).map(([key, value]) => [
      key,
      typeof value === 'object' && value !== null ? bounded(value) : value,
    ]),
  );

/** The changes of a run after the event `seq`, each with the state that the run was in from then on. */
export const runChanges = (
  { run, plan, events }: { readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] },
  after = 0,
): readonly Change[] => {
  const { id, component, kind, target, strategy, rule, episodeId, decisionId } = run;
  const changes: Change[] = [];
  let state: RunState | null = null;
  for (const stored of events) {
    state = state === null ? fold(plan, [stored]) : apply(plan, state, stored);
    if (stored.seq <= after) continue;
    const { name, outcome, cause } = state;
    const change = make('run', stored.at, `run-${id}-${String(stored.seq).padStart(5, '0')}`, {
      run: { id, component, kind, target, strategy, rule, episodeId, decisionId, state: name, outcome, cause },
      seq: stored.seq,
      change: shownEvent(stored.event),
    });
    changes.push(change);
  }
  return changes;
};

const timeOf = (episode: EpisodeRow, step: EpisodeStep): number | null => {
  switch (step) {
    case 'opened':
      return episode.openedAt;
    case 'reopened':
      return episode.lastFiringAt;
    case 'quiet':
      return episode.resolvedAt;
    case 'closed':
      return episode.closedAt;
  }
};

export const episodeChange = (episode: EpisodeRow, step: EpisodeStep): Change | null => {
  const at = timeOf(episode, step);
  if (at === null) return null;
  const { id, component, kind, target, labels, startsAt, hadRun, exhausted } = episode;
  return make('episode', at, `episode-${id}-${step}`, {
    episode: { id, component, kind, target, labels: bounded({ ...labels }), startsAt, hadRun, exhausted },
    change: step,
  });
};

export const inboxChange = (entry: InboxRow, change: 'opened' | 'closed'): Change | null => {
  const at = change === 'opened' ? entry.at : entry.closedAt;
  if (at === null) return null;
  const { id, kind, severity, component, target, runId, episodeId, title, closedBy, comment } = entry;
  const status = change === 'opened' ? 'open' : 'closed';
  return make('inbox', at, `inbox-${id}-${change}`, {
    entry: {
      id,
      kind,
      status,
      severity,
      component,
      target,
      runId,
      episodeId,
      title,
      ...(change === 'closed' ? { closedBy, comment } : {}),
    },
    change,
  });
};

/** A degraded mode that went on or off is told as what it is; everything else under its action. */
export const auditChange = ({ seq, at, actor, action, subject, detail }: AuditRow): Change =>
  action === 'degraded.set' || action === 'degraded.clear'
    ? make('degraded', at, `degraded-${seq}`, { mode: subject, on: action === 'degraded.set', ...detail })
    : make('audit', at, `audit-${seq}`, { seq, actor, action, subject, detail: bounded(detail) });

/** Null for a text that is no id of a change. */
export const timeOfId = (id: string): number | null => {
  const match = /^(\d{13})-[a-z]+-[\w-]{1,80}$/.exec(id);
  return match === null ? null : Number(match[1]);
};

export const inOrder = (left: Change, right: Change): number =>
  left.at - right.at || (left.id < right.id ? -1 : left.id > right.id ? 1 : 0);
