// What a drill leaves for who decides it again: the journal as it is exported, and every decision, oldest first.
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Into the folder `into`: journal.ndjson and decisions.json. */
export const keepRecord = async ({ url, root, getJson }, into) => {
  mkdirSync(into, { recursive: true });
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, 'bin/amends'), 'journal', 'export', `--url=${url}`],
    { maxBuffer: 1_024 ** 3 },
  );
  writeFileSync(join(into, 'journal.ndjson'), stdout);
  const decisions = [];
  for (let cursor = ''; cursor !== null;) {
    const query = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { items, next } = await getJson(`${url}/api/v1/decisions?limit=500${query}`);
    decisions.push(...items);
    cursor = next;
  }
  writeFileSync(join(into, 'decisions.json'), JSON.stringify(decisions.toReversed()));
};
