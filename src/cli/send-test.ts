// `amends send-test`: an alert through the real Alertmanager, and what amends decides about it, so that the whole way between the two is
// seen to work before it is needed.
import { isObject } from '../base/json.ts';
import { parseDuration } from '../base/duration.ts';
import type { Answer, Client } from './terminal/client.ts';
import { unanswered } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import type { Edge } from './terminal/edge.ts';

export const command: Command = {
  summary:
    'Send an alert through Alertmanager and wait for the decision about it: whether the whole way works. Exit 1 if none comes.',
  examples: [
    'amends send-test',
    'amends send-test --alertmanager.url=http://127.0.0.1:9093 --wait=2m',
    'amends send-test --label=alertname=RedisDown --label=component=cache --label=target=10.0.0.7:6379',
  ],
  define: (send, act) =>
    void send
      .option('--alertmanager.url <url>', 'where Alertmanager answers', 'http://127.0.0.1:9093')
      .option(
        '--label <name=value>',
        'of the alert; with the labels of a real one amends does what its rules say (default: alertname=AmendsTest, remediation=amends)',
        (given: string, before: string | undefined) => (before === undefined ? given : `${before}\n${given}`),
      )
      .option('--wait <duration>', 'how long for the decision', '60s')
      .action(act(run)),
};

/** Told apart by it from any other alert; a rule that names it can only be meant for tests. */
const MARK = 'amends_test';
const POLL_MS = 500;
const PATIENCE_MS = 10_000;
/** The alert ends by itself then, if this program cannot end it. */
const LASTS_MS = 300_000;
const LOOKED_AT = 200;

const run = async ({ client, edge, options, output }: Invocation): Promise<number> => {
  const url = (textOption(options, 'alertmanager.url') ?? '').replace(/\/+$/, '');
  if (!URL.canParse(url))
    throw new Misuse(`--alertmanager.url: ${JSON.stringify(url)} is no address; for example http://127.0.0.1:9093`);
  const wait = parseDuration(textOption(options, 'wait') ?? '');
  if (wait === undefined) throw new Misuse('--wait: a duration, for example 60s');
  const { createIds } = await import('../base/ids.ts');
  const mark = createIds(edge.clock).next();
  const labels = { ...labelsOf(textOption(options, 'label')), [MARK]: mark };
  const began = edge.clock.now();

  // Asked first: an alert that is sent to nobody helps nobody.
  await client.get('/api/v1/alerts', { limit: 1 });
  await post(url, labels, began, began + LASTS_MS);
  edge.err(
    `Sent ${labels.alertname} to Alertmanager. Waiting for it to come to ${client.url} (its group_wait passes first).`,
  );
  const decision = await decisionAbout({ client, edge, mark, began, until: edge.clock.monotonic() + wait });
  await post(url, labels, began, edge.clock.now()).catch((error: unknown) =>
    edge.err(`The alert could not be ended and ends by itself in 5 minutes: ${String(error)}`),
  );
  if (decision === null) {
    if (output === 'json') edge.out(JSON.stringify({ arrived: false, labels }));
    else edge.out(missingText(wait, labels));
    return FOUND;
  }
  const tookMs = Date.parse(String(decision['at'])) - began;
  if (output === 'json') edge.out(JSON.stringify({ arrived: true, labels, tookMs, decision }));
  else
    edge.out(
      `It came, and was decided after ${(tookMs / 1_000).toFixed(1)} s: ${String(decision['reason'])}` +
        `${typeof decision['rule'] === 'string' ? ` (rule ${decision['rule']})` : ''}.\n` +
        `Why: amends explain ${String(decision['id'])}\nThe alert is ended.`,
    );
  return FINE;
};

const labelsOf = (given: string | undefined): Record<string, string> & { alertname: string } => {
  const pairs = (given ?? '').split('\n').filter((pair) => pair !== '');
  const labels = Object.fromEntries(
    pairs.map((pair) => {
      const [, name, value] = /^([a-zA-Z_][a-zA-Z0-9_]*)=(.+)$/s.exec(pair) ?? [];
      if (name === undefined || value === undefined)
        throw new Misuse(`--label: ${JSON.stringify(pair)} is not name=value; for example --label=component=cache`);
      return [name, value];
    }),
  );
  return { alertname: 'AmendsTest', remediation: 'amends', severity: 'info', ...labels };
};

const post = async (
  url: string,
  labels: Readonly<Record<string, string>>,
  startsAt: number,
  endsAt: number,
): Promise<void> => {
  const alert = {
    labels,
    annotations: { summary: 'A test of the way from Alertmanager to amends; nothing is wrong.' },
    startsAt: new Date(startsAt).toISOString(),
    endsAt: new Date(endsAt).toISOString(),
  };
  let response: Response;
  try {
    response = await fetch(`${url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([alert]),
      redirect: 'error',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    const { cause, message } = error as Error;
    throw unanswered(
      `Alertmanager does not answer at ${url} (${cause instanceof Error ? cause.message : message}).\nName it: --alertmanager.url`,
    );
  }
  if (!response.ok)
    throw unanswered(`Alertmanager at ${url} answers ${response.status}: ${(await response.text()).slice(0, 300)}`);
};

type Wait = {
  readonly client: Client;
  readonly edge: Edge;
  readonly mark: string;
  readonly began: number;
  /** On the monotonic clock. */
  readonly until: number;
};

const decisionAbout = async ({ client, edge, mark, began, until }: Wait): Promise<Answer | null> => {
  const since = new Date(began).toISOString();
  for (;;) {
    const decisions = await client.list('/api/v1/decisions', { since, origin: 'delivery' }, LOOKED_AT);
    const decision = decisions.find(
      ({ record }) => isObject(record) && isObject(record['labels']) && record['labels'][MARK] === mark,
    );
    if (decision !== undefined) return decision;
    if (edge.clock.monotonic() >= until) return null;
    await edge.clock.sleep(POLL_MS);
  }
};

const missingText = (wait: number, labels: Readonly<Record<string, string>>): string =>
  `No decision within ${wait / 1_000} s. Look, in this order:
  1. Is the route there? It must let ${Object.entries(labels)
    .filter(([name]) => name !== MARK)
    .map(([name, value]) => `${name}="${value}"`)
    .join(', ')} through: amtool config routes test, deploy/alertmanager.yml
  2. Does Alertmanager reach amends? Its log says "notify" with the webhook's address when it does not, its metric alertmanager_notifications_failed_total counts.
  3. Does amends refuse it? 401 is a credential (--web.config.file), 415 a proxy between that changes bodies; its log says so.
  4. Is group_wait longer than --wait, or group_interval, where the route puts it into a group that is there already?`;
