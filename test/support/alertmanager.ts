// What a test does to a real Alertmanager through its API: an alert fires, is silenced, is let go.
import type { Running } from './servers.ts';

export type Labels = Readonly<Record<string, string>>;
type At = Pick<Running, 'url'>;

const call = async (url: string, method: string, body?: unknown): Promise<unknown> => {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(5_000),
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} from ${url}: ${text.slice(0, 500)}`);
  return text === '' ? null : JSON.parse(text);
};

const HOUR_MS = 3_600_000;

/** Receivers that nobody listens to: these tests post to amends themselves. */
export const quietConfig = {
  route: { receiver: 'nobody', group_wait: '1h' },
  receivers: [{ name: 'nobody' }],
};

export const fire = async ({ url }: At, ...alerts: readonly Labels[]): Promise<void> => {
  const now = Date.now();
  await call(
    `${url}/api/v2/alerts`,
    'POST',
    alerts.map((labels) => ({
      labels,
      startsAt: new Date(now - 60_000).toISOString(),
      endsAt: new Date(now + 4 * HOUR_MS).toISOString(),
    })),
  );
};

export const resolve = async ({ url }: At, labels: Labels): Promise<void> => {
  const now = Date.now();
  await call(`${url}/api/v2/alerts`, 'POST', [
    { labels, startsAt: new Date(now - 60_000).toISOString(), endsAt: new Date(now - 1).toISOString() },
  ]);
};

export const silence = async ({ url }: At, labels: Labels): Promise<string> => {
  const now = Date.now();
  const made = await call(`${url}/api/v2/silences`, 'POST', {
    matchers: Object.entries(labels).map(([name, value]) => ({ name, value, isRegex: false, isEqual: true })),
    startsAt: new Date(now - 1_000).toISOString(),
    endsAt: new Date(now + 4 * HOUR_MS).toISOString(),
    createdBy: 'ann',
    comment: 'working on it',
  });
  return (made as { silenceID: string }).silenceID;
};

export const unsilence = async ({ url }: At, id: string): Promise<void> => {
  await call(`${url}/api/v2/silence/${id}`, 'DELETE');
};
