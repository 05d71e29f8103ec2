// `npm run coverage:ids`: which test proves which behaviour, threat, fault and invariant (test/ids.json), by the ids in the
// names of describe, test, it and what is made of it (itWith), tables of `it.each` included, and in the list `covers` of each torment (torture/).
// Exit 1 when an id that is claimed has no test.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseSync } from '@swc/core';
import { argumentsOf, misused } from './arguments.mjs';
import { root } from './setup.mjs';

/** `itWith`, and what tests make of it: `itAsRoot`, `itOnChroma`. */
const isCaller = (name) => name === 'describe' || name === 'test' || /^it(?:$|[A-Z])/.test(name ?? '');

const { values: given } = argumentsOf({
  usage: `
npm run coverage:ids [-- options]

Which test proves which behaviour, threat, fault and invariant. Exit 1 when one that is claimed has no test.

  --ids FILE        another list than test/ids.json
  --output FORMAT   table or json (table)

Examples:
  npm run coverage:ids
  npm run -s coverage:ids -- --output=json
`,
  options: {
    ids: { type: 'string', default: join(root, 'test/ids.json') },
    output: { type: 'string', default: 'table' },
  },
});
if (!['table', 'json'].includes(given.output)) misused(`--output is table or json, not '${given.output}'.`);
const ids = JSON.parse(readFileSync(given.ids, 'utf8'));
// Whoever reads only the beginning (`| head`) has read enough.
process.stdout.on('error', ({ code }) => process.exit(code === 'EPIPE' ? 0 : 1));
const tests = new Map(ids.map(({ id }) => [id, []]));

const sources = [
  ...testFiles(join(root, 'test')).map((path) => [path, testNames(path)]),
  ...torments(join(root, 'torture')).map((path) => [path, covers(path)]),
];
for (const [path, names] of sources) {
  for (const name of names) {
    for (const id of new Set(name.match(/\b[VRDPOCFI]\d{1,2}\b/g))) {
      tests.get(id)?.push(`${relative(root, path)}: ${name}`);
    }
  }
}

const rows = ids.map(({ id, title, claimed = false }) => ({ id, title, claimed, tests: tests.get(id) }));
const covered = rows.filter((row) => row.tests.length > 0);
const broken = rows.filter((row) => row.claimed && row.tests.length === 0);

if (given.output === 'json') {
  process.stdout.write(`${JSON.stringify({ ids: rows, uncovered: broken.map(({ id }) => id) }, null, 2)}\n`);
} else {
  for (const { id, title, claimed, tests: names } of rows) {
    const mark = names.length > 0 ? 'covered' : claimed ? 'CLAIMED, WITHOUT A TEST' : 'open';
    process.stdout.write(`${id.padEnd(4)} ${title} (${mark})\n`);
    for (const name of names) process.stdout.write(`       ${name}\n`);
  }
  process.stdout.write(`\n${covered.length} of ${rows.length} covered, ${broken.length} claimed without a test\n`);
}
process.exitCode = broken.length > 0 ? 1 : 0;

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .toSorted();
}

function torments(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => join(folder, name))
    .toSorted();
}

/** The strings of `export const covers = [...]`. */
function covers(path) {
  const names = [];
  visit(parseSync(readFileSync(path, 'utf8'), { syntax: 'ecmascript', target: 'es2023' }), (node) => {
    if (node.type !== 'VariableDeclarator' || node.id.value !== 'covers') return;
    visit(node.init, (part) => {
      if (part.type === 'StringLiteral') names.push(part.value);
    });
  });
  return names;
}

/** The first argument of each call, and the strings of a table: `it.each([['F16', ...]])('%s ...')`. */
function testNames(path) {
  const names = [];
  visit(parseSync(readFileSync(path, 'utf8'), { syntax: 'typescript', target: 'es2023' }), (node) => {
    if (node.type !== 'CallExpression' || !isCaller(callerOf(node.callee))) return;
    const isTable = node.callee.type === 'MemberExpression' && node.callee.property.value === 'each';
    const subject = isTable ? node.arguments : node.arguments[0];
    visit(subject, (part) => {
      if (part.type === 'StringLiteral') names.push(part.value);
      if (part.type === 'TemplateElement') names.push(part.raw);
      return part.type !== 'ArrowFunctionExpression' && part.type !== 'FunctionExpression';
    });
  });
  return names;
}

/** `it` for it(...), it.only(...), it.each(...)(...), itWith('podman')(...). */
function callerOf(callee) {
  if (callee.type === 'Identifier') return callee.value;
  if (callee.type === 'MemberExpression') return callerOf(callee.object);
  return callee.type === 'CallExpression' ? callerOf(callee.callee) : undefined;
}

/** Every node, outermost first; `see` answers false where it wants none of what is inside. */
function visit(node, see) {
  if (node === null || typeof node !== 'object') return;
  if (node.type !== undefined && see(node) === false) return;
  for (const inside of Object.values(node)) visit(inside, see);
}
