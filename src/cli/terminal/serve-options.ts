// The flags of `amends serve`, as DESIGN fixes them, and the settings that they and the environment come to.
import type { Command as Commander } from 'commander';
import { formatProblem } from '../../base/failure.ts';
import type { Settings } from '../../config.ts';
import { environment, readSettings } from '../../config.ts';
import type { Options } from './command.ts';
import { Misuse } from './command.ts';

/** Without defaults here: the environment comes between the flag and them (src/config.ts). */
export const addFileFlags = (command: Commander): Commander =>
  command
    .option('--config.file <file>', 'configuration, with rules and runbooks beside it (default: amends.yaml)')
    .option('--web.config.file <file>', 'TLS, users and tokens')
    .option('--recovery.mode <mode>', 'shadow, approve or auto, before what the file says');

export const addServeFlags = (command: Commander): Commander =>
  addFileFlags(command)
    .option('--web.listen-address <host:port>', 'where to listen (default: 127.0.0.1:9193)')
    .option('--web.external-url <url>', 'how people reach it, for links')
    .option('--storage.path <folder>', 'where the record is kept (default: ./data)')
    .option('--storage.url <url>', 'kept for PostgreSQL in place of a folder; this version refuses it')
    .option('--halt.file <file>', 'while it is there everything stands still (default: halt in the storage folder)')
    .option('--storage.accept-empty-history', 'start with an empty record where there was one')
    .option('--log.level <level>', 'debug, info, warn, error or silent (default: info)')
    .option('--log.format <format>', 'json or logfmt (default: json)');

export const settingsOf = (options: Options): Settings => {
  const settings = readSettings(options, environment());
  if (!settings.ok) throw new Misuse(settings.problems.map(formatProblem).join('\n'));
  return settings.value;
};
