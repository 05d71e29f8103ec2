// What the API answers from: straight from the store, and from what is loaded.
import { formatDuration } from '../base/duration.ts';
import { explain } from '../replay/explain.ts';
import type { Mode, Policy } from '../rule/limits.ts';
import { weakest } from '../rule/limits.ts';
import type { DecisionRow, ListQuery, Page, Rows } from '../port/record.ts';
import { actors } from './acts.ts';
import { alertsPage } from './alerts-page.ts';
import type { ApiContext, Call, Handlers, Reply } from './call.ts';
import { readDegradedModes } from './degraded.ts';
import { componentFigures } from './figures.ts';
import type { ComponentFigures } from './figures.ts';
import { readHalt } from './halt.ts';
import { readSince } from './outside.ts';
import { explained, readOverview, shared } from './overview.ts';
import { Refused } from './problem.ts';
import { readEvidence } from './evidence.ts';
import {
  createUsage,
  readConfigurationFiles,
  readJournalPage,
  readPostmortem,
  readRunLog,
  readRunsSummary,
} from './reports.ts';
import { openapi } from './routes.ts';
import { progressOf } from './run-progress.ts';
import { runbookPage } from './runbook-page.ts';

/** `list` is the route that has them all. */
const missing = (what: string, list: string): Refused =>
  new Refused({
    status: 404,
    title: 'Not found',
    detail: `There is no ${what}.`,
    mend: `GET ${list} lists what there is`,
  });

/** The overview reads some hundred rows: however many look at it in a storm, it is put together so often at most. */
const OVERVIEW_EVERY_MS = 500;

export const createHandlers = (context: ApiContext): Handlers => ({
  ...fromStore(context),
  ...reports(context),
  ...fromCatalog(context),
  ...actors(context),
});

const fromStore = (context: ApiContext): Handlers => {
  const { store, clock } = context;
  const overview = shared(clock, OVERVIEW_EVERY_MS, async () => {
    const components = (await componentFigures(context)).map((figures) => summary(context, figures));
    return {
      version: context.version,
      mode: context.loaded().config.recovery.mode,
      ...(await readOverview(context)),
      components,
    };
  });
  const lists =
    (kind: keyof Rows) =>
    async ({ query }: Call): Promise<Reply> => {
      try {
        return { body: await store.list(kind, listQuery(query, clock.now())) };
      } catch (error) {
        if (error instanceof RangeError)
          throw new Refused({ status: 400, title: 'Bad request', detail: error.message });
        throw error;
      }
    };
  const decisionOf = async (id: string) => {
    const found = await store.decision(id);
    if (found === null) throw missing(`decision ${id}`, '/api/v1/decisions');
    return found;
  };
  return {
    alerts: lists('alerts'),
    episodes: lists('episodes'),
    decisions: async (call) => {
      const { body } = (await lists('decisions')(call)) as { readonly body: Page<DecisionRow> };
      return { body: { ...body, items: await explained(store, body.items) } };
    },
    runs: lists('runs'),
    inbox: lists('inbox'),
    audit: lists('audit'),
    decision: async ({ params }) => ({ body: await decisionOf(params['id'] ?? '') }),
    explain: async ({ params }) => ({ body: explain(await decisionOf(params['id'] ?? '')) }),
    run: async ({ params }) => {
      const found = await store.run(params['id'] ?? '');
      if (found === null) throw missing(`run ${params['id']}`, '/api/v1/runs');
      const { run, plan, events } = found;
      const trace = plan.traceparent === undefined ? {} : { traceparent: plan.traceparent };
      const progress = progressOf(found, await store.controls());
      const told = events.map(({ seq, at, event }) => ({ seq, at, ...event }));
      return { body: { ...run, ...trace, plan, events: told, progress } };
    },
    'degraded-modes': async ({ query }) => ({ body: slice(await readDegradedModes(context), query) }),
    'halt-state': async () => ({ body: await readHalt(context) }),
    overview: async () => ({ body: await overview() }),
    logout: () => ({ body: {} }),
    session: ({ principal, session = null }) => {
      const { name, role, local } = principal;
      const { csrf = null, expiresAt = null } = session ?? {};
      return { body: { name, role, local, csrf, expiresAt, version: context.version, now: clock.now() } };
    },
  };
};

