// What people do through the API. Who they are comes from their credential; the desk decides and writes.
import type { z } from 'zod';
import { didYouMean } from '../base/failure.ts';
import { GUARDS } from '../run/reasons.ts';
import type { Answer } from '../port/desk.ts';
import { mayAct } from './auth.ts';
import type { ApiContext, Call, Handlers, Reply } from './call.ts';
import { Refused, TITLES } from './problem.ts';
import type { approvalBody, cancelBody, closeBody, disableBody, enableBody, haltBody, recoveryBody } from './routes.ts';

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

export const actors = (context: ApiContext): Handlers => {
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
    'restore-rule': async (call) => {
      const { reason, by } = call.body as z.output<typeof cancelBody>;
      return done(await desk.restore({ rule: call.params['name'] ?? '', by: actorOf(call, by), reason }));
    },
    halt: async (call) => {
      const { on, hard, reason, by } = call.body as z.output<typeof haltBody>;
      return on ? done(await desk.halt({ by: actorOf(call, by), reason, hard })) : resume(call, by, reason);
    },
    resume: (call) => resume(call, call.query['by'] as string | undefined, call.query['reason'] as string),
    'close-breaker': async (call) => {
      const { comment, by } = call.body as z.output<typeof closeBody>;
      const { component = '', strategy = '' } = call.params;
      return done(await desk.closeBreaker({ component, strategy, by: actorOf(call, by), comment }));
    },
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
      const { config, catalog, revision = null } = context.loaded();
      return { body: { reloaded: true, digests: { config: config.digest, catalog: catalog.digest }, revision } };
    },
  };
};

const done = <T>(answer: Answer<T>): Reply => {
  if (!answer.ok)
    throw new Refused({
      status: answer.status,
      title: TITLES[answer.status] ?? 'Refused',
      detail: answer.problem,
      ...(answer.mend === undefined ? {} : { mend: answer.mend }),
    });
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
  if (((strategy ?? null) === null) === ((failureType ?? null) === null)) {
    throw new Refused({
      status: 422,
      title: TITLES[422] ?? '',
      detail: 'Either a strategy or a failure type is needed.',
      mend: 'name one of them',
    });
  }
  if (override.length > 0 && reason === '') {
    throw new Refused({
      status: 422,
      title: TITLES[422] ?? '',
      detail: 'Passing over a guard needs a reason.',
      mend: 'say why in `reason`',
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
    traceparent: call.traceparent ?? null,
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
