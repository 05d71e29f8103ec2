// Reads what a running amends has on record, page by page, and gives it as the lines of a journal, oldest first.
import { isObject } from '../../base/json.ts';
import type { Line } from '../../replay/recording.ts';
import { createRecording } from '../../replay/recording.ts';
import type { Answer, Client, Query } from './client.ts';

export type RecordText = { readonly lines: readonly string[]; readonly counts: Readonly<Record<string, number>> };

const PAGE = 500;

async function* itemsOf(client: Client, path: string, query: Query): AsyncGenerator<Answer> {
  let cursor: string | undefined;
  do {
    const page = await client.get(path, { ...query, limit: PAGE, cursor });
    if (Array.isArray(page['items'])) yield* page['items'].filter(isObject);
    cursor = typeof page['next'] === 'string' ? page['next'] : undefined;
  } while (cursor !== undefined);
}

type Kept = { readonly type: string; readonly at: string; readonly text: string; readonly digests: string | null };

/** `since` is a duration or an RFC 3339 time; undefined: all that is kept. Lines are kept as text: a month is large. */
export const readRecord = async (
  client: Client,
  since: string | undefined,
  progress: (line: string) => void,
): Promise<RecordText> => {
  const recording = createRecording();
  const kept: Kept[] = [];
  const counts: Record<string, number> = {};
  const keep = (line: Line): void => {
    const digests = line.type === 'config' ? JSON.stringify([line['catalog'], line['config']]) : null;
    kept.push({ type: line.type, at: line.at, text: JSON.stringify(line), digests });
  };
  const read = async (path: string, query: Query, take: (row: Answer) => readonly Line[]): Promise<void> => {
    for await (const row of itemsOf(client, `/api/v1/${path}`, query)) take(row).forEach(keep);
    progress(`${path} read`);
  };
  // Lists are newest first; turned round in the end, those of one moment keep their order.
  await read('decisions', { since }, (row) => recording.decision(row));
  await read('inbox', { kind: 'escalation' }, (row) => {
    recording.inbox(row);
    return [];
  });
  await read('runs', { since }, (row) => recording.run(row));
  await read('audit', { since }, (row) => recording.audit(row));
  await read('journal', { since }, (row) => [row as Line]);
  kept.reverse();
  kept.sort((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0));
  let digests: string | null = null;
  const lines: string[] = [];
  for (const { type, text, digests: those } of kept) {
    // Every decision says under what it was made; that it has changed is said once.
    if (those !== null && those === digests) continue;
    digests = those ?? digests;
    lines.push(text);
    counts[type] = (counts[type] ?? 0) + 1;
  }
  return { lines, counts };
};
