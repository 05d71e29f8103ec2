// The reference in docs/ says what the code says. After a change of either: WRITE_DOCS=1 npm test -- test/content/reference
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { pathToFileURL } from 'node:url';
import { actions, facts, root } from '../support/content.ts';
import {
  actionReference,
  codeReference,
  commandReference,
  factReference,
  routeReference,
} from '../support/reference.ts';

const parts = [
  { file: 'docs/actions.md', name: 'actions', render: async () => actionReference(await actions()) },
  { file: 'docs/rules.md', name: 'facts', render: async () => factReference(await facts()) },
  { file: 'docs/check.md', name: 'codes', render: codeReference },
  { file: 'docs/api.md', name: 'routes', render: routeReference },
  { file: 'README.md', name: 'commands', render: () => commandReference(pathToFileURL(`${root}src/cli/`)) },
];

it.each(parts)('$file has what the code knows about $name', async ({ file, name, render }) => {
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  const begin = `<!-- ${name} -->\n`;
  const end = `\n<!-- /${name} -->`;
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  expect([from > begin.length, to > 0]).toEqual([true, true]);
  const rendered = `\n${await render()}\n`;
  if (process.env['WRITE_DOCS'] === '1') writeFileSync(path, text.slice(0, from) + rendered + text.slice(to));
  else expect(text.slice(from, to)).toBe(rendered);
});

const markdown = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

it.each(markdown)('%s names only files that are there', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1] ?? '');
  for (const link of links) expect(() => readFileSync(join(root, file, '..', link))).not.toThrow(/ENOENT/);
});
