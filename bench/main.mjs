// `npm run bench -- <name>`: sets up what is missing, runs one measurement, prints its result as one JSON object.
// Progress goes to stderr. Exit 1 when a goal is missed.
import { setUp } from '../scripts/setup.mjs';

const names = ['accept', 'latency', 'idle', 'explain', 'audit', 'backtest'];
const [name, ...rest] = process.argv.slice(2);

if (!names.includes(name)) {
  process.stderr.write(`npm run bench -- ${names.join('|')} [--name=value ...]\n`);
  process.exit(2);
}

await setUp();

const options = Object.fromEntries(
  rest.map((arg) => {
    const [key, value] = arg.replace(/^--/, '').split('=');
    return [key, Number(value)];
  }),
);
const { measure } = await import(`./${name}.mjs`);
const result = await measure(options);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exitCode = result.pass ? 0 : 1;
