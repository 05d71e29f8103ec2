// A supervisor and its application. The application serves what its files say: version.txt is what it calls itself,
// health.txt what its health check answers, schema.txt the version of the database that it knows, error_share.txt what share
// of its answers are errors, as its metrics tell; asked to `/worsen`, it answers ever worse. HUP starts it anew.
//   node served-app.mjs <folder> <port file> [<database>]
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import Database from 'better-sqlite3';

const [, , folder, portFile, database] = process.argv;
const file = (name, otherwise) => {
  try {
    return readFileSync(join(folder, name), 'utf8').trim();
  } catch {
    return otherwise;
  }
};
const load = () => ({
  version: file('version.txt', 'none'),
  health: Number(file('health.txt', '200')),
  schema: file('schema.txt', ''),
  errorShare: Number(file('error_share.txt', '0')),
});
const schemaOf = () => {
  const opened = new Database(database, { readonly: true });
  try {
    return String(opened.pragma('user_version', { simple: true }));
  } finally {
    opened.close();
  }
};

let app = load();
let starts = 1;
process.on('SIGHUP', () => {
  app = load();
  starts += 1;
});
const server = createServer((request, response) => {
  if (request.url === '/worsen') app = { ...app, errorShare: 0.2 };
  if (request.url === '/metrics') {
    response.end(`http_error_share ${app.errorShare}\n`);
    return;
  }
  const fits = database === undefined || app.schema === '' || schemaOf() === app.schema;
  const status =
    request.url === '/health' && !fits
      ? 500
      : request.url === '/version' || request.url === '/starts'
        ? 200
        : app.health;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ status: status === 200 ? 'healthy' : 'broken', version: app.version, starts }));
});
server.listen(0, '127.0.0.1', () => {
  writeFileSync(`${portFile}.new`, String(server.address().port));
  renameSync(`${portFile}.new`, portFile);
});
