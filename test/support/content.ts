// The shipped actions and facts by name, for tests of what is shipped with them.
import { pathToFileURL } from 'node:url';
import type { Actions } from '../../src/port/action.ts';
import type { Facts } from '../../src/port/fact.ts';
import { loadByName } from '../../src/port/loader.ts';
import { decide } from '../../src/rule/decide.ts';
import type { RuleSet } from '../../src/rule/decide.ts';
import { root } from './servers.ts';

export { root };

const folder = (name: string): URL => pathToFileURL(`${root}src/${name}/`);

export const actions = async (): Promise<Actions> => loadByName(folder('actions'), true);
export const facts = async (): Promise<Facts> => loadByName(folder('facts'), false);

/** The rule that wins an alert with these labels, or null; throws when a rule could not be decided. */
export const winnerAmong = async (
  rules: RuleSet,
  component: string,
  labels: Readonly<Record<string, string>>,
): Promise<string | null> => {
  const choice = await decide(rules, {
    labels,
    component,
    read: (fact) =>
      fact === 'alertname'
        ? labels['alertname']
        : fact.startsWith('label.')
          ? labels[fact.slice('label.'.length)]
          : undefined,
  });
  if (choice.errors.length > 0) throw new Error(JSON.stringify(choice.errors));
  return choice.winner?.name ?? null;
};
