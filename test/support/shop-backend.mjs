// A backend on a real SQLite file, for tests of lock contention: it writes one row when it is asked to, and says so or why not.
import { renameSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import Database from 'better-sqlite3';

const folder = process.argv[2];
const settings = JSON.parse(readFileSync(join(folder, 'settings.json'), 'utf8'));
const database = new Database(settings.database, { timeout: 200 });
const write = (name, text) => {
  writeFileSync(join(folder, `.${name}`), text);
  renameSync(join(folder, `.${name}`), join(folder, name));
};

if (settings.hog === true) {
  // A batch job that never ends its transaction.
  database.exec('BEGIN IMMEDIATE');
  setInterval(() => database.open, 1_000);
  write('service.pid', `${process.pid}\n`);
} else {
  createServer((request, response) => {
    try {
      if (request.method === 'POST') database.prepare("INSERT INTO orders (what) VALUES ('a check')").run();
      else if (request.url === '/readyz') database.prepare('SELECT count(*) FROM orders').get();
      response.writeHead(200).end('{"status":"ok"}');
    } catch (error) {
      response.writeHead(503).end(JSON.stringify({ error: error.message }));
    }
  }).listen(settings.port ?? 0, '127.0.0.1', function () {
    write('port', String(this.address().port));
    write('service.pid', `${process.pid}\n`);
  });
}
