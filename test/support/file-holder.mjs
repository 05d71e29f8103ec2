// Has files open until it is ended.
import { openSync } from 'node:fs';

for (const path of process.argv.slice(2)) openSync(path, 'r');
process.send('ready');
setInterval(() => undefined, 1_000);
