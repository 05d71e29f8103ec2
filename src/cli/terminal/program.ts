// The command line as a whole: finds the command's file by its name, hands it to commander, turns what comes back into
// an exit code. Only the file of the command that was asked for is loaded, so `serve` starts fast.
import { readdir, readFile } from 'node:fs/promises';
import { Command as Commander, CommanderError, Option } from 'commander';
import { didYouMean } from '../../base/failure.ts';
import { CallFailed, createClient } from './client.ts';
import type { Act, Command, Invocation, Options, OutputFormat } from './command.ts';
import { Misuse } from './command.ts';
import type { Edge } from './edge.ts';
import { FINE, FOUND, MISUSE } from './edge.ts';

const OUTPUTS: readonly OutputFormat[] = ['table', 'json', 'text'];
const FOLDER = new URL('../', import.meta.url);
const DEFAULT_URL = 'http://127.0.0.1:9193';
/** Options before the command whose value stands in the next argument. */
const TAKE_A_VALUE = new Set(['--url', '--token-file', '--output']);

/** Runs one command line, without the program's own name, and gives the exit code. */
export const runCommandLine = async (argv: readonly string[], edge: Edge): Promise<number> => {
  const names = await commandNames();
  const asked = commandOf(argv);
  let exitCode = FINE;
  const act =
    (run: Act) =>
    async (...args: unknown[]) => {
      exitCode = await run(invocationOf(args, edge));
    };
  // `amends help serve` and `amends --help` show every command's summary; a slip of the pen needs the names alone.
  const wanted = asked !== undefined && names.includes(asked) ? [asked] : names;
  if (asked !== undefined && asked !== 'help' && !names.includes(asked)) {
    const near = didYouMean(asked, names);
    edge.err(
      `amends has no command ${JSON.stringify(asked)}.${near === undefined ? '' : ` Did you mean ${near}?`}\nSee: amends --help`,
    );
    return MISUSE;
  }
  const commands = new Map<string, Command>();
  for (const name of wanted) commands.set(name, await load(name));
  const own = asked === undefined ? [] : (commands.get(asked)?.outputs ?? []);
  const program = createProgram(edge, await version(), [...OUTPUTS, ...own]);
  for (const [name, command] of commands) define(program, name, command, act);
  try {
    if (asked === undefined && !argv.some((arg) => arg.startsWith('-'))) {
      edge.err(program.helpInformation().trimEnd());
      return MISUSE;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return failed(error, edge, wantsJson(argv));
  }
};

const failed = (error: unknown, edge: Edge, json: boolean): number => {
  if (error instanceof CommanderError) return error.exitCode === 0 ? FINE : MISUSE;
  if (error instanceof Misuse) {
    edge.err(error.message);
    return MISUSE;
  }
  if (error instanceof CallFailed) {
    if (json) edge.out(JSON.stringify({ error: error.document }));
    edge.err(error.message);
    return FOUND;
  }
  throw error;
};

const wantsJson = (argv: readonly string[]): boolean =>
  argv.some((arg, index) => arg === '--output=json' || (arg === '--output' && argv[index + 1] === 'json'));

/** The first argument that is neither an option nor an option's value. */
const commandOf = (argv: readonly string[]): string | undefined => {
  for (let at = 0; at < argv.length; at += 1) {
    const arg = argv[at] ?? '';
    if (TAKE_A_VALUE.has(arg)) at += 1;
    else if (!arg.startsWith('-')) return arg;
  }
  return undefined;
};

const commandNames = async (): Promise<readonly string[]> => {
  const files = await readdir(FOLDER);
  return files.flatMap((file) => /^([a-z-]+)\.(?:ts|js)$/.exec(file)?.[1] ?? []).toSorted();
};

const load = async (name: string): Promise<Command> => {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return ((await import(new URL(`${name}.${extension}`, FOLDER).href)) as { command: Command }).command;
};

const version = async (): Promise<string> => {
  const text = await readFile(new URL('../../package.json', FOLDER), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

const createProgram = (edge: Edge, ownVersion: string, outputs: readonly OutputFormat[]): Commander => {
  const program = new Commander('amends');
  const lineByLine = (write: (line: string) => void) => (text: string) => write(text.replace(/\n$/, ''));
  program
    .description(
      'An alert comes in, a rule picks a runbook, the system is recovered and verified, everything is on record.',
    )
    .version(ownVersion, '--version', 'say which version this is')
    .helpOption('-h, --help', 'say how it is used')
    .addOption(new Option('--url <url>', 'where amends listens').env('AMENDS_URL').default(DEFAULT_URL))
    .addOption(new Option('--token-file <file>', 'file with the bearer token').env('AMENDS_TOKEN_FILE'))
    .addOption(new Option('--output <format>', 'how the result is printed').choices(outputs).default('table'))
    .configureHelp({ showGlobalOptions: true, sortSubcommands: true })
    .configureOutput({ writeOut: lineByLine(edge.out), writeErr: lineByLine(edge.err) })
    .showHelpAfterError('(add --help for the options and examples)')
    .exitOverride();
  return program;
};

const define = (
  program: Commander,
  name: string,
  command: Command,
  act: (run: Act) => (...args: unknown[]) => Promise<void>,
): void => {
  const defined = program.command(name).description(command.summary).summary(command.summary);
  command.define(defined, act);
  defined.addHelpText('after', `\nExamples:\n${command.examples.map((example) => `  ${example}`).join('\n')}`);
};

/** What commander calls an action with: the arguments, the command's own options, the command. */
const invocationOf = (called: readonly unknown[], edge: Edge): Invocation => {
  const command = called.at(-1) as Commander;
  const options = command.optsWithGlobals<Options>();
  // Commander has seen that it is one of the choices.
  const output = (options['output'] ?? 'table') as OutputFormat;
  const url = typeof options['url'] === 'string' ? options['url'] : DEFAULT_URL;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new Misuse(`--url: ${JSON.stringify(url)} is not an http or https address; for example ${DEFAULT_URL}`);
  const tokenFile =
    typeof options['tokenFile'] === 'string' && options['tokenFile'] !== '' ? options['tokenFile'] : undefined;
  return { edge, args: command.args, options, output, client: createClient({ url, tokenFile }) };
};
