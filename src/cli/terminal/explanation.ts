// Why something was decided, as people read it; of a decision that was, and of one that would be.
import { isObject } from '../../base/json.ts';
import type { Answer } from './client.ts';
import { cell, lines, printable, table } from './text.ts';

const objects = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);
const strings = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];

export const explanationPage = (explanation: Answer): string => {
  const decision = isObject(explanation['decision']) ? explanation['decision'] : {};
  const changes = strings(explanation['whatWouldHaveToChange']);
  const guards = objects(explanation['guards']);
  const rules = objects(explanation['rules']);
  const candidates = strings(explanation['candidates']);
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
      ['candidates', candidates],
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

/** What each of these rules lacks. */
export const missPage = (misses: readonly Answer[]): string =>
  misses
    .flatMap((miss) => [
      `  ${cell(miss['rule'])}:`,
      ...strings(miss['conditions']).map((condition) => `    ${printable(condition)}`),
    ])
    .join('\n');
