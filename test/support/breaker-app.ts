// An application with circuit breakers and promotions, as far as its operations runbook shows it: Prometheus metrics of
// each breaker, a way to reset one, gates that promotions wait at, and a stage manager that is run by hand.
import type { JsonServer, Reply } from './json-server.ts';
import { startJsonServer } from './json-server.ts';

export type BreakerApp = JsonServer & {
  states: Record<string, 'open' | 'closed' | 'half_open'>;
  failures: number;
  /** Calls through the breaker fail, so that it opens again as soon as it is closed. */
  broken: boolean;
  /** Of promotions. */
  stuck: number;
  withoutFeedback: number;
  harmful: boolean;
};

const metrics = (states: BreakerApp['states'], failures: number): string =>
  [
    '# HELP circuit_breaker_state State of a circuit breaker.',
    '# TYPE circuit_breaker_state gauge',
    ...Object.entries(states).flatMap(([name, state]) =>
      ['open', 'closed', 'half_open'].map(
        (one) => `circuit_breaker_state{name="${name}",state="${one}"} ${one === state ? 1 : 0}`,
      ),
    ),
    '# TYPE circuit_breaker_failures_total counter',
    ...Object.keys(states).map((name) => `circuit_breaker_failures_total{name="${name}"} ${failures}`),
    'process_resident_memory_bytes 1.2e+08',
    '',
  ].join('\n');

export const startBreakerApp = async (): Promise<BreakerApp> => {
  const answer = ({ method, path, body }: { method: string; path: string; body: unknown }): Reply => {
    if (path === '/health') return { json: { status: 'healthy', version: 'v1.9.0', circuit_breakers: app.states } };
    if (path === '/metrics') return { text: metrics(app.states, app.failures) };
    if (path === '/breakers/reset' && method === 'POST') {
      const name = String((body as { name?: unknown }).name);
      if (!Object.hasOwn(app.states, name)) return { status: 404, json: { detail: `no breaker ${name}` } };
      app.states[name] = app.broken ? 'open' : 'closed';
      return { json: { reset: name } };
    }
    if (path === '/promotions')
      return { json: { stuck: app.stuck, without_feedback: app.withoutFeedback, helpful_min: 3, ratio_min: 3 } };
    if (path === '/reflection' && method === 'POST') {
      app.withoutFeedback = 0;
      return { json: { started: true } };
    }
    if (path === '/stage-manager') {
      if (method === 'POST' && !app.harmful) app.stuck = app.withoutFeedback;
      return { json: { running: false, last_run: null } };
    }
    return { status: 404, json: { detail: 'Not Found' } };
  };
  const states: BreakerApp['states'] = { generator: 'closed', reflector: 'closed' };
  const app: BreakerApp = Object.assign(await startJsonServer(answer), {
    states,
    failures: 0,
    broken: false,
    stuck: 0,
    withoutFeedback: 0,
    harmful: false,
  });
  return app;
};
