// Every route there is, with who may use it: what is not listed here does not exist. The API's description is made of it too.
import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';
import type { Role } from '../config-web.ts';
import { CHANGE_EVENTS } from './change.ts';
import { MOST_REPLAYED } from './changes.ts';
import { CONSOLE_ROUTES } from './console-routes.ts';
import { WEBHOOK_PATH } from './webhook.ts';

export type Method = 'GET' | 'POST' | 'DELETE';
export type Route = {
  readonly id: string;
  readonly method: Method;
  readonly path: string;
  /** `anyone` needs no credential; `sender` is a credential that may post alerts. */
  readonly role: Role | 'anyone' | 'sender';
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
};

const text = (most = 512) => z.string().trim().min(1).max(most);
const reason = z.string().trim().max(1_024).default('');
/** Who it is in person, where a credential is shared or there is none. */
const by = text(128).optional();

/** As it comes in a query; what is no such number is said in words. */
const whole = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `a whole number from ${least} to ${most} is expected`)
    .transform(Number)
    .pipe(z.number().min(least, `at least ${least}`).max(most, `at most ${most}`));

const paging = {
  limit: whole(1, 500).default(100).describe('rows a page'),
  cursor: text(1_024).optional().describe('`next` of the page before'),
};
const filters = (...names: readonly string[]) =>
  z.strictObject({
    ...paging,
    since: text(64).optional().describe('an RFC 3339 time, or a duration such as 24h'),
    ...Object.fromEntries(names.map((name) => [name, text(1_024).optional()])),
  });
const page = z.strictObject(paging);
const none = z.strictObject({});
const flag = z
  .enum(['true', 'false'])
  .default('true')
  .transform((word) => word === 'true');
export const streamQuery = z.strictObject({
  replay_last: whole(0, MOST_REPLAYED).default(0).describe('changes on record, told first'),
  only: z
    .string()
    .max(256)
    .transform((names) => names.split(','))
    .pipe(z.array(z.enum(CHANGE_EVENTS)).min(1))
    .optional()
    .describe(`kinds of changes, with commas between: ${CHANGE_EVENTS.join(', ')}`),
  follow: flag.describe('false: what is on record, then the end'),
  last_event_id: text(128).optional().describe('as the header Last-Event-ID: goes on after this change'),
});

const logsQuery = z.strictObject({ ...paging, run_id: text(64).describe('the run') });
const summaryQuery = z.strictObject({
  since: text(64).default('24h').describe('an RFC 3339 time, or a duration such as 24h'),
  component: text(128).optional(),
});
const dailyQuery = z.strictObject({ days: whole(1, 90).default(30) });

const duration = z.string().transform((value, context) => {
  const ms = parseDuration(value);
  if (ms !== undefined && ms > 0) return ms;
  context.addIssue({ code: 'custom', message: 'a duration such as 30m is expected' });
  return z.NEVER;
});
const json = z.record(z.string().max(256), z.json());

export const approvalBody = z.strictObject({ step: text(128).nullish(), comment: reason, by });
export const cancelBody = z.strictObject({ reason, by });
export const disableBody = z.strictObject({
  for: duration.nullish().describe('such as 2h; until it is enabled again when left out'),
  reason,
  by,
});
export const enableBody = z.strictObject({ by });
export const haltBody = z.strictObject({ on: z.boolean().default(true), hard: z.boolean().default(false), reason, by });
export const closeBody = z.strictObject({ comment: reason, by });
export const recoveryBody = z.strictObject({
  component: text(128),
  target: text(256).nullish(),
  strategy: text(128).nullish(),
  failureType: text(128).nullish(),
  inputs: json.default({}),
  context: json.default({}),
  requireApproval: z.boolean().default(false),
  override: z
    .array(z.enum(['cooldown']))
    .max(1)
    .default([]),
  reason,
  by,
});

const health = (id: string, path: string, summary: string): Route => ({
  id,
  method: 'GET',
  path,
  role: 'anyone',
  summary,
});
const read = (id: string, path: string, summary: string, query: z.ZodObject = none): Route => ({
  id,
  method: 'GET',
  path: `/api/v1/${path}`,
  role: 'viewer',
  summary,
  query,
});
const act = (id: string, path: string, role: Role, summary: string, body: z.ZodType): Route => ({
  id,
  method: 'POST',
  path: `/api/v1/${path}`,
  role,
  summary,
  body,
});

