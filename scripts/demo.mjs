// `npm run demo`: sets up what is missing, then hands over to `amends demo` with the same arguments.
import { run, setUp } from './setup.mjs';

await setUp();

process.exitCode = await run(process.execPath, ['bin/amends', 'demo', ...process.argv.slice(2)]);
