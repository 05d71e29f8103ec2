// Asks one Alertmanager whether it has exactly this alert, and in what state.
import type { Labels } from '../alert/alert.ts';
import { isObject, sha256 } from '../base/json.ts';
import type { Present } from '../run/present.ts';
import type { Neighbour } from '../port/sources.ts';
import type { GetJson } from './http-json.ts';

type Answer = Present['alert'];

/** Filters only narrow the answer down: labels are compared one by one afterwards. */
const LONGEST_FILTER = 512;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Alertmanager knows these three escapes; any other backslash stands for itself. */
const quote = (value: string): string =>
  `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;

export const askAlertmanager = async (
  neighbour: Neighbour,
  labels: Labels,
  ignored: ReadonlySet<string>,
  getJson: GetJson,
): Promise<Answer> => {
  const { url } = neighbour;
  const wanted = told(labels, ignored);
  const params = new URLSearchParams({ active: 'true', silenced: 'true', inhibited: 'true', unprocessed: 'true' });
  for (const [name, value] of wanted) {
    if (LABEL_NAME.test(name) && value.length <= LONGEST_FILTER) params.append('filter', `${name}=${quote(value)}`);
  }
  const answer = await getJson(neighbour, '/api/v2/alerts', params);
  if (!answer.ok) return { state: 'unreachable', detail: `${url}: ${answer.error}` };
  if (!Array.isArray(answer.body)) return { state: 'unreachable', detail: `${url}: the answer is not a list` };
  // A filter also finds alerts with more labels than ours: those are others.
  const found = answer.body
    .filter(isObject)
    .filter((alert) => isObject(alert['labels']) && isSame(wanted, told(alert['labels'], ignored)))
    .map(readStatus);
  if (found.some(({ state }) => state === 'active' || state === 'unprocessed')) return { state: 'firing', detail: url };
  const silenced = found.find((status) => status.silencedBy.length > 0);
  if (silenced !== undefined)
    return { state: 'silenced', detail: `${url}: by silence ${silenced.silencedBy.join(', ')}` };
  const inhibited = found.find((status) => status.inhibitedBy.length > 0);
  if (inhibited !== undefined) return { state: 'inhibited', detail: `${url}: by ${inhibited.inhibitedBy.join(', ')}` };
  return { state: 'absent', detail: `${url} does not have it as firing` };
};

/** What tells an alert from others: without the labels that replicas of one sender differ in; an empty one is none. */
const told = (labels: Readonly<Record<string, unknown>>, ignored: ReadonlySet<string>): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(labels).flatMap(([name, value]) =>
      typeof value === 'string' && value !== '' && !ignored.has(name) ? [[name, value] as const] : [],
    ),
  );

const isSame = (ours: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): boolean =>
  ours.size === theirs.size &&
  [...ours].every(([name, value]) => {
    const other = theirs.get(name);
    return other !== undefined && (other === value || isCut(value, other));
  });

/** A value over 4 KiB was cut at intake and ends in the hash of the whole. */
const isCut = (ours: string, theirs: string): boolean =>
  theirs.length > 1_024 && ours.endsWith(`...sha256:${sha256(theirs)}`);

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];

const readStatus = (
  alert: Record<string, unknown>,
): { readonly state: string; readonly silencedBy: readonly string[]; readonly inhibitedBy: readonly string[] } => {
  const status = isObject(alert['status']) ? alert['status'] : {};
  return {
    state: typeof status['state'] === 'string' ? status['state'] : '',
    silencedBy: texts(status['silencedBy']),
    inhibitedBy: texts(status['inhibitedBy']),
  };
};
