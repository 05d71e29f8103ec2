// A backtest as people read it: in a terminal, and as Markdown in a pull request.
import type { Assumption } from './past.ts';
import type { Change, Difference, RuleSummary, Summary } from './summary.ts';
import type { Judged } from './witness.ts';
import { CHANGES } from './summary.ts';

const ASSUMED: Readonly<Record<Assumption, string>> = {
  success: 'every run is taken to have helped, and takes no time',
  failure: 'no run is taken to have helped, and takes no time',
  recorded: "runs end as and when the journal's own did; others are taken to have helped, and take no time",
};

/** Under what was decided again. `otherThanLive`: at some time live decided under something else; null: nobody knows. */
export type Under =
  | { readonly which: 'files'; readonly otherThanLive: boolean | null }
  | { readonly which: 'recorded'; readonly configurations: number };

const underText = (under: Under): readonly string[] => {
  if (under.which === 'recorded')
    return [
      under.configurations === 1
        ? 'Decided under the configuration that the journal says was loaded.'
        : `Decided under the ${under.configurations} configurations that the journal says were loaded, each in its time.`,
    ];
  if (under.otherThanLive === null) return [];
  return [
    under.otherThanLive
      ? 'Live decided under other rules or another configuration than these, at least for a time.'
      : 'Live decided under these same rules and this configuration.',
  ];
};

const TITLES: Readonly<Record<Change, string>> = {
  newly_acts: 'newly acts',
  no_longer_acts: 'no longer acts',
  acts_differently: 'acts differently',
  would_act_differently: 'in shadow, would act differently',
  other_reason: 'does the same for another reason',
};

const countsText = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, times]) => `${name} ${times}`)
    .join(', ');

const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

const spanText = ({ from, to, deliveries, alerts }: Summary): string =>
  from === null || to === null
    ? 'Nothing was in the journal.'
    : `${counted(deliveries, 'delivery', 'deliveries')} with ${counted(alerts, 'alert')}, ${from} to ${to}.`;

const heldText = ({ held, wouldBeHeld }: RuleSummary): string =>
  [countsText(held), Object.keys(wouldBeHeld).length === 0 ? '' : `would be: ${countsText(wouldBeHeld)}`]
    .filter((text) => text !== '')
    .join('; ');

const MOST_DIFFERENCES = 50;

export const headOf = (summary: Summary, assume: Assumption, under: Under): readonly string[] => [
  spanText(summary),
  `Assumed: ${ASSUMED[assume]}. Questions that nobody answered in the journal expire.${
    summary.assumedRuns === 0 ? '' : ` ${counted(summary.assumedRuns, 'run')} had no recorded outcome.`
  }`,
  ...underText(under),
  ...unknownText(summary),
  ...(summary.undone.length === 0
    ? []
    : [
        `${counted(summary.undone.length, 'act')} of people could not be done again: ${summary.undone
          .slice(0, MOST_NAMED)
          .map(({ line, why }) => `line ${line}: ${why}`)
          .join('; ')}.`,
      ]),
];

const MOST_NAMED = 5;
const namedText = (counts: Readonly<Record<string, number>>): string => {
  const all = Object.entries(counts).toSorted(([left, a], [right, b]) => b - a || (left < right ? -1 : 1));
  const named = all.slice(0, MOST_NAMED).map(([name, times]) => `${name} ${times}`);
  return [...named, ...(all.length > MOST_NAMED ? [`${all.length - MOST_NAMED} more`] : [])].join(', ');
};

const unknownText = ({ unknown: { alerts, queries } }: Summary): readonly string[] => [
  ...(Object.keys(alerts).length === 0
    ? []
    : [`Not in the journal: what Alertmanager said (taken as firing): ${namedText(alerts)}.`]),
  ...(Object.keys(queries).length === 0
    ? []
    : [`Not in the journal: what Prometheus answered (taken as no answer): ${namedText(queries)}.`]),
];

export const DECISION_COLUMNS = ['at', 'origin', 'alert', 'target', 'reason', 'rule'] as const;
export const decisionCells = (one: Judged): readonly string[] => [
  new Date(one.at).toISOString(),
  one.origin,
  one.alertname,
  [one.component, one.target].filter((name) => name !== null).join(' '),
  one.would === null ? one.reason : `${one.reason} (would be ${one.would})`,
  [one.rule, one.strategy].filter((name) => name !== null).join(' > '),
];

export const RULE_COLUMNS = ['rule', 'acted', 'asked', 'would act', 'escalated', 'capped', 'held'] as const;
export const ruleCells = (rule: RuleSummary): readonly string[] => [
  rule.rule,
  String(rule.acted),
  String(rule.asked),
  String(rule.wouldAct),
  String(rule.escalated),
  String(rule.capped),
  heldText(rule),
];

