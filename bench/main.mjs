// `npm run bench -- <name>`: sets up what is missing, runs one measurement, prints its result as one JSON object.
// Progress goes to stderr. Exit 1 when a goal is missed.
import { argumentsOf, misused, wholeNumber } from '../scripts/arguments.mjs';
import { setUp } from '../scripts/setup.mjs';

/** What each measurement can be told, with what it takes when it is not. */
const MEASUREMENTS = {
  accept: { what: 'posts a second beside a bare express', rounds: 5, seconds: 4, connections: 64, rules: 100 },
  latency: { what: 'from an alert to the first effect of its run', alerts: 300, warm: 20 },
  idle: { what: 'memory and processor when nothing happens, and the start', seconds: 30, starts: 5 },
  explain: { what: '`amends explain` among very many decisions', decisions: 1_000_000 },
  audit: { what: 'bytes of an entry of the audit', runs: 150 },
  backtest: { what: '`amends backtest` over a busy month', deliveries: 100_000 },
};
const names = Object.keys(MEASUREMENTS);
const numbersOf = (measurement) => Object.fromEntries(Object.entries(measurement).filter(([key]) => key !== 'what'));

const USAGE = `
npm run bench -- NAME [--number=N ...]

One measurement on a quiet machine, its result as one JSON object on stdout. Exit 0: its goals are met. 1: one is missed.
2: not understood.

${names
  .map((name) => {
    const numbers = Object.entries(numbersOf(MEASUREMENTS[name])).map(([key, value]) => `--${key} ${value}`);
    return `  ${name.padEnd(10)}${MEASUREMENTS[name].what}\n            ${numbers.join(', ')}`;
  })
  .join('\n')}

Examples:
  npm run bench -- accept
  npm run bench -- backtest --deliveries=10000
`;
// Which options there are hangs on the name, which is looked for first.
const name = process.argv.slice(2).find((arg) => names.includes(arg));
const numbers = name === undefined ? {} : numbersOf(MEASUREMENTS[name]);
const { values, positionals } = argumentsOf({
  usage: USAGE,
  options: Object.fromEntries(Object.keys(numbers).map((key) => [key, { type: 'string' }])),
  allowPositionals: true,
});
if (name === undefined || positionals.length !== 1)
  misused(
    positionals.length === 1
      ? `There is no measurement '${positionals[0]}'; there are ${names.join(', ')}.`
      : `One measurement is wanted: ${names.join(', ')}.`,
  );
const options = Object.fromEntries(Object.entries(values).map(([key, text]) => [key, wholeNumber(key, text, 1)]));

await setUp();

const { measure } = await import(`./${name}.mjs`);
const result = await measure(options);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exitCode = result.pass ? 0 : 1;
