// What the API answers: reads straight from the store and from what is loaded, and hands what people do to the desk.
import type { Request } from 'express';
import type { z } from 'zod';
import { didYouMean } from '../base/failure.ts';
import { formatDuration } from '../base/duration.ts';
import type { Result } from '../base/failure.ts';
import type { Mode, Policy } from '../rule/limits.ts';
import { weakest } from '../rule/limits.ts';
import { explain } from '../replay/explain.ts';
import { GUARDS } from '../run/reasons.ts';
import type { Answer, Desk } from '../port/desk.ts';
import type { ListQuery, Rows } from '../port/store.ts';
import { mayAct } from './auth.ts';
import type { Principal } from './auth.ts';
import { componentFigures } from './figures.ts';
import type { ComponentFigures, FiguresContext } from './figures.ts';
import { readSince } from './outside.ts';
import { Refused, TITLES } from './problem.ts';
import { openapi } from './routes.ts';
import type { approvalBody, cancelBody, closeBody, disableBody, enableBody, haltBody, recoveryBody } from './routes.ts';

export type Call = {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
  readonly principal: Principal;
  readonly request: Request;
};
export type Reply = { readonly status?: number; readonly body: unknown };
/** By the id of the route. */
export type Handlers = Readonly<Record<string, (call: Call) => Promise<Reply> | Reply>>;

export type ApiContext = FiguresContext & {
  readonly desk: Desk;
  readonly version: string;
  reload(): Promise<Result<unknown>>;
};

const missing = (what: string): Refused =>
  new Refused({ status: 404, title: 'Not found', detail: `There is no ${what}.` });

export const createHandlers = (context: ApiContext): Handlers => ({ ...readers(context), ...actors(context) });

const readers = (context: ApiContext): Handlers => {
  const { store, clock, loaded } = context;
  const lists =
    <Kind extends keyof Rows>(kind: Kind) =>
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
    if (found === null) throw missing(`decision ${id}`);
    return found;
  };
  return {
    alerts: lists('alerts'),
    episodes: lists('episodes'),
    decisions: lists('decisions'),
    runs: lists('runs'),
    inbox: lists('inbox'),
    audit: lists('audit'),
    decision: async ({ params }) => ({ body: await decisionOf(params['id'] ?? '') }),
    explain: async ({ params }) => ({ body: explain(await decisionOf(params['id'] ?? '')) }),
    run: async ({ params }) => {
      const found = await store.run(params['id'] ?? '');
      if (found === null) throw missing(`run ${params['id']}`);
      const { run, plan, events } = found;
      return { body: { ...run, plan, events: events.map(({ seq, at, event }) => ({ seq, at, ...event })) } };
    },
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
      if (figures === undefined || component === undefined) throw missing(`component ${name}`);
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
          policy: readable(component.policy),
        },
      };
    },
    rules: async ({ query }) => {
      const disabled = (await store.controls()).rules;
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
        }),
      );
      return { body: slice(rules, query) };
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
    runbook: ({ params }) => {
      const name = `${params['kind']}/${params['strategy']}`;
      const found = loaded().catalog.runbooks.get(name);
      if (found === undefined) throw missing(`runbook ${name}`);
      return { body: found };
    },
    'degraded-modes': async ({ query }) => {
      const rows = await store.degraded();
      const declared = loaded().config.degradedModes;
      const names = [...new Set([...declared.keys(), ...rows.map((row) => row.mode)])];
      const modes = names.map((name) => {
        const by = rows.filter((row) => row.mode === name);
        const { available = [], unavailable = [], impact = '' } = declared.get(name) ?? {};
        return {
          name,
          active: by.length > 0,
          since: by.length === 0 ? null : Math.min(...by.map((row) => row.since)),
          available,
          unavailable,
          impact,
          by: by.map(({ component, target, runId, since }) => ({ component, target, runId, since })),
        };
      });
      return { body: slice(modes, query) };
    },
    'halt-state': async () => {
      const file = context.halt.reason();
      const { halt } = await store.controls();
      return {
        body: {
          ...halt,
          at: halt.on ? halt.at : null,
          on: halt.on || file !== null,
          ...(file === null ? {} : { by: 'file', reason: file }),
        },
      };
    },
    openapi: () => ({ body: openapi(context.version) }),
  };
};

/** Who it was: the credential, and the person that a shared one names. */
const actorOf = ({ principal }: Call, by: string | undefined): string => {
  if (principal.local) return by ?? principal.name;
  return by === undefined || by === principal.name ? principal.name : `${principal.name}/${by}`;
};

/** A halt is lifted by somebody: on a machine without credentials they have to say who they are. */
const nameOf = (call: Call, by: string | undefined): string => {
  if (call.principal.local && by === undefined)
    throw new Refused({
      status: 422,
      title: TITLES[422] ?? '',
      detail: 'Lifting a halt needs a name.',
      mend: 'say who you are in `by`',
    });
  return actorOf(call, by);
};

