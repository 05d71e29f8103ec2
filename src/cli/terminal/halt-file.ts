// Where the halt file is, for the two commands that write and remove it without the API.
import type { Command as Commander } from 'commander';
import type { Invocation } from './command.ts';
import { Misuse, textOption } from './command.ts';
import { settingsOf } from './serve-options.ts';

export const addFileOptions = (command: Commander, what: string): Commander =>
  command
    .option('--file', what)
    .option('--halt.file <file>', 'with --file: where it is; in the storage folder when left out')
    .option('--storage.path <folder>', 'with --file: where amends serve keeps its data');

/** Null without --file. Where it is without that it is to be a file is half of a wish: better asked than halted elsewhere. */
export const haltFileOf = ({ options }: Invocation): string | null => {
  if (options['file'] !== true) {
    const where = ['halt.file', 'storage.path'].find((name) => textOption(options, name) !== undefined);
    if (where === undefined) return null;
    throw new Misuse(`--${where} says where the halt file is: add --file, or leave it out to ask the API`);
  }
  return settingsOf(options).haltFile;
};