const reports = (context: ApiContext): Handlers => {
  const usage = createUsage(context);
  return {
    journal: async ({ query }) => ({ body: await readJournalPage(context, listQuery(query, context.clock.now())) }),
    configurations: async ({ query }) => {
      const { since } = listQuery({ since: query['since'] }, context.clock.now());
      const all = await context.store.configurations(since);
      return {
        body: slice(
          all.toReversed().map(({ files, ...about }) => ({ ...about, files: files.length })),
          query,
        ),
      };
    },
    configuration: async ({ params }) => ({ body: await configurationOf(context, params['id']) }),
    'configuration-files': async ({ params, query }) => {
      const { files } = await configurationOf(context, params['id']);
      return { body: await readConfigurationFiles(context, files, query) };
    },
    logs: async ({ query }) => {
      const id = String(query['run_id']);
      const lines = await readRunLog(context, context.runLog, id);
      if (lines === null) throw missing(`run ${id}`, '/api/v1/runs');
      return { body: slice(lines, query) };
    },
    'runs-summary': async ({ query }) => {
      const { since } = listQuery({ since: query['since'] }, context.clock.now());
      const component = typeof query['component'] === 'string' ? query['component'] : null;
      return { body: await readRunsSummary(context, { since: since ?? 0, component }) };
    },
    'usage-daily': async ({ query }) => ({ body: { items: await usage(Number(query['days'])), next: null } }),
    postmortem: async ({ params }) => {
      const draft = await readPostmortem(context, params['id'] ?? '');
      if (draft === null) throw missing(`run or episode ${params['id']}`, '/api/v1/runs');
      return { body: draft };
    },
  };
};

const configurationOf = async ({ store }: ApiContext, id = '') => {
  const found = /^\d{1,15}$/.test(id) ? await store.configuration(Number(id)) : null;
  if (found === null) throw missing(`configuration ${id}`, '/api/v1/configurations');
  return found;
};

const fromCatalog = (context: ApiContext): Handlers => {
  const { store, loaded } = context;
  const runbookOf = (params: Call['params']) => {
    const name = `${params['kind']}/${params['strategy']}`;
    const found = loaded().catalog.runbooks.get(name);
    if (found === undefined) throw missing(`runbook ${name}`, '/api/v1/runbooks');
    return found;
  };
  return {
    components: async ({ query }) => ({
      body: slice(
        (await componentFigures(context)).map((figures) => summary(context, figures)),
        query,
      ),
    }),
    component: async ({ params }) => {
      const name = params['name'] ?? '';
      const figures = (await componentFigures(context)).find((one) => one.name === name);
      const component = loaded().config.components.get(name);
      if (figures === undefined || component === undefined) throw missing(`component ${name}`, '/api/v1/components');
      const inventory = [...component.targets.values()].map((target) => ({
        name: target.name,
        labels: target.labels,
        connect: target.connect,
      }));
      return {
        body: {
          ...summary(context, figures),
          inventory,
          allowedActions: component.allowedActions,
          probes: probesOf(context, name),
          policy: readable(component.policy),
        },
      };
    },
    rules: async ({ query }) => {
      const { rules: disabled, demotions } = await store.controls();
      const rules = loaded().catalog.rules.rules.map(
        ({ name, description, owner, file, digest, priority, event, mode, ladder, limits, severity, conditions }) => ({
          name,
          description,
          owner,
          file,
          digest,
          priority,
          event,
          mode,
          ladder,
          limits,
          severity,
          conditions,
          disabled: disabled.get(name) ?? null,
          demoted: demotions.get(name) ?? null,
        }),
      );
      return { body: slice(rules, query) };
    },
    'rule-evidence': async ({ params }) => {
      const rule = loaded().catalog.rules.rules.find(({ name }) => name === params['name']);
      if (rule === undefined) throw missing(`rule ${params['name']}`, '/api/v1/rules');
      return { body: await readEvidence(context, rule) };
    },
    runbooks: ({ query }) => {
      const runbooks = [...loaded().catalog.runbooks.values()].map(
        ({ name, kind, strategy, summary: text, severity, effect, digest, inputs }) => ({
          name,
          kind,
          strategy,
          summary: text,
          severity,
          effect,
          digest,
          inputs: Object.keys(inputs),
        }),
      );
      return { body: slice(runbooks, query) };
    },
    runbook: ({ params }) => ({ body: runbookOf(params) }),
    'alerts-page': async () => ({ page: await alertsPage() }),
    'runbook-page': ({ params }) => ({ page: runbookPage(runbookOf(params)) }),
    openapi: () => ({ body: openapi(context.version) }),
  };
};

