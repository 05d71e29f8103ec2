// Compiles src/ to dist/ beside it and swaps the folders at the end: whatever runs from dist/ never finds half of it, and
// a file that was deleted in src/ does not live on in dist/, where actions are found by name.
import { spawnSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';

const made = `dist.${process.pid}`;
const gone = (folder) => rmSync(folder, { recursive: true, force: true });
const compiled = spawnSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', made], { stdio: 'inherit' });
if (compiled.status !== 0) {
  gone(made);
  process.exit(compiled.status ?? 1);
}
const old = `${made}.old`;
try {
  renameSync('dist', old);
} catch (error) {
  if (error.code !== 'ENOENT') throw error;
}
renameSync(made, 'dist');
gone(old);
