// What people did, done again at the same desk: controls, answers to questions, runs by hand.
import type { Json, JsonObject } from '../base/json.ts';
import { isObject } from '../base/json.ts';
import type { Answer, Desk } from '../port/desk.ts';
import type { RunRow } from '../port/record.ts';
import type { Store } from '../port/store.ts';
import type { RecordedAct } from './journal.ts';

type Done = Answer<unknown>;
type Acting = { readonly desk: Desk; readonly store: Pick<Store, 'activeRuns' | 'list'>; readonly now: number };

/** Null when it was done; else why it was not. */
export const actAgain = async (acting: Acting, act: RecordedAct): Promise<string | null> => {
  const done = await perform(acting, act);
  return done.ok ? null : done.problem;
};

const perform = async (acting: Acting, { type, what }: RecordedAct): Promise<Done> => {
  switch (type) {
    case 'control':
      return control(acting, what);
    case 'approval':
      return answer(acting, what);
    case 'manual':
      return acting.desk.recover({
        component: text(what['component']),
        target: textOrNull(what['target']),
        strategy: textOrNull(what['strategy']),
        failureType: textOrNull(what['failure_type']),
        inputs: objectOf(what['inputs']),
        context: objectOf(what['context']),
        requireApproval: what['require_approval'] === true,
        overrideCooldown: what['override_cooldown'] === true,
        by: text(what['by']),
        reason: text(what['reason']),
      });
    default:
      return type satisfies never;
  }
};

const no = (problem: string): Done => ({ ok: false, status: 422, problem });

const control = async ({ desk, store, now }: Acting, what: JsonObject): Promise<Done> => {
  const [by, reason, name] = [text(what['by']), text(what['reason']), text(what['name'])];
  const action = text(what['action']);
  switch (action) {
    case 'halt':
      return desk.halt({ by, reason, hard: what['hard'] === true });
    case 'resume':
      return desk.resume({ by, reason });
    case 'disable': {
      const until = what['until'] === undefined || what['until'] === null ? null : Date.parse(text(what['until']));
      return desk.disable({ scope: scopeOf(what), name, forMs: until === null ? null : until - now, by, reason });
    }
    case 'enable':
      return desk.enable({ scope: scopeOf(what), name, by });
    case 'restore':
      return desk.restore({ rule: name, by, reason });
    case 'close_breaker':
      return desk.closeBreaker({
        component: text(what['component']),
        strategy: text(what['strategy']),
        by,
        comment: reason,
      });
    case 'close_inbox': {
      const open = await store.list('inbox', { limit: 1_000, cursor: null, filters: { status: 'open' }, since: null });
      const entry = open.items.find(
        ({ kind, component, target }) =>
          kind === 'escalation' && component === what['component'] && target === what['target'],
      );
      return entry === undefined ? no('nothing of it is open') : desk.closeInbox({ id: entry.id, by, comment: reason });
    }
    default:
      return no(`${action === '' ? 'a control without an action' : action}: no control that is known`);
  }
};

const scopeOf = (what: JsonObject): 'component' | 'rule' => (what['scope'] === 'rule' ? 'rule' : 'component');

const answer = async ({ desk, store }: Acting, what: JsonObject): Promise<Done> => {
  const is = (run: RunRow): boolean =>
    run.component === what['component'] && run.target === what['target'] && run.strategy === what['strategy'];
  const found = (await store.activeRuns()).filter(is);
  const run = found.find(({ state }) => state === 'awaiting_approval') ?? found[0];
  if (run === undefined) return no('no such run is under way');
  const by = text(what['by']);
  switch (text(what['answer'])) {
    case 'approve':
      return desk.approve({ runId: run.id, step: null, by, comment: '' });
    case 'deny':
      return desk.deny({ runId: run.id, step: null, by, comment: '' });
    case 'cancel':
      return desk.cancel({ runId: run.id, by, reason: '' });
    default:
      return no('an answer is approve, deny or cancel');
  }
};

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
const textOrNull = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);
const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});
