// The pages that are lists, newest first, with a way to what is older.
import { get, list, row, text, texts, when } from './api.ts';
import type { Answer, Row } from './api.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';
import { approvalCard, componentTable, decisionLine, entryCard, runLine } from './cards.ts';
import { badge, by, cli, empty, link, section, shown, words } from './parts.ts';
import type { Drawn } from './parts.ts';
import type { View } from './view.ts';

/** Of a list of the API, what the address asks for: its next page, and filters by the same names. */
const FILTERS: ReadonlySet<string> = new Set([
  'cursor',
  'component',
  'target',
  'reason',
  'rule',
  'strategy',
  'state',
  'outcome',
  'status',
]);
const page = (kind: string, query: URLSearchParams): Promise<Answer> => {
  const asked = new URLSearchParams([...query].filter(([name]) => FILTERS.has(name)));
  asked.set('limit', '50');
  return get(`/api/v1/${kind}?${asked.toString()}`);
};

const older = (kind: string, body: Row): Drawn => {
  if (typeof body['next'] !== 'string') return null;
  const query = new URLSearchParams(location.search);
  query.set('cursor', body['next']);
  return h('p', {}, link(`/console/${kind}?${query.toString()}`, 'Older ones'));
};

const items = (body: Row, draw: (one: Row) => Drawn, none: string, kind = 'lines'): Drawn =>
  list(body['items']).length === 0 ? empty(none) : h('ul', { class: kind }, list(body['items']).map(draw));

export const runs: View = {
  path: /^\/runs$/,
  title: () => 'Runs',
  load: (_, query) => page('runs', query),
  draw: (body) => [
    h('h1', {}, 'Runs'),
    items(body, runLine, 'Nothing was run yet.'),
    older('runs', body),
    cli('amends runs list'),
  ],
};

export const decisions: View = {
  path: /^\/decisions$/,
  title: () => 'Decisions',
  load: (_, query) => page('decisions', query),
  draw: (body) => [
    h('h1', {}, 'Decisions'),
    items(body, decisionLine, 'Nothing was decided yet.', 'lines decisions'),
    older('decisions', body),
    cli('amends history'),
  ],
};

export const components: View = {
  path: /^\/components$/,
  title: () => 'Components',
  load: () => get('/api/v1/components?limit=500'),
  draw: (body) => [h('h1', {}, 'Components'), componentTable(list(body['items'])), cli('amends status')],
};

export const approvals: View = {
  path: /^\/approvals$/,
  title: () => 'Approvals',
  load: () => get('/api/v1/overview'),
  draw: (body) => {
    const waiting = list(body['runs']).filter(({ state }) => state === 'awaiting_approval');
    return [
      h('h1', {}, 'Approvals'),
      section('Waiting', waiting.length === 0 ? empty('Nothing waits for a yes or a no.') : waiting.map(approvalCard)),
      cli('amends runs list --state=awaiting_approval'),
    ];
  },
};

const closed = (entry: Row): Drawn =>
  h(
    'li',
    { key: text(entry['id']) },
    badge(text(entry['kind']), 'plain'),
    ` ${text(entry['title'])}`,
    h(
      'p',
      { class: 'when' },
      'closed ',
      time(when(entry['closedAt'])),
      ` by ${text(entry['closedBy'])}${text(entry['comment']) === '' ? '' : `: ${text(entry['comment'])}`}`,
    ),
  );

export const inbox: View = {
  path: /^\/inbox$/,
  title: () => 'Inbox',
  load: (_, query) => page('inbox', query),
  draw: (body) => {
    const open = list(body['items']).filter(({ status }) => status === 'open');
    const done = list(body['items']).filter(({ status }) => status !== 'open');
    return [
      h('h1', {}, 'Inbox'),
      section(
        'Open',
        open.length === 0
          ? empty('Nothing waits.')
          : open.map((entry) => [entryCard(entry), shown(`Evidence of ${text(entry['id'])}`, entry['body'])]),
      ),
      done.length === 0 ? null : section('Closed', h('ul', { class: 'lines' }, done.map(closed))),
      older('inbox', body),
      cli('amends inbox list --all'),
    ];
  },
};

const ruleItem = (rule: Row): Drawn => {
  const [disabled, demoted] = [row(rule['disabled']), row(rule['demoted'])];
  const ladder = list(rule['ladder']).map(
    (rung) => `${text(rung['runbook'])}${text(rung['mode']) === '' ? '' : ` (${text(rung['mode'])})`}`,
  );
  return h(
    'li',
    { key: text(rule['name']) },
    h(
      'p',
      {},
      badge(text(rule['event']), 'plain'),
      ' ',
      h('strong', {}, text(rule['name'])),
      text(rule['mode']) === '' ? '' : `, mode ${text(rule['mode'])}`,
      `, priority ${text(rule['priority'])}`,
    ),
    text(rule['description']) === '' ? null : h('p', { class: 'why' }, text(rule['description'])),
    ladder.length === 0 ? null : h('p', {}, h('code', {}, ladder.join(', then '))),
    text(disabled['by']) === ''
      ? null
      : h(
          'p',
          {},
          badge('disabled'),
          ` by ${by(disabled)} `,
          when(disabled['until']) === null ? '' : ['until ', time(when(disabled['until']))],
        ),
    text(demoted['mode']) === ''
      ? null
      : h('p', {}, badge('demoted', 'warn'), ` ${text(demoted['mode'])} at most: ${text(demoted['reason'])}`),
    h(
      'p',
      { class: 'when' },
      h('code', {}, text(rule['file'])),
      texts(rule['owner']).length > 0 ? '' : text(rule['owner']) === '' ? '' : `, ${words(text(rule['owner']))}`,
    ),
    shown(`Conditions of ${text(rule['name'])}`, rule['conditions']),
  );
};

export const rules: View = {
  path: /^\/rules$/,
  title: () => 'Rules',
  load: () => get('/api/v1/rules?limit=500'),
  draw: (body) => [
    h('h1', {}, 'Rules'),
    h('p', { class: 'standing' }, 'In the order in which they are asked; the first that matches wins.'),
    items(body, ruleItem, 'No rules are loaded.'),
    cli('amends disable --rule <name>'),
  ],
};
