// A migration command in the manner of alembic: `current` prints the version, `down` takes exactly one migration back.
//   node migrate.mjs current|down <database>
import process from 'node:process';
import Database from 'better-sqlite3';

const [, , what, path] = process.argv;
const database = new Database(path, { fileMustExist: true });
const version = () => Number(database.pragma('user_version', { simple: true }));
if (what === 'down') {
  const before = version();
  if (before < 2) {
    process.stderr.write('there is no migration to take back\n');
    process.exit(3);
  }
  database.transaction(() => {
    database.exec('ALTER TABLE orders DROP COLUMN discount');
    database.pragma(`user_version = ${before - 1}`);
  })();
  process.stdout.write(`downgraded ${before} -> ${version()}\n`);
} else process.stdout.write(`${version()}\n`);
database.close();
