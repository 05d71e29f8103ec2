// The shipped dashboards: as their code says, readable, and asking for nothing that amends does not export.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { leadsToConsole } from '../support/console.ts';
import { dashboards, filled, queriesOf } from '../support/dashboards.ts';
import { exportedFamilies } from '../support/metrics.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { parse } from 'yaml';
import { root } from '../support/servers.ts';

const boards = [...dashboards()];
const families = await exportedFamilies();
const familyOf = (name: string) => families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? families.get(name);

it('grafana/dashboards is what grafana/src says: npm run dashboards', () => {
  const script = `import('${root}/scripts/dashboards.mjs').then(async ({ rendered }) => process.stdout.write(JSON.stringify([...(await rendered())])))`;
  const rendered = JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' }),
  ) as ReadonlyArray<readonly [string, string]>;
  const onDisk = rendered.map(([name]) => [name, readFileSync(join(root, 'grafana/dashboards', name), 'utf8')]);
  expect(onDisk).toEqual(rendered);
});

it('their addresses are for ever: people and alerts link to them', () => {
  expect(Object.fromEntries(boards.map(([file, { uid }]) => [file, uid]))).toEqual({
    'overview.json': 'amends-overview',
    'component.json': 'amends-component',
    'rules.json': 'amends-rules',
    'itself.json': 'amends-itself',
  });
});

it('what is held and why stands before everything else on the overview', () => {
  const overview = dashboards().get('overview.json');
  const [first] = (overview?.panels ?? []).toSorted((left, right) => left.gridPos.y - right.gridPos.y);
  expect(first?.title).toBe('Held, and why');
  const rateAt = overview?.panels.findIndex(({ title }) => title === 'Recovery rate') ?? -1;
  expect(overview?.panels[rateAt + 1]?.title).toBe('Ineffective');
});

