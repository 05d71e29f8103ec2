// The demo's hung process: takes a database's write lock and never lets go, as a job that waits for something that will
// not come. Run as: node locker.js <database>; prints a line once it holds the lock.
import { writeSync } from 'node:fs';
import Database from 'better-sqlite3';

// Found by this name in the process table.
process.title = 'stock-report';

const database = new Database(process.argv[2] ?? '', { fileMustExist: true });
database.exec('BEGIN IMMEDIATE');
database.prepare("INSERT INTO entries (item, quantity) VALUES ('half done', 0)").run();
writeSync(1, '{"locked":true}\n');

// Hung: no event loop turns any more, so only a signal ends it; or, should the demo have been killed, ten minutes.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600_000);
