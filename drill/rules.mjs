// The shipped rules of a kind, some of them changed in what would keep a drill waiting.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Rule files of `kind`; `changes` maps a rule's file name, without its end, to what is done to its parameters. */
export const changedRules = ({ root, folder }, kind, changes) =>
  readdirSync(join(root, 'rules', kind))
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const shipped = join(root, 'rules', kind, file);
      const change = changes[file.slice(0, -'.json'.length)];
      if (change === undefined) return shipped;
      const rule = JSON.parse(readFileSync(shipped, 'utf8'));
      change(rule.event.params);
      const changed = join(folder, file);
      writeFileSync(changed, JSON.stringify(rule));
      return changed;
    });

/** Its own cap: a drill comes more often. */
export const uncapped = (params) => void delete params.limits;