const actors = (context: ApiContext): Handlers => {
  const { desk } = context;
  const idOf = ({ params }: Call): string => params['id'] ?? '';
  const resume = async (call: Call, by: string | undefined, reason: string): Promise<Reply> => {
    if (!mayAct(call.principal.role, 'approver'))
      throw new Refused({ status: 403, title: 'Forbidden', detail: 'Lifting a halt needs the role approver.' });
    return done(await desk.resume({ by: nameOf(call, by), reason }));
  };
  const control = (scope: 'component' | 'rule'): Handlers => ({
    [scope === 'component' ? 'disable' : 'disable-rule']: async (call) => {
      const body = call.body as z.output<typeof disableBody>;
      return done(
        await desk.disable({
          scope,
          name: call.params['name'] ?? '',
          forMs: body.for ?? null,
          by: actorOf(call, body.by),
          reason: body.reason,
        }),
      );
    },
    [scope === 'component' ? 'enable' : 'enable-rule']: async (call) =>
      done(
        await desk.enable({
          scope,
          name: call.params['name'] ?? '',
          by: actorOf(call, (call.body as z.output<typeof enableBody>).by),
        }),
      ),
  });
  return {
    approve: async (call) => {
      const { step, comment, by } = call.body as z.output<typeof approvalBody>;
      return done(await desk.approve({ runId: idOf(call), step: step ?? null, by: actorOf(call, by), comment }));
    },
    deny: async (call) => {
      const { step, comment, by } = call.body as z.output<typeof approvalBody>;
      return done(await desk.deny({ runId: idOf(call), step: step ?? null, by: actorOf(call, by), comment }));
    },
    cancel: async (call) => {
      const { reason, by } = call.body as z.output<typeof cancelBody>;
      return done(await desk.cancel({ runId: idOf(call), by: actorOf(call, by), reason }));
    },
    recover: (call) => recover(context, call),
    ...control('component'),
    ...control('rule'),
    halt: async (call) => {
      const { on, hard, reason, by } = call.body as z.output<typeof haltBody>;
      return on ? done(await desk.halt({ by: actorOf(call, by), reason, hard })) : resume(call, by, reason);
    },
    resume: (call) => resume(call, call.query['by'] as string | undefined, call.query['reason'] as string),
    'close-inbox': async (call) => {
      const { comment, by } = call.body as z.output<typeof closeBody>;
      return done(await desk.closeInbox({ id: idOf(call), by: actorOf(call, by), comment }));
    },
    reload: async () => {
      const result = await context.reload();
      if (!result.ok)
        throw new Refused({
          status: 422,
          title: 'Not reloaded',
          detail: 'The last good set stays in use.',
          problems: result.problems,
        });
      const { config, catalog } = context.loaded();
      return { body: { reloaded: true, digests: { config: config.digest, catalog: catalog.digest } } };
    },
  };
};

const done = <T>(answer: Answer<T>): Reply => {
  if (!answer.ok)
    throw new Refused({ status: answer.status, title: TITLES[answer.status] ?? 'Refused', detail: answer.problem });
  return { body: answer.value };
};

const HELD: ReadonlySet<string> = new Set(GUARDS);

const recover = async ({ desk, loaded }: ApiContext, call: Call): Promise<Reply> => {
  const { component, target, strategy, failureType, inputs, context, requireApproval, override, reason, by } =
    call.body as z.output<typeof recoveryBody>;
  const names = [...loaded().config.components.keys()];
  if (!names.includes(component)) {
    const near = didYouMean(component, names);
    throw new Refused({
      status: 404,
      title: 'Not found',
      detail: `There is no component ${component}.`,
      mend: near === undefined ? `declared: ${names.join(', ') || 'none'}` : `did you mean ${near}?`,
    });
  }
  if ((strategy == null) === (failureType == null)) {
    throw new Refused({
      status: 422,
      title: TITLES[422] ?? '',
      detail: 'Either a strategy or a failure type is needed.',
      mend: 'name one of them',
    });
  }
  const answer = await desk.recover({
    component,
    target: target ?? null,
    strategy: strategy ?? null,
    failureType: failureType ?? null,
    inputs,
    context,
    requireApproval,
    overrideCooldown: override.includes('cooldown'),
    reason,
    by: actorOf(call, by),
  });
  const reply = done(answer);
  if (!answer.ok || answer.value.runId !== null) return { ...reply, status: 202 };
  if (!HELD.has(answer.value.reason)) return reply;
  const held = answer.value.verdicts.find((verdict) => !verdict.passed);
  throw new Refused({
    status: 409,
    title: `Held: ${answer.value.reason}`,
    ...(held === undefined ? {} : { detail: held.detail }),
    more: { ...answer.value },
  });
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
    cooldownUntil: figures.cooldownUntil,
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
  };
};
