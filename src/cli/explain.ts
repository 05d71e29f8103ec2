// `amends explain`: why something was done, or was not, from what was stored with the decision.
import { isObject } from '../base/json.ts';
import type { Answer, Client } from './terminal/client.ts';
import { CallFailed } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { argument } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { cell, lines, printable, table } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Why it was decided so, and what would have had to be different. Takes the id of a decision, a run or an alert.',
  examples: ['amends explain 0192c6a1-...', 'amends explain 0192c6a1-... --output=json'],
  define: (explain, act) => void explain.argument('<id>', 'of a decision, a run or an alert').action(act(run)),
};

const run = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const explanation = await explanationOf(client, argument(invocation, 0));
  edge.out(output === 'json' ? JSON.stringify(explanation) : page(explanation));
  return FINE;
};

/** Ids are of one shape, so each list is asked in turn. */
const explanationOf = async (client: Client, id: string): Promise<Answer> => {
  const path = (decision: unknown): string => `/api/v1/decisions/${encodeURIComponent(String(decision))}/explain`;
  const decision = await unlessMissing(client.get(path(id)));
  if (decision !== null) return decision;
  const ran = await unlessMissing(client.get(`/api/v1/runs/${encodeURIComponent(id)}`));
  if (ran !== null) return client.get(path(ran['decisionId']));
  const [newest] = await client.list('/api/v1/decisions', { alertId: id, origin: 'delivery' }, 1);
  if (newest !== undefined) return client.get(path(await decidingOne(client, newest)));
  const message = `Neither a decision nor a run nor a decided alert has the id ${printable(id)}.\nIds are shown by: amends history, amends runs list, amends inbox list`;
  throw new CallFailed(message, 404, { title: 'Not found', status: 404, detail: id });
};

/** How far back a repeat is followed to the decision that it repeats. */
const MOST_REPEATS = 500;

/** A repeat was decided before: what explains it is the newest decision of its episode that was no repeat. */
const decidingOne = async (client: Client, newest: Answer): Promise<unknown> => {
  const episodeId = newest['episodeId'];
  if (newest['reason'] !== 'duplicate' || typeof episodeId !== 'string') return newest['id'];
  const decisions = await client.list('/api/v1/decisions', { episodeId }, MOST_REPEATS);
  return (decisions.find(({ reason }) => reason !== 'duplicate') ?? newest)['id'];
};

const unlessMissing = async (call: Promise<Answer>): Promise<Answer | null> => {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallFailed && error.status === 404) return null;
    throw error;
  }
};

const objects = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);
const strings = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];

const page = (explanation: Answer): string => {
  const decision = isObject(explanation['decision']) ? explanation['decision'] : {};
  const changes = strings(explanation['whatWouldHaveToChange']);
  const guards = objects(explanation['guards']);
  const rules = objects(explanation['rules']);
  return [
    printable(String(explanation['why'])),
    '',
    lines([
      ['decision', decision['id']],
      ['at', decision['at']],
      ['origin', decision['origin']],
      ['reason', decision['reason']],
      ['component', decision['component']],
      ['target', decision['target']],
      ['rule', decision['rule']],
      ['run', decision['runId']],
    ]),
    ...(changes.length === 0
      ? []
      : ['', 'What would have had to be different:', ...changes.map((change) => `  ${printable(change)}`)]),
    ...(guards.length === 0
      ? []
      : [
          '',
          table(
            ['guard', 'verdict', 'detail', 'until'],
            guards.map((guard) => [
              guard['guard'],
              guard['passed'] === true ? 'passed' : 'refused',
              guard['detail'],
              guard['endsAt'],
            ]),
          ),
        ]),
    ...rules.flatMap((rule) => [
      '',
      `rule ${cell(rule['rule'])}: ${rule['matched'] === true ? 'matched' : 'did not match'}${rule['error'] === null ? '' : ` (${cell(rule['error'])})`}`,
      ...objects(rule['conditions']).map((condition) => `  ${mark(condition['result'])} ${cell(condition['text'])}`),
    ]),
  ].join('\n');
};

const mark = (result: unknown): string => (result === true ? 'yes' : result === false ? 'no ' : '  -');
