// What deploy/ and alerts/ ship, with its patience cut to a second, for loops through a real Prometheus and Alertmanager.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { root } from './servers.ts';

/** alerts/<name> with its patience cut to a second. */
export const hurriedAlerts = (name: string): string => {
  const shipped = parse(readFileSync(join(root, 'alerts', name), 'utf8')) as {
    groups: Array<{ rules: Array<{ alert?: string }> }>;
  };
  return stringify({
    groups: shipped.groups.map((group) => ({
      ...group,
      interval: '1s',
      rules: group.rules.map((rule) => (rule.alert === undefined ? rule : { ...rule, for: '1s' })),
    })),
  });
};

/** deploy/alertmanager.yml with its webhook at this amends, and its waits cut to a second. */
export const deployedAlertmanager = (url: string): Record<string, unknown> => {
  const deployed = parse(readFileSync(join(root, 'deploy/alertmanager.yml'), 'utf8')) as {
    route: { routes: object[] };
    receivers: Array<{ webhook_configs?: object[] }>;
  };
  const soon = { group_wait: '1s', group_interval: '1s', repeat_interval: '3s' };
  return {
    route: { ...deployed.route, ...soon, routes: deployed.route.routes.map((route) => ({ ...route, ...soon })) },
    receivers: deployed.receivers.map((receiver) =>
      receiver.webhook_configs === undefined
        ? receiver
        : {
            ...receiver,
            webhook_configs: receiver.webhook_configs.map((webhook) => ({
              ...webhook,
              url: `${url}/webhook/alertmanager`,
            })),
          },
    ),
  };
};
