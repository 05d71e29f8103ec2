// docs/metrics.md says of every family what the code says, and of none that there is not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { exportedFamilies } from '../support/metrics.ts';
import { root } from '../support/servers.ts';

const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8');

it('docs/metrics.md has every family with its type, labels and meaning; what is lacking is printed as it has to stand', async () => {
  const rows = [...(await exportedFamilies()).values()].map(
    ({ name, type, labels, help }) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ') || '-'} | ${help} |`,
  );
  const [, table = ''] = page.split('## Families');
  const told = (table.split('## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  expect(told.toSorted()).toEqual(rows.toSorted());
});

it('the queries of docs/metrics.md name metrics that there are', async () => {
  const families = await exportedFamilies();
  const named = [...page.matchAll(/\b(?:amends|infra)_\w+/g)].map(([name]) => name.replace(/_bucket$/, ''));
  expect(named.filter((name) => !families.has(name))).toEqual([]);
});
