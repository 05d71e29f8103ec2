// A real small file system that fills up; mounting one needs root.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOUR, fileOfAge, mountSmallDisk, percentUsed } from '../test/support/small-disk.ts';

const MEGABYTES = 64;
const FULL = 95;
const OLD_MS = 48 * HOUR;

export const available = () => (process.getuid?.() === 0 ? null : 'a small file system can be mounted by root alone');

export const prepare = async ({ folder, root }) => {
  const disk = mountSmallDisk(folder, MEGABYTES);
  const cache = join(disk.path, 'cache');
  const young = fileOfAge(join(cache, 'young'), HOUR, 1_000_000);
  // As shipped, but for the caps of its own.
  const rule = JSON.parse(readFileSync(join(root, 'rules/system/system-disk-full.json'), 'utf8'));
  delete rule.event.params.limits;
  const ruleFile = join(folder, 'system-disk-full.json');
  writeFileSync(ruleFile, JSON.stringify(rule));
  let made = 0;
  return {
    ruleFiles: [ruleFile],
    component: {
      inventory: { static: [{ target: 'main', connect: { path: disk.path, roots: [cache] } }] },
      allow: { actions: ['files.*', 'inbox.*', 'triage.*'] },
    },
    allow: { paths: [disk.path] },
    faults: [
      {
        name: `a disk of ${MEGABYTES} MB, ${FULL}% full`,
        strategy: 'disk_cleanup',
        alertname: 'DiskFull',
        figureMs: 10_000,
        source: 'recovery-and-failover',
        break() {
          while (percentUsed(disk.path) < FULL) fileOfAge(join(cache, `old-${(made += 1)}`), OLD_MS, 1_000_000);
        },
        healthy: () => percentUsed(disk.path) < 80 && readFileSync(young).length === 1_000_000,
      },
    ],
    close: () => disk.unmount(),
  };
};
