// The first page: what is wrong or waits for somebody, then what runs, then what was decided and why nothing was done.
import { get, list, number, row, text, texts, when } from './api.ts';
import type { Row } from './api.ts';
import { approvalCard, componentTable, decisionLine, entryCard, haltCard, runLine, stormCard } from './cards.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';
import { badge, by, empty, link, place, runLink, section, troubles } from './parts.ts';
import type { Drawn } from './parts.ts';
import { stepsInShort } from './steps.ts';
import type { View } from './view.ts';

export const isHalted = (body: Row): boolean => row(body['halt'])['on'] === true;

const approvalsOf = (body: Row): readonly Row[] =>
  list(body['runs']).filter(({ state }) => state === 'awaiting_approval');
/** A question stands with its run. */
const entriesOf = (body: Row): readonly Row[] => list(body['inbox']).filter(({ kind }) => kind !== 'approval');
const stormsOf = (body: Row): readonly string[] => {
  const told = new Set(entriesOf(body).map(({ dedup }) => text(dedup)));
  return texts(body['storms']).filter((name) => !told.has(`storm:${name}`));
};

export const waitingOf = (body: Row): number =>
  (isHalted(body) ? 1 : 0) + stormsOf(body).length + approvalsOf(body).length + entriesOf(body).length;

/** What is worst first; of the same, the question whose time is up first. */
const weight = (severity: unknown): number => {
  const rank = ['SEV1', 'SEV2', 'SEV3', 'SEV4'].indexOf(text(severity));
  return rank < 0 ? 4 : rank;
};
const inOrder = (body: Row): readonly Drawn[] =>
  [
    ...entriesOf(body).map((entry) => ({
      weight: weight(entry['severity']) + (entry['kind'] === 'note' ? 10 : 0),
      at: text(entry['at']),
      card: entryCard(entry),
    })),
    ...approvalsOf(body).map((run) => ({
      weight: weight(row(run['runbook'])['severity']),
      at: text(row(run['asked'])['expiresAt']),
      card: approvalCard(run),
    })),
  ]
    .toSorted((left, right) => left.weight - right.weight || left.at.localeCompare(right.at))
    .map(({ card }) => card);

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

const verdict = (body: Row): Drawn => {
  const waiting = waitingOf(body);
  const troubled = list(body['components']).filter((component) => troubles(component).length > 0).length;
  const said = isHalted(body)
    ? waiting > 1
      ? `Halted, and ${plural(waiting - 1, 'thing waits', 'things wait')} for you`
      : 'Halted: nothing starts'
    : waiting > 0
      ? `${plural(waiting, 'thing waits', 'things wait')} for you`
      : troubled > 0
        ? `Nothing waits for you; ${plural(troubled, 'component is', 'components are')} held`
        : 'Nothing waits for you';
  const tone = isHalted(body) ? 'bad' : waiting > 0 ? 'warn' : 'good';
  return h('h1', { class: `verdict ${tone}` }, said);
};

const MODES: Readonly<Record<string, string>> = {
  shadow: 'Mode shadow: amends records what it would do, and does nothing.',
  approve: 'Mode approve: every run is asked of somebody first.',
  auto: '',
};

const standing = (body: Row): Drawn => {
  const last = row(body['lastAlert']);
  const runs = number(body['runsUnderWay']) - approvalsOf(body).length;
  return h(
    'p',
    { class: 'standing' },
    runs > 0 ? `${plural(runs, 'run')} under way. ` : 'No run under way. ',
    when(last['at']) === null ? 'No alert has ever come in.' : ['Last alert ', time(when(last['at']), 'short'), '.'],
    ` ${MODES[text(body['mode'])] ?? ''}`,
  );
};

