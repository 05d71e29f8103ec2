// A real service for tests: it takes memory and files as its settings say, gives them back when it is asked by a signal or
// over HTTP, and tells how it is. `<folder>/settings.json` is read at its start; `service.pid` and `port` are written.
import { openSync, closeSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const folder = process.argv[2];
const settings = JSON.parse(readFileSync(join(folder, 'settings.json'), 'utf8'));
const write = (name, text) => {
  writeFileSync(join(folder, `.${name}`), text);
  renameSync(join(folder, `.${name}`), join(folder, name));
};

if (settings.crashAfter !== undefined) setTimeout(() => process.exit(1), settings.crashAfter);
let garbage = Array.from({ length: settings.leakMegabytes ?? 0 }, () => Buffer.alloc(2 ** 20, 1));
let handles = Array.from({ length: settings.handles ?? 0 }, () => openSync(join(folder, 'settings.json'), 'r'));
let collected = 0;
const collect = () => {
  collected += 1;
  if (settings.deaf) return;
  garbage = [];
  globalThis.gc?.();
};
const release = () => {
  if (settings.deaf) return;
  for (const handle of handles) closeSync(handle);
  handles = [];
};
process.on('SIGUSR2', collect);
process.on('SIGHUP', release);

const server = createServer((request, response) => {
  if (request.url === '/collect') collect();
  if (request.url === '/release') release();
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({
      status: 'ok',
      batch_size: settings.batchSize ?? null,
      handles: handles.length,
      garbage: garbage.length,
      collected,
      pid: process.pid,
    }),
  );
});
server.listen(settings.port ?? 0, '127.0.0.1', () => {
  write('port', String(server.address().port));
  write('service.pid', `${process.pid}\n`);
});
