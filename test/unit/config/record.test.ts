// What is remembered of a configuration: every text, without secrets, and enough to load it again where it is not.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadParts } from '../../../src/app.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import { loadCatalog, readCatalogFiles } from '../../../src/catalog.ts';
import { loadRecorded, recordOf } from '../../../src/config-record.ts';
import { redactedText } from '../../../src/config-redaction.ts';
import { loadConfig } from '../../../src/config.ts';
import { must, writeFiles } from '../../support/engine.ts';
import { root } from '../../support/servers.ts';

describe('a text of a configuration', () => {
  const redactor = createRedactor();
  redactor.register('known-secret');

  it.each([
    ['a key that tells', '{ "with": { "token": "abc", "n": 1 } }', { with: { token: '[redacted]', n: 1 } }],
    [
      'within braces',
      'with: {url: "http://u:pw@h/x", password: pw}',
      { with: { url: 'http://u:[redacted]@h/x', password: '[redacted]' } },
    ],
    [
      'in a block',
      'headers:\n  authorization: |\n    Bearer abc\n    def\nnext: 1\n',
      { headers: { authorization: '[redacted]' }, next: 1 },
    ],
    [
      'one that is known, in a plain word',
      'a: x-known-secret-y\nb: [known-secret]\n',
      { a: 'x-[redacted]-y', b: ['[redacted]'] },
    ],
    ['as a key', '{known-secret: 1}', { '[redacted]': 1 }],
    [
      'an address of a receiver',
      'notify: { receivers: [{ name: a, url: https://h.example/T0/B0 }] }',
      { notify: { receivers: [{ name: 'a', url: 'https://h.example/[redacted]' }] } },
    ],
  ])('I13 loses a secret and nothing else: %s', (_what, text, without) => {
    expect(parse(redactedText(text, redactor))).toEqual(without);
  });

  it('I13 loses one in a comment, and keeps its lines', () => {
    expect(redactedText('# known-secret\na: 1 # http://u:known-secret@h\n', redactor)).toBe(
      '# [redacted]\na: 1 # http://u:[redacted]@h\n',
    );
  });

  it.each([
    'password_file: /run/secrets/redis\n',
    '{ "with": { "password": "${{ connect.password }}" } }',
    'url: "redis://${{ target }}/0"\n',
    'recovery: { mode: auto }\n',
    'receivers: [{ url: http://127.0.0.1:9/ }]\n',
    'inputs:\n  token: { type: string, default: x }\n',
  ])('stays as it is where nothing is secret: %s', (text) => {
    expect(redactedText(text, redactor)).toBe(text);
  });
});

describe('a configuration on record', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'amends-record-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const recorded = async (file: string) => {
    const parts = await loadParts();
    const config = must(await loadConfig(file));
    const catalog = must(await loadCatalog({ config, ...parts }));
    const { about, textOf } = recordOf({ config, catalog }, must(await readCatalogFiles(config)), createRedactor());
    const files = about.files.map(({ kind, file: name, digest }) => ({ kind, file: name, text: textOf(digest) }));
    return { parts, config, catalog, about: { ...about, files } };
  };

  it('is loaded again as it was: everything that is shipped', async () => {
    const { parts, config, catalog, about } = await recorded(join(root, 'amends.yaml'));
    const again = must(await loadRecorded({ ...about, catalog: 'its', config: 'its' }, parts));
    expect(again.catalog.rules.digest).toBe(catalog.rules.digest);
    expect([...again.catalog.runbooks.values()]).toEqual([...catalog.runbooks.values()]);
    expect([again.catalog.files, again.catalog.digest, again.config.digest]).toEqual([catalog.files, 'its', 'its']);
    expect(again.config.components).toEqual(config.components);
    expect(about.files.length).toBe(
      1 + catalog.files.rules + about.files.filter(({ kind }) => kind === 'runbook').length,
    );
    expect(about.files.length).toBeGreaterThan(90);
  });

  it('is loaded again with its inventories, its groups and its conditions, wherever they stood', async () => {
    writeFiles(folder, {
      'etc/amends.yaml': `version: 1
rule_files: [../rules/**/*.json]
runbook_files: [../runbooks/*/*.yaml]
components:
  shop: { inventory: { file_sd: [../targets/**/s?.yaml, ${join(folder, 'targets/more.yaml')}] }, allow: { actions: ["wait.*"] } }
  hall: { inventory: { file_sd: [../targets/hall.yaml] } }
`,
      'targets/deep/s1.yaml': '- { targets: [one] }\n',
      'targets/s2.yaml': '- { targets: [two], labels: { zone: a } }\n',
      'targets/more.yaml': '- { targets: [three] }\n',
      'targets/hall.yaml': '- { targets: [door] }\n',
      'etc/conditions/down.json': { any: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
      'rules/shop.json': {
        name: 'shop-down',
        priority: 1,
        conditions: { all: [{ condition: 'down' }, { fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
        event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
      },
      'runbooks/groups/look.yaml':
        'version: 1\nsummary: Looks.\nsteps:\n  - { id: wait, uses: wait.for, with: { duration: 1ms } }\n',
      'runbooks/shop/mend.yaml': `version: 1
summary: Mend it.
severity: SEV3
before:
  - group: look
steps:
  - { id: mend, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look.
`,
    });
    const { parts, config, catalog, about } = await recorded(join(folder, 'etc/amends.yaml'));
    rmSync(folder, { recursive: true });
    const again = must(await loadRecorded(about, parts, 'shadow'));
    expect(again.config.components.get('shop')?.targets).toEqual(config.components.get('shop')?.targets);
    expect([...(again.config.components.get('shop')?.targets.keys() ?? [])]).toEqual(['one', 'two', 'three']);
    expect(again.config.components.get('hall')?.targets.size).toBe(1);
    expect(again.catalog.rules.rules.map(({ digest }) => digest)).toEqual(
      catalog.rules.rules.map(({ digest }) => digest),
    );
    expect(again.catalog.runbooks.get('shop/mend')?.digest).toBe(catalog.runbooks.get('shop/mend')?.digest);
    expect(again.config.recovery.mode).toBe('shadow');
  });
});
