// Everything that is shipped, loaded: all rules and runbooks, and a component of each kind with a target.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import type { Loaded } from '../../src/engine/context.ts';
import { actions, facts, root } from './content.ts';

const must = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map((problem) => formatProblem(problem)).join('\n'));
  return result.value;
};

/** The configuration as it is shipped, with components in it. */
export const loadWhole = async (): Promise<Loaded> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-whole-'));
  try {
    const file = join(folder, 'amends.yaml');
    const shipped = parse(readFileSync(join(root, 'amends.yaml'), 'utf8')) as Record<string, unknown>;
    const kinds = readdirSync(join(root, 'rules'));
    writeFileSync(
      file,
      JSON.stringify({
        ...shipped,
        rule_files: [join(root, 'rules/**/*.json')],
        runbook_files: [join(root, 'runbooks/**/*.yaml')],
        components: Object.fromEntries(
          kinds.map((kind) => [`the-${kind}`, { kind, inventory: { static: ['one'] }, allow: { actions: ['*'] } }]),
        ),
      }),
    );
    const config = must(await loadConfig(file));
    return { config, catalog: must(await loadCatalog({ config, actions: await actions(), facts: await facts() })) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
