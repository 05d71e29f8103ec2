// Where the halt file is, for the two commands that write and remove it without the API.
import type { Command as Commander } from 'commander';
import type { Invocation } from './command.ts';
import { settingsOf } from './serve-options.ts';

export const addFileOptions = (command: Commander, what: string): Commander =>
  command
    .option('--file', what)
    .option('--halt.file <file>', 'with --file: where it is; in the storage folder when left out')
    .option('--storage.path <folder>', 'with --file: where amends serve keeps its data');

/** Null without --file. */
export const haltFileOf = ({ options }: Invocation): string | null => {
  if (options['file'] !== true) return null;
  return settingsOf(options).haltFile;
};
