// What people are told while something goes on: that a status update is due on an open escalation, and that a degraded
// mode went on or off. What was said already is read from the outbox by the id it would have, so that a restart says
// nothing twice, and what fell due while nobody ran is said once.
import { formatDuration } from '../base/duration.ts';
import type { AuditRow, InboxRow } from '../port/record.ts';
import type { Severity } from '../runbook/runbook.ts';
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';

/** Newer than these are more than anybody can give an update on. */
const MOST_OPEN = 500;
/** A switch of a mode is told within this, or not at all. */
const NEWS_MS = 3_600_000;
const MOST_SWITCHES = 200;

export type Updates = { tick(): Promise<void> };

export const createUpdates = (context: EngineContext): Updates => {
  const { store, clock } = context;
  /** Saves the look-ups; the outbox is what counts. */
  const said = new Set<string>();
  const isSaid = async (id: string): Promise<boolean> => {
    if (said.has(id)) return true;
    const { items } = await store.list('outbox', { limit: 1, cursor: null, filters: { id }, since: null });
    return items.length > 0;
  };
  const say = async (due: readonly Extract<Write, { type: 'notify' }>[]): Promise<void> => {
    const writes: Write[] = [];
    for (const write of due) if (!(await isSaid(write.id))) writes.push(write);
    if (writes.length > 0) await store.write(writes, clock.now());
    said.clear();
    for (const { id } of due) said.add(id);
  };
  return {
    async tick() {
      const due = [...(await dueUpdates(context)), ...(await switches(context))];
      if (due.length > 0) await say(due);
    },
  };
};

type Notify = Extract<Write, { type: 'notify' }>;

const dueUpdates = async (context: EngineContext): Promise<readonly Notify[]> => {
  const { store, clock } = context;
  const { statusUpdates } = context.loaded().config;
  if (Object.values(statusUpdates).every((every) => every === null)) return [];
  const filters = { status: 'open', kind: 'escalation' };
  const { items } = await store.list('inbox', { limit: MOST_OPEN, cursor: null, filters, since: null });
  const now = clock.now();
  return items.flatMap((entry) => {
    const severity = entry.severity as Severity | null;
    const every = severity === null ? null : statusUpdates[severity];
    if (severity === null || every === null) return [];
    const count = Math.floor((now - entry.at) / every);
    return count < 1 ? [] : [updateOf(entry, severity, every, count)];
  });
};

const updateOf = (entry: InboxRow, severity: Severity, every: number, count: number): Notify => ({
  type: 'notify',
  id: `${entry.id}-update-${count}`,
  topic: 'status_update',
  receiver: null,
  severity,
  component: entry.component,
  target: entry.target,
  runId: entry.runId,
  title: `Status update due (${severity}, every ${formatDuration(every)}): ${entry.title}`,
  body: `Open for ${formatDuration(count * every)}. Tell those who wait what is known, what is being done and when they hear more.\nIt ends with: amends inbox close ${entry.id}`,
});

const switches = async (context: EngineContext): Promise<readonly Notify[]> => {
  const { store, clock } = context;
  const { degradedModes } = context.loaded().config;
  if (![...degradedModes.values()].some(({ notify = [] }) => notify.length > 0)) return [];
  const since = clock.now() - NEWS_MS;
  const rows = await Promise.all(
    ['degraded.set', 'degraded.clear'].map((action) =>
      store.list('audit', { limit: MOST_SWITCHES, cursor: null, filters: { action }, since }),
    ),
  );
  return rows
    .flatMap(({ items }) => items)
    .toSorted((left, right) => left.seq - right.seq)
    .flatMap((row) => {
      const { notify = [], impact = '', available = [], unavailable = [] } = degradedModes.get(row.subject) ?? {};
      const body = [
        impact === '' ? null : `impact: ${impact}`,
        available.length === 0 ? null : `available: ${available.join(', ')}`,
        unavailable.length === 0 ? null : `not available: ${unavailable.join(', ')}`,
      ].filter((line) => line !== null);
      return notify.map((receiver) => switchOf(row, receiver, body.join('\n')));
    });
};

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

const switchOf = ({ seq, action, subject, detail }: AuditRow, receiver: string, body: string): Notify => {
  const on = action === 'degraded.set';
  const [component, target] = [textOf(detail['component']), textOf(detail['target'])];
  const place = [component, target].filter((part) => part !== null).join(' ');
  return {
    type: 'notify',
    id: `degraded-${seq}-${receiver}`,
    topic: on ? 'degraded' : 'degraded_over',
    receiver,
    severity: null,
    component,
    target,
    runId: textOf(detail['run_id']),
    title: on ? `Degraded mode ${subject} is on: ${place}` : `Degraded mode ${subject} is off: ${place}`,
    body: on ? body : 'everything it took away is available again',
  };
};
