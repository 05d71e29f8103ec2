// Where a command writes: one flag for all of them.
import type { Command as Commander } from 'commander';
import { Option } from 'commander';
import type { Options } from './command.ts';
import { Misuse, textOption } from './command.ts';

/** `--out` is the same. */
export const addDirectoryFlag = (command: Commander, what: string): Commander =>
  command.option('--directory <folder>', what).addOption(new Option('--out <folder>').hideHelp());

/** Undefined: nobody has named one. */
export const directoryOf = (options: Options): string | undefined => {
  const [one, other] = [textOption(options, 'directory'), textOption(options, 'out')];
  if (one !== undefined && other !== undefined) throw new Misuse('--directory and --out are the same: give one');
  return one ?? other;
};
