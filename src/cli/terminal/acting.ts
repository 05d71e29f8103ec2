// What every command that changes something shares: who it is, why, and how the answer is shown.
import { userInfo } from 'node:os';
import type { Command as Commander } from 'commander';
import { isObject } from '../../base/json.ts';
import type { Answer } from './client.ts';
import type { Invocation } from './command.ts';
import { Misuse, textOption } from './command.ts';
import { FINE } from './edge.ts';

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

export const wholeOption = ({ options }: Invocation, name: string, most: number): number => {
  const text = textOption(options, name) ?? '';
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > most)
    throw new Misuse(`--${name}: a whole number from 1 to ${most} is expected, not ${JSON.stringify(text)}`);
  return value;
};