export const footOf = (summary: Summary): readonly string[] => [
  `Decisions: ${countsText(summary.decisions)}.`,
  ...(summary.busiestHours.length === 0
    ? []
    : [
        `Busiest hours: ${summary.busiestHours.map(({ hour, acts, alerts }) => `${hour.slice(0, 16)}Z ${counted(acts, 'act')}, ${counted(alerts, 'alert')}`).join('; ')}.`,
      ]),
  ...(summary.worstDay === null
    ? []
    : [
        `Worst day: ${summary.worstDay.day}, ${counted(summary.worstDay.acts, 'act')}, ${counted(summary.worstDay.alerts, 'alert')}.`,
      ]),
  ...(summary.refused.length === 0
    ? []
    : [
        `Not read: ${counted(summary.refused.length, 'body', 'bodies')}, the first on line ${summary.refused[0]?.line ?? 0}: ${summary.refused[0]?.why ?? ''}.`,
      ]),
];

const changeCounts = (differences: readonly Difference[]): Readonly<Record<Change, number>> =>
  Object.fromEntries(
    CHANGES.map((change) => [change, differences.filter((one) => one.change === change).length]),
  ) as Record<Change, number>;

export const differencesSentence = (differences: readonly Difference[], against: string): string => {
  if (differences.length === 0) return `Against ${against} nothing changes.`;
  const counts = changeCounts(differences);
  const parts = CHANGES.filter((change) => counts[change] > 0).map((change) => `${TITLES[change]} ${counts[change]}`);
  return `Against ${against} ${counted(differences.length, 'incident changes', 'incidents change')}: ${parts.join(', ')}.`;
};

const MOST_WORDS = 4;
/** An incident of days says much: its beginning and its end tell what it came to. */
const wordsText = (words: readonly string[]): string =>
  (words.length <= MOST_WORDS
    ? words
    : [...words.slice(0, MOST_WORDS / 2), `${words.length - MOST_WORDS} more`, ...words.slice(-MOST_WORDS / 2)]
  ).join(' -> ');

export const differenceCells = (one: Difference): readonly string[] => [
  TITLES[one.change],
  one.at,
  one.alertname,
  [one.component, one.target].filter((name) => name !== null).join(' '),
  wordsText(one.before),
  wordsText(one.after),
];
export const DIFFERENCE_COLUMNS = ['change', 'at', 'alert', 'target', 'before', 'after'] as const;

/** What the record says must not become markup. */
const inCell = (text: string): string =>
  text.replaceAll(/[\\|`<>*_[\]]/g, (mark) => `\\${mark}`).replaceAll(/\s+/g, ' ');
const LONGEST_CELL = 300;
/** What strangers wrote may be of any length; a comment under a pull request may not. */
const cut = (text: string): string => (text.length <= LONGEST_CELL ? text : `${text.slice(0, LONGEST_CELL - 3)}...`);
const row = (cells: readonly string[]): string => `| ${cells.map((cell) => inCell(cut(cell))).join(' | ')} |`;
const tableOf = (columns: readonly string[], rows: ReadonlyArray<readonly string[]>): readonly string[] => [
  `| ${columns.join(' | ')} |`,
  `|${columns.map(() => '---').join('|')}|`,
  ...rows.map(row),
];

/** Fit for a comment under a pull request: what changes first, everything else behind it. */
export const backtestMarkdown = (
  summary: Summary,
  assume: Assumption,
  compared: { readonly against: string; readonly differences: readonly Difference[] } | null,
  under: Under,
): string =>
  [
    '## Backtest',
    '',
    ...headOf(summary, assume, under),
    '',
    ...(compared === null ? [] : comparedMarkdown(compared.against, compared.differences)),
    '### Rules',
    '',
    ...tableOf(RULE_COLUMNS, summary.rules.map(ruleCells)),
    '',
    ...footOf(summary),
  ].join('\n');

const comparedMarkdown = (against: string, differences: readonly Difference[]): readonly string[] => [
  `**${differencesSentence(differences, `\`${against}\``)}**`,
  '',
  ...(differences.length === 0
    ? []
    : [
        ...tableOf(DIFFERENCE_COLUMNS, differences.slice(0, MOST_DIFFERENCES).map(differenceCells)),
        ...(differences.length > MOST_DIFFERENCES
          ? ['', `${differences.length - MOST_DIFFERENCES} more: \`--output=json\` has them all.`]
          : []),
        '',
      ]),
];
