// A started amends beside a real systemd: a unit that is out of memory is restarted with a smaller batch, and one that
// crashes at every start is not called recovered.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { root, startedHere, until } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';
import { itOnSystemd, startSystemd } from '../support/systemd.ts';
import type { Systemd } from '../support/systemd.ts';

const UNIT = 'shop.service';

const servers = startedHere();
let folder: string;
let systemd: Systemd;
let amends: Shipped;

beforeEach(async () => {
  folder = await servers.folder();
});
afterEach(() => servers.stopAll(), 30_000);

const configure = (settings: object): void => writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings));
const shown = (property: string): string => systemd.systemctl('show', UNIT, `--property=${property}`, '--value').trim();
const port = (): string => readFileSync(join(folder, 'port'), 'utf8');
const state = async (): Promise<{ batch_size: number; garbage: number }> =>
  (await (await fetch(`http://127.0.0.1:${port()}/state`)).json()) as { batch_size: number; garbage: number };

const begin = async (): Promise<void> => {
  configure({ leakMegabytes: 50, batchSize: 100 });
  const program = join(root, 'test/support/service.mjs');
  systemd = await startSystemd(servers, folder, {
    [UNIT]: `[Unit]
DefaultDependencies=no
StartLimitIntervalSec=0
[Service]
ExecStart=${process.execPath} --expose-gc ${program} ${folder}
Restart=on-failure
RestartSec=100ms
StandardOutput=null
StandardError=null
`,
  });
  systemd.systemctl('start', UNIT);
  await until('the service listens', () => port() !== '');
  const script = join(folder, 'batch-size.mjs');
  writeFileSync(
    script,
    `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(folder, 'settings.json'))}, '{"batchSize":50}');`,
  );
  amends = await startShipped(servers, {
    kinds: ['system'],
    inside: systemd.inside,
    components: {
      hosts: {
        kind: 'system',
        inventory: {
          static: [
            {
              target: 'one',
              connect: {
                pid_file: join(folder, 'service.pid'),
                processes: ['node'],
                service: { unit: UNIT },
                batch_down: [process.execPath, script],
              },
            },
          ],
        },
        allow: { actions: ['*'] },
      },
    },
    allow: { paths: [folder], commands: ['/usr/bin/systemctl', process.execPath] },
  });
};

describe('a unit of systemd and a started amends', () => {
  itOnSystemd(
    'O5 a unit that is out of memory is restarted by systemctl with a smaller batch, once a human says yes, and stays up',
    async () => {
      await begin();
      const before = shown('MainPID');
      expect(await state()).toMatchObject({ batch_size: 100, garbage: 50 });
      await amends.fire('HighMemoryUsage', 'hosts', 'one');
      expect(await amends.approved('out_of_memory')).toMatchObject(resolved('out_of_memory'));
      expect(await state()).toMatchObject({ batch_size: 50, garbage: 0 });
      expect([shown('ActiveState'), shown('NRestarts')]).toEqual(['active', '0']);
      expect(shown('MainPID')).not.toBe(before);
    },
    60_000,
  );

  itOnSystemd(
    'O5 F55 a unit that crashes after every start, as systemd counts it, is not called recovered',
    async () => {
      await begin();
      writeFileSync(
        join(folder, 'batch-size.mjs'),
        `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(folder, 'settings.json'))}, '{"crashAfter":300}');`,
      );
      await amends.fire('HighMemoryUsage', 'hosts', 'one');
      const run = await amends.approved('out_of_memory');
      expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(Number(shown('NRestarts'))).toBeGreaterThan(0);
      expect(JSON.stringify(await amends.list(`logs?run_id=${String(run['id'])}&limit=200`))).toContain(
        'does not stay up',
      );
    },
    60_000,
  );
});
