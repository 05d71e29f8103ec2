// `npm run prometheusrule`: writes deploy/prometheusrule.yaml, the alerts of alerts/ as the Prometheus operator takes them.
// A test holds the two together.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { argumentsOf } from './arguments.mjs';
import { root } from './setup.mjs';

const HEAD = `# The alerts of alerts/*.yaml for the Prometheus operator, made by \`npm run prometheusrule\`: change them there.
# kubectl apply -f deploy/prometheusrule.yaml. The labels have to be those that your Prometheus selects rules by, and what
# scrapes amends (a ServiceMonitor or PodMonitor) has to give it the job "amends".
`;

/** The text of deploy/prometheusrule.yaml. */
export const rendered = () => {
  const folder = join(root, 'alerts');
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .toSorted();
  const rule = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'amends', labels: { 'app.kubernetes.io/name': 'amends', role: 'alert-rules' } },
    spec: { groups: files.flatMap((name) => parse(readFileSync(join(folder, name), 'utf8')).groups) },
  };
  return `${HEAD}${stringify(rule, { lineWidth: 0 })}`;
};

if (process.argv[1] === new URL(import.meta.url).pathname) {
  argumentsOf({
    usage: `
npm run prometheusrule

Writes deploy/prometheusrule.yaml from alerts/*.yaml, for the Prometheus operator. It takes no options.

Example:
  npm run prometheusrule && kubectl apply -f deploy/prometheusrule.yaml
`,
  });
  writeFileSync(join(root, 'deploy/prometheusrule.yaml'), rendered());
}