export const ROUTES: readonly Route[] = [
  {
    id: 'deliver',
    method: 'POST',
    path: WEBHOOK_PATH,
    role: 'sender',
    summary: "Takes Alertmanager's webhook; 202 once it is stored.",
  },
  health('healthy', '/-/healthy', 'The process is alive.'),
  health('healthz', '/healthz', 'The process is alive.'),
  health('ready', '/-/ready', 'It can take alerts in and act on them; details for those who may view.'),
  health('readyz', '/readyz', 'It can take alerts in and act on them; details for those who may view.'),
  { id: 'metrics', method: 'GET', path: '/metrics', role: 'viewer', summary: 'Metrics for Prometheus.' },
  {
    id: 'reload',
    method: 'POST',
    path: '/-/reload',
    role: 'admin',
    summary: 'Reads configuration, rules and runbooks again; the last good set stays if one is refused.',
  },

  {
    id: 'runbook-page',
    method: 'GET',
    path: '/runbooks/:kind/:strategy',
    role: 'viewer',
    summary: "A runbook as a page to read: where the alerts' runbook_url leads.",
  },
  {
    id: 'alerts-page',
    method: 'GET',
    path: '/alerts',
    role: 'viewer',
    summary: 'What to do about the alerts about amends itself: where their runbook_url leads.',
  },
  ...CONSOLE_ROUTES,

  read(
    'alerts',
    'alerts',
    'Alert entries received.',
    filters('id', 'deliveryId', 'status', 'episodeId', 'change', 'decided'),
  ),
  read(
    'episodes',
    'episodes',
    'Incidents.',
    filters('id', 'key', 'source', 'state', 'component', 'kind', 'target', 'hadRun', 'exhausted'),
  ),
  read(
    'decisions',
    'decisions',
    'What was decided.',
    filters(
      'id',
      'origin',
      'reason',
      'caller',
      'alertId',
      'deliveryId',
      'episodeId',
      'component',
      'target',
      'rule',
      'strategy',
      'runId',
    ),
  ),
  read('decision', 'decisions/:id', 'One decision with all that was stored with it.'),
  read('explain', 'decisions/:id/explain', 'Why it was decided so, and what would have had to be different.'),
  read(
    'runs',
    'runs',
    'Executions of runbooks.',
    filters(
      'id',
      'decisionId',
      'episodeId',
      'component',
      'kind',
      'target',
      'strategy',
      'rule',
      'state',
      'outcome',
      'cause',
    ),
  ),
  read('run', 'runs/:id', 'One run with its plan and events.'),
  read('components', 'components', 'What can be recovered, and how it stands.', page),
  read('component', 'components/:name', 'One component with its policy and inventory.'),
  read('rules', 'rules', 'The rules that are loaded, in the order they are asked in.', page),
  read('rule-evidence', 'rules/:name/evidence', 'What a rule has shown, and whether it is enough for its next mode.'),
  read('runbooks', 'runbooks', 'The runbooks that are loaded.', page),
  read('runbook', 'runbooks/:kind/:strategy', 'One runbook with its guide.'),
  read('degraded-modes', 'degraded-modes', 'What the application can and cannot do now.', page),
  read(
    'inbox',
    'inbox',
    'What waits for a human, or did.',
    filters('id', 'kind', 'status', 'severity', 'component', 'target', 'runId', 'episodeId', 'closedBy'),
  ),
  read('logs', 'logs', 'What amends logged and what the steps said of a run, oldest first.', logsQuery),
  read('events-stream', 'events/stream', 'Changes as they happen, as server-sent events.', streamQuery),
  read(
    'runs-summary',
    'metrics/runs-summary',
    'How runs ended, how often and how fast, by component and strategy.',
    summaryQuery,
  ),
  read('usage-daily', 'metrics/usage-daily', 'What came in and what was done, day by day (UTC).', dailyQuery),
  read('postmortem', 'postmortems/:id', 'The draft of a post-mortem of a run or an episode, as Markdown and as data.'),
  read('journal', 'journal', 'Deliveries as they came in, newest first: lines of a journal.', filters()),
  read('configurations', 'configurations', 'Each configuration that became active, newest first.', filters()),
  read('configuration', 'configurations/:id', 'One of them, with the names and digests of its files.'),
  read(
    'configuration-files',
    'configurations/:id/files',
    'Its files with their texts, secrets taken out.',
    z.strictObject({ ...paging, digest: text(128).optional().describe('only the one with this text') }),
  ),
  read('audit', 'audit', 'Every change, in a chain of hashes.', filters('seq', 'actor', 'action', 'subject')),
  read(
    'overview',
    'overview',
    'What stands still, waits, runs and was decided, in one answer: what the console opens with.',
  ),
  read('session', 'session', 'Who is asking, and what they may do.'),
  read('halt-state', 'halt', 'Whether everything stands still.'),
  read('openapi', 'openapi.json', 'This description.'),

  act('approve', 'runs/:id/approve', 'approver', 'Lets a waiting run go on.', approvalBody),
  act('deny', 'runs/:id/deny', 'approver', 'Withdraws a waiting run.', approvalBody),
  act('cancel', 'runs/:id/cancel', 'operator', 'Stops a run before its next step.', cancelBody),
  act('recover', 'recoveries', 'operator', 'Asks for a recovery, by strategy or by failure type.', recoveryBody),
  act('disable', 'components/:name/disable', 'operator', 'Nothing automatic on the component any more.', disableBody),
  act('enable', 'components/:name/enable', 'operator', 'Automatic again.', enableBody),
  act('disable-rule', 'rules/:name/disable', 'operator', 'The rule asks for nothing any more.', disableBody),
  act('enable-rule', 'rules/:name/enable', 'operator', 'The rule counts again.', enableBody),
  act('restore-rule', 'rules/:name/restore', 'approver', 'A demoted rule acts again as its file says.', cancelBody),
  act(
    'halt',
    'halt',
    'operator',
    'Everything stands still; with `on: false` it goes on, which an approver may ask for by name.',
    haltBody,
  ),
  {
    id: 'resume',
    method: 'DELETE',
    path: '/api/v1/halt',
    role: 'approver',
    summary: 'Everything goes on; needs a name.',
    query: z.strictObject({ by, reason }),
  },
  act(
    'close-breaker',
    'breakers/:component/:strategy/close',
    'operator',
    'The strategy may be tried again.',
    closeBody,
  ),
  act('close-inbox', 'inbox/:id/close', 'operator', 'A human has dealt with it.', closeBody),
];

