// Configurations, rules and runbooks that torments share.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const effect = `uses: torture.effect\n    with: { target: "\${{ target.name }}" }`;
export const verify = `verify:\n  - { uses: torture.look, with: { target: "\${{ target.name }}" }, need: 1, of: 1, every: 10ms }\n`;
export const head = 'version: 1\nsummary: Mend it.\nseverity: SEV3\ntimeout: 700h\nguide: Look at it.\n';

/** One idempotent step, then a look. */
export const MEND = `${head}steps:\n  - id: mend\n    ${effect}\n    idempotent: true\n    timeout: 600h\n${verify}`;

export const ruleOf = (name, alertname, runbook, mode = 'auto', more = {}) => ({
  name,
  description: 'It is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook, mode, ...more } },
});

/** `targets` names in the inventory of each component. */
export const configOf = (recovery, components) =>
  `version: 1\nrecovery: ${JSON.stringify({ mode: 'auto', ...recovery })}\ncomponents:\n${Object.entries(components)
    .map(
      ([name, { targets, ...more }]) =>
        `  ${name}: ${JSON.stringify({ inventory: { static: targets }, allow: { actions: ['torture.*', 'http.*'] }, ...more })}\n`,
    )
    .join('')}`;

/** A canary: whoever finds it, in any form, has found a leak (I13). It is written otherwise in a URL and in base64. */
export const SECRET = 'correct-horse+battery/staple=7';

/** The file that holds it, in the folder. */
export const secretIn = (folder) => {
  const file = join(folder, 'token');
  writeFileSync(file, `${SECRET}\n`);
  return file;
};
