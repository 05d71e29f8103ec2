// `npm test`: sets up what is missing, then runs Jest over everything, or over what the arguments name
// (`npm test -- test/unit/duration.test.ts`).
import { run, setUp } from './setup.mjs';

await setUp();

process.exitCode = await run(process.execPath, [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
  ...process.argv.slice(2),
]);