const suspicions = (body: Row): readonly Drawn[] => [
  when(body['approvalOnlyUntil']) === null
    ? null
    : h(
        'p',
        { class: 'card warn', key: 'history' },
        'The record began empty: every run is asked of somebody, until ',
        time(when(body['approvalOnlyUntil'])),
        '.',
      ),
  when(body['clockSuspectUntil']) === null
    ? null
    : h(
        'p',
        { class: 'card warn', key: 'clock' },
        'The clock of the machine jumped: every run is asked of somebody, until ',
        time(when(body['clockSuspectUntil'])),
        '.',
      ),
];

const ruleLine = (rule: Row, what: 'disabled' | 'demoted'): Drawn =>
  h(
    'li',
    { key: `${what}-${text(rule['name'])}` },
    badge(what, 'warn'),
    ' rule ',
    link('/console/rules', text(rule['name'])),
    what === 'demoted' ? `, ${text(rule['mode'])} at most: ${text(rule['reason'])}` : ` by ${by(rule)}`,
    when(rule['until']) === null ? '' : [' until ', time(when(rule['until']))],
  );

const held = (body: Row): Drawn => {
  const components = list(body['components']).filter((component) => troubles(component).length > 0);
  const modes = list(body['degradedModes']);
  const rules = row(body['rules']);
  const [disabled, demoted] = [list(rules['disabled']), list(rules['demoted'])];
  if (components.length + modes.length + disabled.length + demoted.length === 0) return null;
  return section(
    'Held back',
    h(
      'ul',
      { class: 'lines' },
      components.map((component) =>
        h(
          'li',
          { key: text(component['name']) },
          h('strong', {}, place(component['name'], '')),
          h('ul', {}, troubles(component)),
        ),
      ),
      modes.map((mode) =>
        h(
          'li',
          { key: `mode-${text(mode['name'])}` },
          badge('degraded'),
          ` ${text(mode['name'])}: ${text(mode['impact'])} `,
          h('span', { class: 'when' }, 'since ', time(when(mode['since']))),
        ),
      ),
      demoted.map((rule) => ruleLine(rule, 'demoted')),
      disabled.map((rule) => ruleLine(rule, 'disabled')),
    ),
  );
};

const underWay = (body: Row): Drawn => {
  const runs = list(body['runs']).filter(({ state }) => state !== 'awaiting_approval');
  if (runs.length === 0) return null;
  return section(
    'Under way',
    runs.map((run) =>
      h(
        'article',
        { class: 'card busy', key: `run-${text(run['id'])}` },
        h('h3', {}, badge(text(run['state'])), ' ', place(run['component'], run['target'])),
        h(
          'p',
          {},
          runLink(text(run['id']), text(row(run['runbook'])['name'])),
          ', for ',
          time(when(run['startedAt']) ?? when(run['createdAt']), 'since'),
        ),
        stepsInShort(run),
      ),
    ),
  );
};

const decided = (body: Row): Drawn => {
  const groups = list(body['decisions']);
  return section(
    'Decided lately',
    groups.length === 0
      ? empty('Nothing was decided yet: no alert has come in that is not a repeat.')
      : h('ul', { class: 'lines decisions' }, groups.map(decisionLine)),
    h('p', {}, link('/console/decisions', 'All decisions')),
  );
};

const ended = (body: Row): Drawn => {
  const runs = list(body['ended']);
  return runs.length === 0
    ? null
    : section(
        'Ended lately',
        h('ul', { class: 'lines' }, runs.map(runLine)),
        h('p', {}, link('/console/runs', 'All runs')),
      );
};

export const overview: View = {
  path: /^$/,
  title: () => 'Overview',
  load: () => get('/api/v1/overview'),
  draw: (body) => {
    const waits = [
      ...(isHalted(body) ? [haltCard(row(body['halt']))] : []),
      ...stormsOf(body).map(stormCard),
      ...inOrder(body),
      ...suspicions(body),
    ].filter((one) => one !== null);
    return [
      verdict(body),
      standing(body),
      waits.length === 0 ? null : section('Waits for you', ...waits),
      held(body),
      underWay(body),
      decided(body),
      ended(body),
      section('Components', componentTable(list(body['components']))),
    ];
  },
};
