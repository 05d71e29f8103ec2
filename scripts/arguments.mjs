// The command line of what `npm run` starts: `--help` says how it is called, and what cannot be understood is said in a
// sentence, with exit code 2. Starts without node_modules.
import { parseArgs } from 'node:util';

/** Ends the process with the sentence and where to read on. */
export const misused = (sentence) => {
  process.stderr.write(`${sentence}\nTo see how it is called, add --help.\n`);
  process.exit(2);
};

/** What parseArgs says, without its advice about other commands' habits. */
const sentenceOf = ({ message }) => {
  const [first] = message.split('. ');
  return first.endsWith('.') ? first : `${first}.`;
};

/** The values and positionals given. `usage` is printed for --help; `options` are those of node:util's parseArgs; */
export const argumentsOf = ({ usage, options = {}, allowPositionals = false, args = process.argv.slice(2) }) => {
  let given;
  try {
    given = parseArgs({ args, options: { ...options, help: { type: 'boolean', short: 'h' } }, allowPositionals });
  } catch (error) {
    return misused(sentenceOf(error));
  }
  if (given.values.help === true) {
    process.stdout.write(`${usage.trim()}\n`);
    process.exit(0);
  }
  return given;
};

/** Refuses a value that is no whole number from `least` on; an option that was not given is no mistake. */
export const wholeNumber = (name, text, least = 0) => {
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text) && Number(text) >= least) return Number(text);
  return misused(`--${name} takes a whole number${least > 0 ? ` from ${least} on` : ''}, not '${text}'.`);
};
