// Tasks that wait for a language model whose provider is out for a while (doubles of both APIs).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startModelApi } from '../test/support/openwebui.ts';
import { startTaskService } from '../test/support/task-service.ts';

const TASKS = 8;
const OUT_MS = 2_000;

export const available = () => null;

export const prepare = async ({ folder }) => {
  const [service, provider] = await Promise.all([startTaskService(TASKS), startModelApi()]);
  const key = join(folder, 'key');
  writeFileSync(key, provider.key, { mode: 0o600 });
  const count = (status) => service.tasks.filter((task) => task.status === status).length;
  return {
    component: {
      inventory: {
        static: [
          {
            target: 'main',
            connect: {
              url: service.url,
              affected_url: `${service.url}/api/v1/tasks?run_status=retry_scheduled`,
              logs_url: `${service.url}/api/v1/logs`,
              provider_url: `${provider.url}/v1/models`,
              provider_key_file: key,
              chat_url: `${provider.url}/v1/chat/completions`,
              model: 'claude-direct',
            },
          },
        ],
      },
      allow: { actions: ['http.*', 'tasks.*', 'model.*', 'inbox.*', 'triage.*'] },
    },
    allow: { hosts: [service.host, provider.host] },
    faults: [
      {
        name: `the provider is out for ${OUT_MS / 1_000} s`,
        strategy: 'pause-and-resume',
        alertname: 'LLMRetryStorm',
        figureMs: null,
        source: 'phase5-recovery-sop',
        break() {
          service.failing = true;
          provider.override = () => ({ status: 503 });
          setTimeout(() => {
            service.failing = false;
            provider.override = null;
          }, OUT_MS);
        },
        healthy: () => count('running') === TASKS && count('paused') === 0,
      },
    ],
    close: () => Promise.all([service.close(), provider.close()]),
  };
};
