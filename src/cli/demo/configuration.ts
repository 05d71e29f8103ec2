// The demo's own amends.yaml: three components, mode auto, and everything that waits waits for seconds.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Department } from './shop-files.ts';
import { DEPARTMENTS, backupsOf, databaseOf } from './shop-files.ts';

/** The demo's tempo, as amends.yaml writes it. */
export const TEMPO = { mode: 'auto', attempts: 3, cooldown: '3s', settle: '15s', probes: '1s' } as const;

/** What ends a hung report, by the name it has in the process table. */
export const LOCKER = 'stock-report';

export const componentOf = (department: Department): string => `shop-${department}`;

/** Writes `<folder>/amends.yaml` with the shipped rules and runbooks for databases beside it; gives the file's path. */
export const writeConfiguration = (folder: string, shipped: URL, shop: string): string => {
  // Some runbooks begin with a group of steps.
  for (const part of ['rules/database', 'runbooks/database', 'runbooks/groups']) {
    cpSync(new URL(part, shipped), join(folder, part), { recursive: true });
  }
  const file = join(folder, 'amends.yaml');
  writeFileSync(
    file,
    `# Made by amends demo: seconds where a real one has minutes and hours.\n${stringify(configuration(shop))}`,
  );
  return file;
};

const configuration = (shop: string): unknown => ({
  version: 1,
  rule_files: ['rules/**/*.json'],
  runbook_files: ['runbooks/**/*.yaml'],
  recovery: {
    mode: TEMPO.mode,
    attempts: [{ max: TEMPO.attempts, per: '1h' }],
    budget: [{ max: 30, per: '1h' }],
    cooldown: { after_failure: TEMPO.cooldown, after_success: '1s' },
    settle: TEMPO.settle,
    resolve_hold: '5s',
  },
  components: Object.fromEntries(
    DEPARTMENTS.map((department) => [
      componentOf(department),
      {
        kind: 'database',
        team: 'the shop',
        inventory: {
          static: [
            {
              target: department,
              connect: { path: databaseOf(shop, department), backups: backupsOf(shop, department), holders: [LOCKER] },
            },
          ],
        },
        allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
      },
    ]),
  ),
  degraded_modes: {
    database_unavailable: { available: ['browsing'], unavailable: ['buying'], impact: 'the shop sells nothing' },
  },
  allow: { paths: [shop] },
  probes: DEPARTMENTS.map((department) => ({
    name: `${department}_db`,
    uses: 'sqlite.check',
    component: componentOf(department),
    target: department,
    every: TEMPO.probes,
    with: { path: databaseOf(shop, department), backups: backupsOf(shop, department), busy: '200ms' },
  })),
});
