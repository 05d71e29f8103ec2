// Writes schemas/*.json, for editors, from the compiled sources that check the same files at load.
// To add one: export a function that makes it, and name it here. `--check` says what is out of date instead of writing.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { argumentsOf } from './arguments.mjs';

const SCHEMAS = [
  { file: 'config.schema.json', module: 'config-editor.js', make: 'configJsonSchema' },
  { file: 'web.schema.json', module: 'config-editor.js', make: 'webJsonSchema' },
  { file: 'targets.schema.json', module: 'config-editor.js', make: 'targetsJsonSchema' },
  { file: 'rule.schema.json', module: 'rule/schema.js', make: 'ruleJsonSchema' },
  { file: 'condition.schema.json', module: 'rule/schema.js', make: 'conditionJsonSchema' },
  { file: 'runbook.schema.json', module: 'catalog-editor.js', make: 'runbookJsonSchema' },
  { file: 'group.schema.json', module: 'catalog-editor.js', make: 'groupJsonSchema' },
  { file: 'test.schema.json', module: 'replay/test-schema.js', make: 'testJsonSchema' },
];

const folder = new URL('../schemas/', import.meta.url);
const { check } = argumentsOf({
  usage: `
npm run schemas [-- --check]

Writes schemas/*.json, for editors, from the code that checks the same files at load.

  --check   writes nothing, and says with exit code 1 what is out of date

Example:
  npm run schemas -- --check
`,
  options: { check: { type: 'boolean', default: false } },
}).values;
const { loadParts } = await import(new URL('../dist/app.js', import.meta.url));
const { actions } = await loadParts();
await mkdir(folder, { recursive: true });
for (const { file, module, make } of SCHEMAS) {
  const at = new URL(file, folder);
  const { [make]: schemaOf } = await import(new URL(`../dist/${module}`, import.meta.url));
  const options = await resolveConfig(at);
  const text = await format(JSON.stringify(schemaOf(actions)), { ...options, parser: 'json' });
  const before = await readFile(at, 'utf8').catch(() => '');
  if (before === text) continue;
  if (check) {
    process.stderr.write(`schemas/${file} is out of date: npm run schemas\n`);
    process.exitCode = 1;
  } else {
    await writeFile(at, text);
    process.stdout.write(`schemas/${file} written\n`);
  }
}
