// Builds src/ twice. dist/ is one file for each source file: what tests, the torture and the schemas import from. bundle/
// is what bin/amends runs: the same program with the packages it loads at its start packed into a few files, since to find and
// read a thousand files took a start longer than to run them. Each folder is swapped in at the end, so that whatever runs from it
// never finds half of it, and a file that was deleted in src/ does not live on, where actions are found by name.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build } from 'esbuild';

/** Started by their address, as commands, threads and processes: each keeps its place in bundle/. */
const startedByAddress = [
  /^main\.ts$/,
  /^cli\/[^/]+\.ts$/,
  /^cli\/demo\/(shop|locker)\.ts$/,
  /^actions\/(off-thread-worker|spawner-child)\.ts$/,
];
/** Found by the name of their file (src/port/loader.ts): each folder becomes one index. */
const foundByName = {
  actions: /^actions\/([^/]+)\/([^/]+)\.ts$/,
  facts: /^facts\/()([^/]+)\.ts$/,
  notifiers: /^notifiers\/()([^/]+)\.ts$/,
};
/** Native, or loaded only when a step needs them. */
const external = ['@kubernetes/client-node', 'better-sqlite3', 'dockerode', 'ioredis', 'pg', 'ssh2'];

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const textOf = (name) => readFileSync(join('src', name), 'utf8');

/** What actions hand to a thread, they name by its address too. */
const jobs = sources
  .filter((name) => foundByName.actions.test(name))
  .flatMap((name) =>
    [...textOf(name).matchAll(/\boffThread<[^>]+>\('([^']+)', import\.meta\.url\)/g)].map(([, job]) =>
      join(dirname(name), job),
    ),
  );

const gone = (folder) => rmSync(folder, { recursive: true, force: true });

function swapIn(made, folder) {
  const old = `${made}.old`;
  try {
    renameSync(folder, old);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  renameSync(made, folder);
  gone(old);
}

function compile(outDir) {
  const compiled = spawnSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', outDir], { stdio: 'inherit' });
  return compiled.status ?? 1;
}

/** A module knows its neighbours by its own address, and keeps it wherever its code comes to stand. */
const ownAddress = {
  name: 'own-address',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]src[/\\].*\.ts$/ }, ({ path }) => {
      const name = relative('src', path).replace(/\.ts$/, '.js');
      const address = `(import.meta.url.replace(/^(.*\\/bundle\\/).*$/, '$1') + ${JSON.stringify(name)})`;
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', address), loader: 'ts' };
    });
  },
};

const byName = {
  name: 'by-name',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^by-name:/ }, ({ path }) => ({ path: path.slice('by-name:'.length), namespace: 'by-name' }));
    onLoad({ filter: /./, namespace: 'by-name' }, ({ path: folder }) => {
      const found = sources.filter((name) => foundByName[folder].test(name) && /^export default /m.test(textOf(name)));
      const imports = found.map((name, index) => `import part${index} from './src/${name}';`);
      const entries = found.map((name, index) => {
        const [, family, verb] = foundByName[folder].exec(name);
        return `${JSON.stringify(family === '' ? verb : `${family}.${verb}`)}: part${index}`;
      });
      return { contents: `${imports.join('')}export default {${entries.join()}};`, resolveDir: resolve('.') };
    });
  },
};

const pack = (outdir) =>
  build({
    entryPoints: [
      ...[...sources.filter((name) => startedByAddress.some((pattern) => pattern.test(name))), ...new Set(jobs)].map(
        (name) => ({ in: join('src', name), out: name.replace(/\.ts$/, '') }),
      ),
      ...Object.keys(foundByName).map((folder) => ({ in: `by-name:${folder}`, out: `${folder}/index` })),
    ],
    outdir,
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external,
    // Packages in CommonJS ask for Node's own modules by require().
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    // Smaller files are read faster and kept in memory; names stay, for the sake of stacks.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'warning',
    plugins: [ownAddress, byName],
  });

/** The page for browsers: one script, one style, and what names them. The server reads them from here alone. */
async function packConsole(outdir) {
  await build({
    entryPoints: { console: 'src/console/main.ts' },
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
  });
  await build({ entryPoints: { console: 'src/console/console.css' }, outdir, minify: true, logLevel: 'warning' });
  copyFileSync('src/console/index.html', join(outdir, 'index.html'));
}

const [dist, bundle] = [`dist.${process.pid}`, `bundle.${process.pid}`];
const status = compile(dist);
if (status === 0) {
  await pack(bundle);
  await packConsole(join(bundle, 'console'));
  swapIn(dist, 'dist');
  swapIn(bundle, 'bundle');
}
gone(dist);
gone(bundle);
process.exitCode = status;
