// Tells a human of alerts that no rule can decide about, once for each cause: a Prometheus that does not answer, or a
// rule whose own question has no usable answer.
import type { RuleError } from '../rule/decide.ts';
import type { InboxRow, Page, DecisionRow } from '../port/record.ts';
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';
import type { Subject } from './evaluate.ts';

/** The first of the rules that could have won speaks for the others: what ends its cause lets the alert be decided, or names the next. */
export const pageUndecidable = (
  { ids }: Pick<EngineContext, 'ids'>,
  { alert, episodeId }: Pick<Subject, 'alert' | 'episodeId'>,
  component: string | null,
  undecided: readonly RuleError[],
): readonly Write[] => {
  const [first] = undecided;
  if (first === undefined) return [];
  const { rule, error, unanswered } = first;
  const blind = unanswered !== undefined;
  const what = blind ? 'Prometheus does not answer' : `Rule ${rule} cannot be decided`;
  const about = `first seen with ${alert.labels['alertname'] ?? 'an alert'}${component === null ? '' : ` of ${component}`}`;
  return [
    {
      type: 'inbox.open',
      id: ids.next(),
      kind: 'escalation',
      dedup: blind ? 'undecidable:*' : `undecidable:${rule}`,
      severity: 'SEV2',
      component: blind ? null : component,
      target: null,
      runId: null,
      episodeId,
      title: `${what}: nothing is done about the alerts that wait for it`,
      body: { why: error, rule, ...(blind ? { query: unanswered } : {}) },
      page: { id: ids.next(), topic: 'undecidable', body: `${error}; ${about}` },
    },
  ];
};

/** Longer than the longest time between two looks at what is undecidable. */
const NOT_SEEN_MS = 6 * 60_000;
const PAGE = 500;

/** Why what `pageUndecidable` told of is over; null while it lasts. */
export const whyDecidable = async (
  context: EngineContext,
  rule: string | null,
  entry: Pick<InboxRow, 'body'>,
): Promise<string | null> => {
  const { config, catalog } = context.loaded();
  if (rule === null) {
    if (config.prometheus === null) return 'no Prometheus is configured any more';
    const { query } = entry.body;
    const answer = await context.sources.query(typeof query === 'string' ? query : 'vector(1)');
    return answer.ok ? 'Prometheus answers again' : null;
  }
  if (!catalog.rules.rules.some(({ name }) => name === rule)) return 'the rule is gone';
  return (await stumbledLately(context, rule)) ? null : 'the rule has not failed for a while';
};

const stumbledLately = async ({ store, clock }: EngineContext, rule: string): Promise<boolean> => {
  let cursor: string | null = null;
  do {
    const page: Page<DecisionRow> = await store.list('decisions', {
      limit: PAGE,
      cursor,
      filters: { reason: 'undecidable' },
      since: clock.now() - NOT_SEEN_MS,
    });
    if (page.items.some(({ record }) => isBecauseOf(record['errors'], rule))) return true;
    cursor = page.next;
  } while (cursor !== null);
  return false;
};

const isBecauseOf = (errors: unknown, rule: string): boolean =>
  Array.isArray(errors) && (errors as readonly RuleError[]).some((error) => error.rule === rule);
