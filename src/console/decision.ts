// Why a decision came out as it did: which rules were asked, what each condition and guard saw, and what would have to change.
import { get, list, path, row, text, texts, when } from './api.ts';
import type { Row } from './api.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';
import { badge, cli, empty, facts, labels, link, maybeLink, place, runLink, section, shown, words } from './parts.ts';
import type { Drawn } from './parts.ts';
import type { View } from './view.ts';

/** Those that refuse come first. */
export const guardTable = (guards: readonly Row[], open = true): Drawn => {
  if (guards.length === 0) return empty('No guard was asked: it was settled before.');
  const [held, passed] = [
    guards.filter((guard) => guard['passed'] !== true),
    guards.filter((guard) => guard['passed'] === true),
  ];
  const items = (some: readonly Row[]): Drawn => h('ul', { class: 'lines guards' }, some.map(guardItem));
  return [
    held.length === 0 ? null : items(held),
    passed.length === 0
      ? null
      : h(
          'details',
          { key: 'passed', open: open && held.length === 0 },
          h('summary', {}, `${passed.length} guards let it pass`),
          items(passed),
        ),
  ];
};

const guardItem = (guard: Row): Drawn =>
  h(
    'li',
    { key: `${text(guard['ledger'])}-${text(guard['guard'])}` },
    h(
      'p',
      {},
      badge(guard['passed'] === true ? 'passed' : 'held', guard['passed'] === true ? 'good' : 'bad'),
      ' ',
      h('strong', {}, words(text(guard['guard']))),
      text(guard['ledger']) === 'live' ? '' : ` (${text(guard['ledger'])})`,
      text(guard['detail']) === '' ? '' : `: ${text(guard['detail'])}`,
      when(guard['endsAt']) === null ? null : ['; until ', time(when(guard['endsAt']))],
    ),
    Object.keys(row(guard['inputs'])).length === 0
      ? null
      : h(
          'p',
          { class: 'why' },
          h(
            'code',
            {},
            Object.entries(row(guard['inputs']))
              .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
              .join(' '),
          ),
        ),
  );

const MARK: Readonly<Record<string, Drawn>> = { true: badge('yes', 'good'), false: badge('no', 'bad') };
const mark = (result: unknown): Drawn =>
  typeof result === 'boolean'
    ? ((MARK[String(result)] as HTMLElement).cloneNode(true) as HTMLElement)
    : badge('not asked', 'plain');

const ruleItem = (rule: Row): Drawn =>
  h(
    'li',
    { key: text(rule['rule']) },
    h(
      'p',
      {},
      badge(rule['matched'] === true ? 'matched' : 'no match', rule['matched'] === true ? 'good' : 'plain'),
      ' ',
      h('strong', {}, text(rule['rule'])),
    ),
    text(rule['error']) === '' ? null : h('p', { class: 'error' }, text(rule['error'])),
    h(
      'ul',
      { class: 'conditions' },
      list(rule['conditions']).map((condition, index) =>
        h('li', { key: index }, mark(condition['result']), ' ', h('code', {}, text(condition['text']))),
      ),
    ),
  );

/** Where the record names nothing that was held against it. */
const WITHOUT_CHANGES: Readonly<Record<string, string>> = {
  no_match:
    'A rule that asks for an alert with these labels. Of one rule, amends explain --rule says how far off it is.',
  resolved: 'Nothing: the alert is over.',
  duplicate: 'Nothing: the incident was decided before, and is decided again by the clock of amends.',
  observed: 'The rule: it only observes.',
  ignored: 'The rule: it says to ignore it.',
  escalated: 'The rule: it hands it straight to a human.',
  awaiting_approval: 'Somebody has to say yes.',
};

const draw = (body: Row): readonly Drawn[] => {
  const episode = row(body['episode']);
  const decision = row(body['decision']);
  const changes = texts(body['whatWouldHaveToChange']);
  const asked = new Set(list(body['rules']).map((rule) => text(rule['rule'])));
  const unasked = texts(body['candidates']).filter((name) => !asked.has(name));
  const id = text(decision['id']);
  return [
    h(
      'h1',
      { class: 'verdict plain' },
      badge(text(decision['reason'])),
      ' ',
      place(decision['component'], decision['target']),
    ),
    h('p', { class: 'standing' }, `${text(body['why'])}.`),
    section(
      'What would have to change for it to act',
      changes.length === 0
        ? h('p', {}, WITHOUT_CHANGES[text(decision['reason'])] ?? 'Nothing held it back.')
        : h(
            'ul',
            {},
            changes.map((change, index) => h('li', { key: index }, change)),
          ),
    ),
    section(
      'The alert',
      labels(episode['labels']) ?? empty('It belongs to no incident.'),
      Object.entries(row(episode['annotations'])).map(([name, value]) =>
        h('p', { class: 'why', key: name }, `${name}: `, maybeLink(text(value))),
      ),
    ),
    section(
      'What was decided',
      facts([
        ['When', time(when(decision['at']))],
        ['Because of', words(text(decision['origin']))],
        ['Asked for by', text(decision['caller'])],
        ['Rule', text(decision['rule']) === '' ? 'none' : link('/console/rules', text(decision['rule']))],
        ['Strategy', text(decision['strategy'])],
        ['Run', text(decision['runId']) === '' ? 'none' : runLink(text(decision['runId']), 'what it did')],
      ]),
    ),
    section('Guards', guardTable(list(body['guards']))),
    section(
      'Rules',
      list(body['rules']).length === 0
        ? empty('No rule was asked.')
        : h('ul', { class: 'lines' }, list(body['rules']).map(ruleItem)),
      unasked.length === 0
        ? null
        : h('p', { class: 'why' }, `Not asked any more, since one had won: ${unasked.join(', ')}`),
    ),
    section(
      'What it knew',
      shown('Facts', body['facts'], true),
      shown('Digests', body['digests']),
      shown('Plans', body['plans']),
    ),
    cli(`amends explain ${id}`),
  ];
};

export const decision: View = {
  path: /^\/decisions\/([^/]+)$/,
  title: () => 'Decision',
  async load([id = '']) {
    const found = await get(`/api/v1/${path('decisions', id)}/explain`);
    if (!found.ok) return found;
    const whole = await get(`/api/v1/${path('decisions', id)}`);
    const episodeId = whole.ok ? text(whole.body['episodeId']) : '';
    const episodes = episodeId === '' ? null : await get(`/api/v1/episodes?id=${encodeURIComponent(episodeId)}`);
    return { ok: true, body: { ...found.body, episode: episodes?.ok === true ? list(episodes.body['items'])[0] : {} } };
  },
  draw,
};