const listQuery = ({ limit, cursor, since, ...given }: Readonly<Record<string, unknown>>, now: number): ListQuery => {
  const from = typeof since === 'string' ? readSince(since, now) : null;
  if (from === undefined)
    throw new Refused({
      status: 400,
      title: 'Bad request',
      detail: 'since is neither an RFC 3339 time nor a duration such as 24h',
    });
  const filters = Object.fromEntries(
    Object.entries(given).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
  return {
    limit: typeof limit === 'number' ? limit : 100,
    cursor: typeof cursor === 'string' ? cursor : null,
    filters,
    since: from,
  };
};

const probesOf = ({ loaded, metrics }: ApiContext, component: string): readonly unknown[] =>
  loaded()
    .config.probes.filter((probe) => probe.component === component)
    .map(({ name, uses, target, every }) => {
      const last = metrics.lastProbe({ probe: name, component, target });
      return { name, uses, target, every: formatDuration(every), last };
    });

/** A page of what is held in memory, in its own order; the cursor is how far the page before went. */
const slice = (
  items: readonly unknown[],
  { limit, cursor }: Readonly<Record<string, unknown>>,
): { items: readonly unknown[]; next: string | null } => {
  const start = cursor === undefined ? 0 : Number(cursor);
  if (!Number.isSafeInteger(start) || start < 0)
    throw new Refused({ status: 400, title: 'Bad request', detail: 'the cursor is not one that a list has given out' });
  const end = start + (typeof limit === 'number' ? limit : 100);
  return { items: items.slice(start, end), next: end < items.length ? String(end) : null };
};

const summary = ({ loaded }: ApiContext, figures: ComponentFigures): Readonly<Record<string, unknown>> => {
  const { config } = loaded();
  const component = config.components.get(figures.name);
  const mode: Mode = weakest(config.recovery.mode, component?.policy.mode ?? 'shadow');
  return {
    name: figures.name,
    kind: component?.kind,
    team: component?.team,
    state: stateOf(figures),
    mode,
    targets: [...(component?.targets.keys() ?? [])],
    disabled: figures.disabled,
    attempts: figures.attempts.map(({ window, used, limit }) => ({ window: formatDuration(window), used, limit })),
    ...(figures.fleet.length === 0
      ? {}
      : { fleet: figures.fleet.map(({ window, used, limit }) => ({ window: formatDuration(window), used, limit })) }),
    cooldownUntil: figures.cooldownUntil,
    breakers: figures.breakers.filter(({ failures }) => failures > 0),
    degraded: [...new Set(figures.degraded.map((row) => row.mode))],
    runs: figures.runs.map(({ id, target, strategy, state }) => ({ id, target, strategy, state })),
  };
};

export const stateOf = ({ disabled, runs, degraded, cooldownUntil }: ComponentFigures): string => {
  if (disabled !== null) return 'disabled';
  if (runs.some((run) => run.state !== 'awaiting_approval')) return 'recovering';
  if (runs.length > 0) return 'awaiting_approval';
  if (degraded.length > 0) return 'degraded';
  return cooldownUntil === null ? 'ok' : 'cooldown';
};

const readable = (policy: Policy): unknown => {
  const limits = (list: Policy['attempts']) => list.map(({ max, per }) => ({ max, per: formatDuration(per) }));
  const {
    mode,
    attempts,
    budget,
    cooldown,
    maxConcurrent,
    maxConcurrentTotal,
    settle,
    stale,
    resolveHold,
    episodeTtl,
    approval,
    breaker,
    storm,
    maintenance,
    minHealthy,
    domain,
    fleet,
    promotion,
  } = policy;
  return {
    mode,
    attempts: limits(attempts),
    budget: limits(budget),
    maxConcurrent,
    maxConcurrentTotal,
    cooldown: {
      afterFailure: formatDuration(cooldown.afterFailure),
      factor: cooldown.factor,
      max: formatDuration(cooldown.max),
      afterSuccess: formatDuration(cooldown.afterSuccess),
    },
    settle: formatDuration(settle),
    stale: formatDuration(stale),
    resolveHold: formatDuration(resolveHold),
    episodeTtl: formatDuration(episodeTtl),
    approval: {
      remind: formatDuration(approval.remind),
      escalate: formatDuration(approval.escalate),
      expires: formatDuration(approval.expires),
    },
    breaker: { failures: breaker.failures, trials: breaker.trials.map(formatDuration) },
    storm: {
      ...storm,
      window: formatDuration(storm.window),
      componentsWindow: formatDuration(storm.componentsWindow),
      gather: formatDuration(storm.gather),
    },
    maintenance: maintenance.map((window) => ({ ...window, duration: formatDuration(window.duration) })),
    minHealthy,
    domain,
    fleet: fleet === null ? null : { attempts: limits(fleet.attempts), maxConcurrent: fleet.maxConcurrent },
    promotion,
  };
};