it('provisioning names the data source that the dashboards ask for, and a folder of dashboards', () => {
  const read = (file: string): unknown => parse(readFileSync(join(root, 'grafana/provisioning', file), 'utf8'));
  const { datasources } = read('datasources/prometheus.yaml') as { datasources: Array<{ uid: string; type: string }> };
  expect(datasources).toMatchObject([{ uid: 'prometheus', type: 'prometheus' }]);
  for (const [, board] of boards) {
    const [source] = board.templating.list;
    expect(source).toMatchObject({ name: 'datasource', query: 'prometheus', current: { value: 'prometheus' } });
  }
  const { providers } = read('dashboards/amends.yaml') as {
    providers: Array<{ type: string; options: { path: string } }>;
  };
  expect(providers).toMatchObject([{ type: 'file', options: { path: expect.stringMatching(/^\//) as unknown } }]);
});

describe.each(boards)('grafana/dashboards/%s', (_name, board) => {
  const panels = board.panels.filter(({ type }) => type !== 'row');

  it('every panel has a title of its own, a description, a unit and thresholds, and asks something', () => {
    for (const panel of panels) {
      expect(panel).toMatchObject({
        title: expect.stringMatching(/\w/) as unknown as string,
        description: expect.stringMatching(/\w.*\.$/) as unknown as string,
        fieldConfig: {
          defaults: { unit: expect.any(String) as unknown as string, thresholds: expect.anything() as unknown },
        },
      });
    }
    for (const { title, targets = [] } of panels) expect([title, targets.length > 0]).toEqual([title, true]);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  });

  it('no panel lies over another or outside of the grid', () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of board.panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect([title, taken.has(`${x},${y}`)]).toEqual([title, false]);
          taken.add(`${x},${y}`);
        }
      }
    }
  });

  it('every query goes to the chosen data source and names metrics that amends exports', () => {
    for (const { targets = [] } of panels) {
      for (const { datasource } of targets) expect(datasource.uid).toBe('${datasource}');
    }
    for (const { panel, expr } of queriesOf(board)) {
      const names = [...expr.matchAll(/\b(?:amends|infra|process|nodejs)_\w+/g)].map(([name]) => name);
      for (const name of names) expect([panel, name, familyOf(name) !== undefined]).toEqual([panel, name, true]);
    }
  });

  it('no query asks for a label that its metric does not have', () => {
    for (const { panel, expr } of queriesOf(board)) {
      for (const [, name = '', selector = ''] of expr.matchAll(/\b((?:amends|infra|process|nodejs)_\w+)\{([^}]*)\}/g)) {
        for (const [, label = ''] of selector.matchAll(/(\w+)\s*=/g)) {
          const known = [...(familyOf(name)?.labels ?? []), 'instance', 'job'];
          expect([panel, name, label, known.includes(label)]).toEqual([panel, name, label, true]);
        }
      }
      const labels = new Set(
        [...expr.matchAll(/\b(?:amends|infra|process|nodejs)_\w+/g)].flatMap(([name]) => familyOf(name)?.labels ?? []),
      );
      for (const [, list = ''] of expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)) {
        for (const label of list.split(',').map((part) => part.trim()))
          expect([panel, label, [...labels, 'le', 'instance', 'job'].includes(label)]).toEqual([panel, label, true]);
      }
    }
  });

  it('links of panels and of what they show lead to pages of the console, and the other dashboards are a click away', () => {
    const links = panels.flatMap(({ links: own = [], fieldConfig }) =>
      [...own, ...(fieldConfig?.defaults.links ?? [])].map(({ url }) => url),
    );
    expect(links.length).toBeGreaterThan(3);
    for (const url of links) {
      expect(url).toMatch(/^\$\{amends\}\/console/);
      expect([url, leadsToConsole(url.replace('${amends}', ''))]).toEqual([url, true]);
    }
    // What is clicked on has the label that the link asks for.
    for (const { title, targets = [], fieldConfig } of panels) {
      for (const { url } of fieldConfig?.defaults.links ?? []) {
        for (const [, label = ''] of url.matchAll(/\$\{__(?:field\.labels|data\.fields)\.(\w+)\}/g)) {
          for (const { expr } of targets)
            expect([title, label, new RegExp(`by \\([^)]*\\b${label}\\b`).test(expr)]).toEqual([title, label, true]);
        }
      }
    }
    const others = boards.map(([, { uid }]) => uid).filter((uid) => uid !== board.uid);
    expect(board.links.map(({ url }) => url).toSorted()).toEqual(others.map((uid) => `/d/${uid}`).toSorted());
  });

  it('runs are marked on every panel over time', () => {
    expect(board.annotations.list.flatMap(({ expr }) => expr ?? [])).toEqual([
      expect.stringContaining('amends_runs_started_total'),
    ]);
  });

  it('counters of each replica are added up', () => {
    for (const { panel, expr } of queriesOf(board)) {
      const single = [...expr.matchAll(/(sum(?: by \([\w, ]+\))? ?\()?(?:increase|rate)\(((?:amends|infra)_\w+)/g)]
        .filter(([, summed]) => summed === undefined)
        .map(([, , name]) => name);
      expect([panel, single]).toEqual([panel, []]);
    }
  });

  it('gauges of the shared store are folded over replicas, counters are added up', () => {
    for (const { panel, expr } of queriesOf(board)) {
      const gauges =
        expr.match(
          /(?<!max by \([\w, ]+\) |max|min by \([\w, ]+\) |min)\((?:amends|infra)_(?!\w*_total|\w*_bucket)\w+/g,
        ) ?? [];
      expect([panel, gauges]).toEqual([panel, []]);
    }
  });

  itWith('promtool')('every query is taken by Prometheus', () => {
    const folder = mkdtempSync(join(tmpdir(), 'amends-dashboards-'));
    try {
      const rules = queriesOf(board).map(({ expr }, index) => ({ record: `panel:${index}`, expr: filled(expr) }));
      const file = join(folder, 'queries.yaml');
      writeFileSync(file, JSON.stringify({ groups: [{ name: board.uid, rules }] }));
      const said = execFileSync(binaryOf('promtool') ?? 'promtool', ['check', 'rules', file], { encoding: 'utf8' });
      expect(said).toContain(`SUCCESS: ${rules.length} rules found`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
