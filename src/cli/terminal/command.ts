// What a command file exports, and what its actions are handed. The file's name is the command's name.
import type { Command as Commander } from 'commander';
import type { Client } from './client.ts';
import type { Edge } from './edge.ts';

/** Every command knows table, json and text; others are those of a command that names them. */
export type OutputFormat = 'table' | 'json' | 'text' | 'markdown' | 'github' | 'sarif';

/** Options and arguments as commander read them; each command knows the names that it declared. */
export type Options = Readonly<Record<string, string | boolean | undefined>>;
export type Invocation = {
  readonly edge: Edge;
  readonly args: readonly string[];
  readonly options: Options;
  readonly output: OutputFormat;
  /** The API of a running amends. */
  readonly client: Client;
};

/** Gives the exit code: 0 fine, 1 found something or refused, 2 misuse. */
export type Act = (invocation: Invocation) => Promise<number>;

export type Command = {
  readonly summary: string;
  readonly examples: readonly string[];
  /** Formats of this command alone. */
  readonly outputs?: readonly OutputFormat[];
  /** Declares arguments, options and subcommands; `act` makes a commander action of ours. */
  define(command: Commander, act: (run: Act) => (...args: unknown[]) => Promise<void>): void;
};

/** The command line was wrong: exit 2 with this message. */
export class Misuse extends Error {
  override readonly name = 'Misuse';
}

export const textOption = (options: Options, name: string): string | undefined => {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
};

/** An argument that commander has seen to be there. */
export const argument = (invocation: Invocation, index: number): string => invocation.args[index] ?? '';