/** OpenAPI 3.1 of the routes. */
export const openapi = (version: string): object => ({
  openapi: '3.1.0',
  info: {
    title: 'amends',
    version,
    description:
      'An alert comes in, a rule picks a runbook, the system is recovered and verified, everything is on record.',
  },
  components: {
    securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, basic: { type: 'http', scheme: 'basic' } },
    schemas: {
      Problem: {
        type: 'object',
        properties: {
          type: { type: 'string' },
          title: { type: 'string' },
          status: { type: 'integer' },
          detail: { type: 'string' },
          mend: { type: 'string' },
          problems: { type: 'array', items: { type: 'object' } },
        },
        required: ['title', 'status'],
      },
      Page: {
        type: 'object',
        properties: { items: { type: 'array', items: { type: 'object' } }, next: { type: ['string', 'null'] } },
        required: ['items', 'next'],
      },
    },
  },
  security: [{ bearer: [] }, { basic: [] }],
  paths: Object.fromEntries(
    [...new Set(ROUTES.map((route) => route.path))].map((path) => [
      path.replaceAll(/:(\w+)/g, '{$1}'),
      Object.fromEntries(
        ROUTES.filter((route) => route.path === path).map((route) => [route.method.toLowerCase(), operation(route)]),
      ),
    ]),
  ),
});

const PAGES: ReadonlySet<string> = new Set([
  'runbook-page',
  'alerts-page',
  ...CONSOLE_ROUTES.flatMap(({ id, method }) => (method === 'GET' ? [id] : [])),
]);

const operation = (route: Route): object => {
  const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const query = route.query === undefined ? {} : (z.toJSONSchema(route.query, { io: 'input' }).properties ?? {});
  const isList = 'limit' in query;
  return {
    operationId: route.id,
    summary: route.summary,
    'x-role': route.role,
    ...(route.role === 'anyone' ? { security: [] } : {}),
    parameters: [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...Object.entries(query).map(([name, schema]) => ({ name, in: 'query', required: false, schema })),
    ],
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: z.toJSONSchema(route.body, { io: 'input' }) } },
          },
        }),
    responses: {
      [route.id === 'deliver' ? '202' : '200']: {
        description: 'Done.',
        ...(route.id === 'events-stream' ? { content: { 'text/event-stream': { schema: { type: 'string' } } } } : {}),
        ...(PAGES.has(route.id) ? { content: { 'text/html': { schema: { type: 'string' } } } } : {}),
        ...(isList ? { content: { 'application/json': { schema: { $ref: '#/components/schemas/Page' } } } } : {}),
      },
      default: {
        description: 'A problem document.',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
};
