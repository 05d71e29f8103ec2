// Tells what happens while it happens: asks amends' API again and again and prints what is new, in the order of its time.
import { createColors } from 'picocolors';
import type { Clock } from '../../base/clock.ts';
import { isObject } from '../../base/json.ts';
import type { Answer, Client } from '../terminal/client.ts';
import { eventText } from '../terminal/run-text.ts';
import { plain } from '../terminal/text.ts';

export type Story = {
  /** One line of our own, after everything that happened before it. */
  tell(line: string): Promise<void>;
  /** Asks once; also called by itself every half second until the signal. */
  catchUp(): Promise<void>;
};

export type StoryOptions = {
  readonly clock: Clock;
  readonly client: Client;
  readonly print: (line: string) => void;
  readonly colors: boolean;
  readonly signal: AbortSignal;
};

const EVERY_MS = 500;
/** Said with what comes after them anyway. */
const QUIET_EVENTS: ReadonlySet<string> = new Set([
  'admitted',
  'claimed',
  'started',
  'undo_started',
  'verify_started',
  'aftermath_ended',
]);
const QUIET_REASONS: ReadonlySet<string> = new Set(['duplicate', 'resolved']);

type News = { readonly at: number; readonly line: string };

export const startStory = ({ clock, client, print, colors, signal }: StoryOptions): Story => {
  const began = clock.now();
  const seen = new Set<string>();
  const paint = painter(colors);
  const say = ({ at, line }: News): void =>
    print(`[${(Math.max(0, at - began) / 1_000).toFixed(1).padStart(6)} s] ${paint(line)}`);
  const fresh = (key: string): boolean => !seen.has(key) && seen.add(key).size > 0;
  const timeOf = (item: Answer): number => Date.parse(plain(item['at'] ?? item['createdAt']));

  const decisions = async (): Promise<readonly News[]> =>
    (await client.list('/api/v1/decisions', {}, 50)).flatMap((decision) => {
      if (!fresh(`decision ${plain(decision['id'])}`) || QUIET_REASONS.has(plain(decision['reason']))) return [];
      const asked =
        plain(decision['strategy']) === ''
          ? ''
          : `, ${plain(decision['strategy'])} asked by the rule ${plain(decision['rule'])}`;
      return [
        { at: timeOf(decision), line: `decided        ${place(decision)}: ${plain(decision['reason'])}${asked}` },
      ];
    });
  const runs = async (): Promise<readonly News[]> => {
    const open = (await client.list('/api/v1/runs', {}, 50)).filter((run) => !seen.has(`closed ${plain(run['id'])}`));
    const found = await Promise.all(
      open.map(async (run) => {
        const id = plain(run['id']);
        const { state, events } = await client.get(`/api/v1/runs/${id}`);
        const stored = Array.isArray(events) ? events.filter(isObject) : [];
        // Settling may add a last event after the end, so a run is let go of only when it is over.
        if (state === 'done' && run['settleUntil'] === null) seen.add(`closed ${id}`);
        return stored
          .filter((event) => fresh(`event ${id} ${String(event['seq'])}`))
          .filter(
            (event) =>
              !QUIET_EVENTS.has(plain(event['type'])) && !(event['type'] === 'step_started' && event['try'] === 1),
          )
          .map((event) => ({
            at: timeOf(event),
            line: `${plain(run['strategy']).padEnd(14)} ${place(run)}: ${eventText(short(event))}`,
          }));
      }),
    );
    return found.flat();
  };
  const inbox = async (): Promise<readonly News[]> =>
    (await client.list('/api/v1/inbox', { status: 'open' }, 50)).flatMap((entry) =>
      fresh(`inbox ${plain(entry['id'])}`)
        ? [
            {
              at: timeOf(entry),
              line: `inbox          ${place(entry)}: ${plain(entry['severity'])} ${plain(entry['title'])}`,
            },
          ]
        : [],
    );
  const alerts = async (): Promise<readonly News[]> => {
    const unseen = (await client.list('/api/v1/alerts', {}, 50)).filter((alert) =>
      fresh(`alert ${plain(alert['id'])}`),
    );
    if (unseen.length === 0) return [];
    const episodes = await client.list('/api/v1/episodes', {}, 50);
    return unseen.map((alert) => {
      const episode = episodes.find(({ id }) => id === alert['episodeId']) ?? {};
      const name = isObject(episode['labels']) ? plain(episode['labels']['alertname']) : '';
      const again = alert['change'] === 'repeated' || alert['change'] === 'reopened' ? ' again' : '';
      return {
        at: timeOf(alert),
        line: `alert          ${place(episode)}: ${name} ${plain(alert['status']) || 'invalid'}${again}`,
      };
    });
  };

  // One at a time: two of them would both find the same things new.
  let last: Promise<void> = Promise.resolve();
  const ask = async (): Promise<void> => {
    const news = (await Promise.all([alerts(), decisions(), runs(), inbox()])).flat();
    news.toSorted((left, right) => left.at - right.at).forEach(say);
  };
  const catchUp = (): Promise<void> => {
    // What cannot be asked now (amends starts or ends) is asked again.
    last = last.then(ask).catch(() => undefined);
    return last;
  };
  void (async () => {
    while (!signal.aborted) {
      await catchUp();
      await clock.sleep(EVERY_MS, signal).catch(() => undefined);
    }
  })();
  return {
    async tell(line) {
      const at = clock.now();
      await catchUp();
      say({ at, line });
    },
    catchUp,
  };
};

const place = (item: Answer): string =>
  [plain(item['component']) || 'no component', plain(item['target'])].filter((part) => part !== '').join('/');

/** The end of a run repeats what its failed step has just said. */
const short = (event: Answer): Answer => (event['type'] === 'done' ? { ...event, detail: '' } : event);

/** Green for what helps, red for what is broken, yellow for what a human has to see. */
const painter = (colors: boolean) => {
  const { bold, green, red, yellow } = createColors(colors);
  return (line: string): string => {
    if (line.startsWith('---')) return bold(line);
    if (line.startsWith('inbox') || line.includes('nothing automatic is left')) return yellow(line);
    if (/ failed|answers 503|^broken|unresolved/.test(line)) return red(line);
    return /verification passed|done: resolved|answers 201/.test(line) ? green(line) : line;
  };
};
