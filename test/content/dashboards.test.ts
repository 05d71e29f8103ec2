// The shipped dashboards: as their code says, readable, and asking for nothing that amends does not export.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { dashboards, filled, queriesOf } from '../support/dashboards.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { root } from '../support/servers.ts';

const boards = [...dashboards()];
const exported = readFileSync(join(root, 'src/metrics.ts'), 'utf8');

it('grafana/dashboards is what grafana/src says: npm run dashboards', () => {
  const script = `import('${root}/scripts/dashboards.mjs').then(async ({ rendered }) => process.stdout.write(JSON.stringify([...(await rendered())])))`;
  const rendered = JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' }),
  ) as ReadonlyArray<readonly [string, string]>;
  const onDisk = rendered.map(([name]) => [name, readFileSync(join(root, 'grafana/dashboards', name), 'utf8')]);
  expect(onDisk).toEqual(rendered);
});

describe.each(boards)('grafana/dashboards/%s', (_name, board) => {
  const panels = board.panels.filter(({ type }) => type !== 'row');

  it('every panel has a title of its own, a description, a unit and thresholds', () => {
    for (const panel of panels) {
      expect(panel).toMatchObject({
        title: expect.stringMatching(/\w/) as unknown as string,
        description: expect.stringMatching(/\w.*\.$/) as unknown as string,
        fieldConfig: {
          defaults: { unit: expect.any(String) as unknown as string, thresholds: expect.anything() as unknown },
        },
      });
    }
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
      const names = [...expr.matchAll(/\b(?:amends|infra|process|nodejs)_\w+/g)].map(([name]) =>
        name.replace(/_bucket$/, ''),
      );
      for (const name of names) expect([panel, name, exported.includes(`'${name}'`)]).toEqual([panel, name, true]);
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
