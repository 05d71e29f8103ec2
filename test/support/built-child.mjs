// amends as it is built, in a process of its own that kills itself without a word at one call of its store.
// argv: settings as JSON, and the call: { call: 12, when: 'inside' | 'after' } or null.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createApp } from '../../dist/app.js';
import { createDeath } from './dying-store.mjs';

const settings = JSON.parse(process.argv[2]);
const death = createDeath(JSON.parse(process.argv[3] ?? 'null'));

const app = await createApp(settings, { aroundStore: (store) => death.around(store) });
if (!app.ok) {
  process.stderr.write(`${JSON.stringify(app.problems)}\n`);
  process.exit(app.exitCode ?? 1);
}
const { url } = await app.value.start();
process.stdout.write(`${JSON.stringify({ url })}\n`);
process.on('SIGTERM', () => void app.value.stop(5_000).then(() => process.exit(0)));
// How much it holds once nothing is left that nobody holds: two collections, since the second takes what lies outside the heap.
process.on('SIGUSR2', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.stdout.write(`${JSON.stringify({ memory: heapUsed + external })}\n`);
});
