// One component: how much of its caps it has used, what holds it, what was done to it.
import { get, list, path, row, text, texts, when } from './api.ts';
import type { Row } from './api.ts';
import { actButton } from './act.ts';
import { closeBreaker, disable, enable } from './acts.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';
import { decisionLine, runLine } from './cards.ts';
import { badge, cli, empty, facts, link, section, shown, troubles } from './parts.ts';
import type { Drawn } from './parts.ts';
import type { View } from './view.ts';

const windows = (title: string, some: readonly Row[]): Drawn =>
  some.length === 0
    ? null
    : h(
        'table',
        {},
        h('caption', {}, title),
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            h('th', { scope: 'col' }, 'in'),
            h('th', { scope: 'col' }, 'used'),
            h('th', { scope: 'col' }, 'of'),
          ),
        ),
        h(
          'tbody',
          {},
          some.map(({ window, used, limit }) =>
            h(
              'tr',
              { key: text(window), class: Number(used) >= Number(limit) ? 'bad' : '' },
              h('th', { scope: 'row' }, text(window)),
              h('td', {}, text(used)),
              h('td', {}, text(limit)),
            ),
          ),
        ),
      );

const breakerItem = (name: string, breaker: Row): Drawn =>
  h(
    'li',
    { key: text(breaker['strategy']) },
    h(
      'p',
      {},
      badge(breaker['open'] === true ? 'breaker_open' : 'closed', breaker['open'] === true ? 'bad' : 'plain'),
      ` ${text(breaker['strategy'])}: ${text(breaker['failures'])} failures in a row`,
    ),
    when(breaker['trialAt']) === null ? null : h('p', { class: 'when' }, 'next trial ', time(when(breaker['trialAt']))),
    breaker['open'] === true
      ? [
          h(
            'p',
            { class: 'buttons' },
            actButton(closeBreaker(name, text(breaker['strategy'])), text(breaker['strategy'])),
          ),
          cli(`amends breaker close ${name} ${text(breaker['strategy'])}`),
        ]
      : null,
  );

const strategyItem = (component: Row, runbook: Row): Drawn =>
  h(
    'li',
    { key: text(runbook['name']) },
    link(`/runbooks/${path(text(component['kind']), text(runbook['strategy']))}`, text(runbook['strategy'])),
    ` - ${text(runbook['summary'])} `,
    runbook['effect'] === 'destroy' ? badge('destroy') : null,
  );

/** Of a probe that failed, the cause is in its metrics and in the log. */
const lastWord = ({ success, at }: Row): Drawn =>
  when(at) === null
    ? [badge('not yet', 'plain'), ' ']
    : [badge(success === true ? 'succeeded' : 'failed'), ' ', time(when(at), 'short'), ' '];

const draw = (body: Row): readonly Drawn[] => {
  const component = row(body['component']);
  const name = text(component['name']);
  const troubled = troubles(component);
  const isDisabled = component['disabled'] !== null;
  const state = text(component['state']);
  return [
    h('h1', { class: `verdict ${state === 'ok' ? 'good' : 'warn'}` }, name),
    h(
      'p',
      { class: 'standing' },
      badge(state),
      ` ${text(component['kind'])}, mode ${text(component['mode'])}${text(component['team']) === '' ? '' : `, team ${text(component['team'])}`}`,
    ),
    section(
      'Held back',
      troubled.length === 0 ? empty('By nothing.') : h('ul', { class: 'lines' }, troubled),
      h('p', { class: 'buttons' }, actButton(isDisabled ? enable(name) : disable(name))),
      cli(`amends ${isDisabled ? 'enable' : 'disable'} ${name}`),
    ),
    section(
      'Attempts',
      windows('Of the component', list(component['attempts'])),
      windows('Of all its targets together', list(component['fleet'])),
    ),
    list(component['breakers']).length === 0
      ? null
      : section(
          'Breakers',
          h(
            'ul',
            { class: 'lines' },
            list(component['breakers']).map((breaker) => breakerItem(name, breaker)),
          ),
        ),
    list(component['runs']).length === 0
      ? null
      : section(
          'Under way',
          h(
            'ul',
            { class: 'lines' },
            list(component['runs']).map((one) => runLine({ ...one, component: name })),
          ),
        ),
    section(
      'Last runs',
      list(body['runs']).length === 0 ? empty('None.') : h('ul', { class: 'lines' }, list(body['runs']).map(runLine)),
    ),
    section(
      'Last decisions',
      list(body['decisions']).length === 0
        ? empty('None.')
        : h('ul', { class: 'lines decisions' }, list(body['decisions']).map(decisionLine)),
    ),
    section(
      'Strategies',
      h(
        'ul',
        { class: 'lines' },
        list(body['runbooks'])
          .filter((runbook) => runbook['kind'] === component['kind'])
          .map((runbook) => strategyItem(component, runbook)),
      ),
    ),
    section(
      'Probes',
      list(component['probes']).length === 0
        ? empty('None.')
        : h(
            'ul',
            { class: 'lines' },
            list(component['probes']).map((probe) =>
              h(
                'li',
                { key: text(probe['name']) },
                lastWord(row(probe['last'])),
                h('code', {}, text(probe['uses'])),
                ` ${text(probe['name'])} on ${text(probe['target'])} every ${text(probe['every'])}`,
              ),
            ),
          ),
    ),
    section(
      'Declared',
      facts([
        ['Targets', texts(component['targets']).join(', ')],
        ['Actions', texts(component['allowedActions']).join(', ')],
      ]),
      shown('Policy', component['policy']),
      shown('Inventory', component['inventory']),
    ),
  ];
};

export const component: View = {
  path: /^\/components\/([^/]+)$/,
  title: ([name = '']) => name,
  async load([name = '']) {
    const found = await get(`/api/v1/${path('components', name)}`);
    if (!found.ok) return found;
    const [runs, decisions, runbooks] = await Promise.all([
      get(`/api/v1/runs?limit=10&component=${encodeURIComponent(name)}`),
      get(`/api/v1/decisions?limit=10&component=${encodeURIComponent(name)}`),
      get('/api/v1/runbooks?limit=500'),
    ]);
    const items = (answer: typeof runs): unknown => (answer.ok ? answer.body['items'] : []);
    return {
      ok: true,
      body: { component: found.body, runs: items(runs), decisions: items(decisions), runbooks: items(runbooks) },
    };
  },
  draw,
};
