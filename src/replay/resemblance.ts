// Which alerts that a team has already are what a shipped rule answers: by the same name, or by what their words and metrics speak of.
// Words are read as an SRE reads them, so what is found is a proposal, and says why.
import { isObject } from '../base/json.ts';
import type { Json } from '../base/json.ts';
import type { Rule } from '../rule/rule.ts';

/** An alerting rule of Prometheus. */
export type TeamAlert = {
  readonly name: string;
  readonly query: string;
  readonly labels: Readonly<Record<string, string>>;
};
export type Resemblance = {
  readonly alert: TeamAlert;
  readonly rule: Rule;
  /** `redis`: the folder of the rule's runbooks. */
  readonly kind: string;
  /** Whether the shipped rule names this very alert. */
  readonly same: boolean;
  /** What both speak of; `kind` first. Of the same name: the name. */
  readonly because: readonly string[];
};

const KINDS: Readonly<Record<string, string>> = {
  redis: 'redis',
  pg: 'postgres',
  postgres: 'postgres',
  postgresql: 'postgres',
  chroma: 'chromadb',
  chromadb: 'chromadb',
  faiss: 'faiss',
  sqlite: 'database',
  openwebui: 'openwebui',
  ollama: 'llm',
  llm: 'llm',
  kube: 'kubernetes',
  kubernetes: 'kubernetes',
  node: 'system',
  host: 'system',
  process: 'system',
};

/** Words that mean the same failure, whoever wrote the rule. */
const MEANINGS: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['not reachable', ['down', 'unreachable', 'connection', 'connections', 'connect', 'refused', 'up']],
  ['missing', ['missing', 'lost', 'gone', 'absent']],
  ['slow', ['slow', 'latency', 'timeout', 'duration']],
  ['memory', ['memory', 'oom', 'mem', 'leak', 'rss', 'swap']],
  ['disk', ['disk', 'filesystem', 'space', 'storage']],
  ['file handles', ['fd', 'fds', 'handles', 'descriptors']],
  ['locked', ['lock', 'locks', 'locked', 'blocked', 'deadlock', 'deadlocks']],
  ['index', ['index', 'indices']],
  ['damaged', ['corrupt', 'corrupted', 'corruption', 'invalid']],
  ['backup', ['backup', 'backups', 'dump', 'dumps']],
  ['rate limit', ['ratelimited', 'ratelimit', 'throttled']],
  ['credentials', ['auth', 'unauthorized', 'token', 'login']],
  ['model', ['model', 'models']],
  ['crash loop', ['crash', 'crashlooping', 'restarts']],
  ['replicas', ['replica', 'replicas', 'rollout', 'deployment']],
];

/** The best answer to each alert that has one; alerts in their order. */
export const findResemblances = (alerts: readonly TeamAlert[], rules: readonly Rule[]): readonly Resemblance[] => {
  const known = rules.flatMap((rule) => {
    const kind = rule.ladder[0]?.runbook.split('/')[0];
    const names = namesOf(rule.conditions);
    return rule.event === 'remediate' && kind !== undefined && names.length > 0 ? [{ rule, kind, names }] : [];
  });
  return alerts.flatMap((alert): Resemblance[] => {
    const exact = known.find(({ names }) => names.includes(alert.name));
    if (exact !== undefined) return [{ alert, rule: exact.rule, kind: exact.kind, same: true, because: [alert.name] }];
    const words = [...wordsOf(alert.name), ...wordsOf(alert.query)];
    const kinds = new Set(words.flatMap((word) => KINDS[word] ?? []));
    const spoken = meaningsOf(wordsOf(alert.name));
    const best = known
      .filter(({ kind }) => kinds.has(kind))
      .map((candidate) => {
        const own = new Set(candidate.names.flatMap((name) => [...meaningsOf(wordsOf(name))]));
        return { ...candidate, common: [...spoken].filter((meaning) => own.has(meaning)) };
      })
      .filter(({ common }) => common.length > 0)
      .toSorted(
        (left, right) => right.common.length - left.common.length || right.rule.priority - left.rule.priority,
      )[0];
    return best === undefined
      ? []
      : [{ alert, rule: best.rule, kind: best.kind, same: false, because: [best.kind, ...best.common] }];
  });
};

/** The alertnames that a condition tree names positively. */
export const namesOf = (condition: Json | undefined): readonly string[] => {
  if (!isObject(condition)) return [];
  const { all, any, fact, operator, value } = condition as Record<string, Json | undefined>;
  const inner = Array.isArray(all) ? all : Array.isArray(any) ? any : [];
  if (inner.length > 0) return inner.flatMap(namesOf);
  if (fact !== 'alertname') return [];
  if (operator === 'equal' && typeof value === 'string') return [value];
  return operator === 'in' && Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
};

/** `HostOutOfDiskSpace` and `node_filesystem_avail_bytes` as words. */
const wordsOf = (text: string): readonly string[] =>
  text
    .replaceAll(/([a-z\d])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3 $2')
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '');

const meaningsOf = (words: readonly string[]): ReadonlySet<string> =>
  new Set(MEANINGS.flatMap(([meaning, spelled]) => (spelled.some((word) => words.includes(word)) ? [meaning] : [])));
