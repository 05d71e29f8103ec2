// `npm run dashboards`: writes grafana/dashboards/*.json from grafana/src. A test holds the two together.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argumentsOf } from './arguments.mjs';
import { root } from './setup.mjs';

const boards = ['overview', 'component', 'rules', 'itself'];

/** The text of each dashboard's file, by the file's name. */
export const rendered = async () =>
  new Map(
    await Promise.all(
      boards.map(async (name) => {
        const { default: board } = await import(`../grafana/src/${name}.mjs`);
        return [`${name}.json`, `${JSON.stringify(board, null, 2)}\n`];
      }),
    ),
  );

if (process.argv[1] === new URL(import.meta.url).pathname) {
  argumentsOf({
    usage: `
npm run dashboards

Writes grafana/dashboards/*.json from grafana/src. It takes no options.

Example:
  npm run dashboards && npm run dashboards:preview
`,
  });
  for (const [name, text] of await rendered()) writeFileSync(join(root, 'grafana/dashboards', name), text);
}
