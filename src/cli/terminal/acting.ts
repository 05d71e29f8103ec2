// What every command that changes something shares: who it is, why, and how the answer is shown.
import { userInfo } from 'node:os';
import type { Command as Commander } from 'commander';
import { isObject } from '../../base/json.ts';
import { didYouMean } from '../../base/failure.ts';
import type { Answer } from './client.ts';
import { CallFailed } from './client.ts';
import type { Invocation } from './command.ts';
import { Misuse, textOption } from './command.ts';
import { FINE } from './edge.ts';

const MOST_COMPONENTS = 10_000;

/** The user of this terminal, where --by says nothing else: a shared credential does not tell who it was. */
export const addBy = (command: Commander): Commander => command.option('--by <name>', 'who asks', ownName());

const ownName = (): string => {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a user that no file knows.
    return 'unknown';
  }
};

/** Prints the answer as JSON or as the sentence it comes to. */
export const report = ({ edge, output }: Invocation, answer: Answer, sentence: string): number => {
  edge.out(output === 'json' ? JSON.stringify(answer) : sentence);
  return FINE;
};

export const jsonOption = ({ options }: Invocation, name: string): Answer => {
  const text = textOption(options, name);
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // Said below: it is no object either way.
  }
  throw new Misuse(`--${name}: a JSON object is expected, for example --${name}='{"ticket":"OPS-12"}'`);
};

/** The component asked for; null: of all of them. One that nobody declared has no history, which is not to be taken for a quiet one. */
export const componentOption = async ({ options, client }: Invocation): Promise<string | undefined> => {
  const component = textOption(options, 'component');
  // Asked for itself: whoever is declared no more still has a history, and its runs answer for it.
  if (component === undefined) return undefined;
  const declared = (await client.list('/api/v1/components', {}, MOST_COMPONENTS)).map(({ name }) => String(name));
  if (declared.includes(component) || (await client.list('/api/v1/runs', { component }, 1)).length > 0)
    return component;
  const near = didYouMean(component, declared);
  const mend = near === undefined ? `Declared: ${declared.join(', ') || 'none'}` : `Did you mean ${near}?`;
  throw new CallFailed(`There is no component ${component}.\n${mend}`, 404, {
    title: 'Not found',
    status: 404,
    detail: `There is no component ${component}.`,
    mend,
  });
};

export const wholeOption = ({ options }: Invocation, name: string, most: number): number => {
  const text = textOption(options, name) ?? '';
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > most)
    throw new Misuse(`--${name}: a whole number from 1 to ${most} is expected, not ${JSON.stringify(text)}`);
  return value;
};
