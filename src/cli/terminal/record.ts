// Reads what a running amends has on record, page by page, and gives it as the lines of a journal, oldest first.
import { isObject } from '../../base/json.ts';
import type { Line, RecordedFile, Recording } from '../../replay/recording.ts';
import { createRecording, inOrder } from '../../replay/recording.ts';
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

type Kept = { readonly line: Pick<Line, 'type' | 'at' | 'catalog' | 'config' | 'files'>; readonly text: string };

/** `since` is a duration or an RFC 3339 time; undefined: all that is kept. Lines are kept as text: a month is large. */
export const readRecord = async (
  client: Client,
  since: string | undefined,
  progress: (line: string) => void,
): Promise<RecordText> => {
  const recording = createRecording();
  const kept: Kept[] = [];
  const keep = (line: Line): void => {
    const { type, at, catalog, config, files } = line;
    kept.push({
      line: { type, at, catalog, config, files: files === undefined ? undefined : true },
      text: JSON.stringify(line),
    });
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
  // A configuration counts for all that happened in its moment.
  (await readConfigurations(client, since, recording)).toReversed().forEach(keep);
  progress('configurations read');
  const counts: Record<string, number> = {};
  const lines: string[] = [];
  for (const { line, text } of inOrder(kept.toReversed(), (one) => one.line)) {
    lines.push(text);
    counts[line.type] = (counts[line.type] ?? 0) + 1;
  }
  return { lines, counts };
};

/** So many missing texts are asked for one by one, rather than all texts of a configuration at once. */
const FEW_TEXTS = 10;

/** Oldest first. A text is read once, though every configuration has it. */
const readConfigurations = async (
  client: Client,
  since: string | undefined,
  recording: Recording,
): Promise<readonly Line[]> => {
  const found: Answer[] = [];
  for await (const row of itemsOf(client, '/api/v1/configurations', { since })) found.push(row);
  const known = new Set<string>();
  const lines: Line[] = [];
  for (const row of found.toReversed()) {
    const path = `/api/v1/configurations/${String(row['id'])}`;
    const { files: given } = await client.get(path);
    const files = (Array.isArray(given) ? given : []) as readonly RecordedFile[];
    const missing = new Set(files.map(({ digest }) => digest).filter((digest) => !known.has(digest)));
    const queries: readonly Query[] = missing.size > FEW_TEXTS ? [{}] : [...missing].map((digest) => ({ digest }));
    const texts = new Map<string, string>();
    for (const query of queries)
      for await (const { digest, text } of itemsOf(client, `${path}/files`, query))
        if (typeof digest === 'string' && typeof text === 'string') texts.set(digest, text);
    for (const digest of texts.keys()) known.add(digest);
    lines.push(recording.configuration(row, files, texts));
  }
  return lines;
};
