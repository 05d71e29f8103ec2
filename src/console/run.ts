// One run: what it does and did, why it may, how it was verified; and, while it asks, the answer.
import { get, list, path, row, text, when } from './api.ts';
import type { Row } from './api.ts';
import { actButton } from './act.ts';
import { approve, cancel, deny } from './acts.ts';
import { parse, span, time } from './clock.ts';
import { h } from './dom.ts';
import { guardTable } from './decision.ts';
import { badge, cli, decisionLink, facts, labels, link, maybeLink, place, section, shown, words } from './parts.ts';
import type { Drawn } from './parts.ts';
import { stepsInFull, verification } from './steps.ts';
import type { View } from './view.ts';

const between = (from: unknown, to: unknown): string => {
  const [began, ended] = [parse(when(from)), parse(when(to))];
  return began === null || ended === null ? '' : span(ended - began);
};

const ask = (run: Row): Drawn => {
  const asked = row(run['asked']);
  if (run['state'] !== 'awaiting_approval') return null;
  const about = `${text(run['component'])} ${text(run['target'])}`;
  return section(
    'It asks for a yes',
    h(
      'div',
      { class: 'card warn' },
      h('p', { class: 'question' }, text(asked['question'])),
      h(
        'p',
        { class: 'when' },
        h('strong', {}, time(when(asked['expiresAt']), 'left')),
        ', until ',
        time(when(asked['expiresAt']), 'at'),
        '; asked ',
        time(when(asked['at'])),
      ),
      h('p', { class: 'buttons' }, actButton(approve(run), about), actButton(deny(run), about)),
      cli(`amends approve ${text(run['id'])}`),
      h(
        'p',
        { class: 'hint' },
        `What is approved is this plan and no other (${text(asked['planDigest']).slice(0, 19)}).`,
      ),
    ),
  );
};

const END: Readonly<Record<string, string>> = {
  resolved: 'Resolved',
  unresolved: 'Did not help',
  stuck: 'Stuck: its target stays busy until somebody closes its inbox entry',
  withdrawn: 'Withdrawn: nothing was changed',
};

const heading = (run: Row): Drawn => {
  const outcome = text(run['outcome']);
  const tone = outcome === 'resolved' ? 'good' : outcome === 'withdrawn' ? 'plain' : outcome === '' ? 'warn' : 'bad';
  return [
    h(
      'h1',
      { class: `verdict ${tone}` },
      `${text(run['strategy'])} on ${text(run['component'])} ${text(run['target'])}`,
    ),
    h(
      'p',
      { class: 'standing' },
      badge(text(run['state'])),
      ' ',
      outcome === ''
        ? ''
        : `${END[outcome] ?? outcome}${text(run['cause']) === '' ? '' : ` (${words(text(run['cause']))})`}. `,
      text(run['detail']),
      when(run['settleUntil']) !== null && outcome === 'resolved'
        ? [' Watched until ', time(when(run['settleUntil'])), '.']
        : null,
    ),
  ];
};

const draw = (body: Row): readonly Drawn[] => {
  const run = row(body['progress']);
  const why = row(body['why']);
  const runbook = row(run['runbook']);
  const alert = row(run['alert']);
  const manual = row(run['manual']);
  const stop = row(run['stop']);
  const id = text(run['id']);
  return [
    heading(run),
    ask(run),
    section('Step by step', stepsInFull(run)),
    section('Verification', verification(run)),
    section(
      'What it is',
      facts([
        [
          'Runbook',
          [
            link(`/runbooks/${path(text(run['kind']), text(run['strategy']))}`, text(runbook['name'])),
            ` - ${text(runbook['summary'])}`,
          ],
        ],
        [
          'Effect',
          [badge(text(runbook['effect'])), ` ${text(runbook['severity'])}, at most ${text(runbook['timeout'])}`],
        ],
        ['On', place(run['component'], run['target'])],
        [
          'Rule',
          text(run['rule']) === ''
            ? 'none: asked for by hand'
            : [
                link('/console/rules', text(run['rule'])),
                Number(run['rungs']) > 1 ? `, rung ${Number(run['rung']) + 1} of ${text(run['rungs'])}` : '',
              ],
        ],
        ['Asked for by', text(manual['by']) === '' ? null : `${text(manual['by'])}: ${text(manual['reason'])}`],
        ['Alert since', time(when(run['alertStartedAt']))],
        ['Started', time(when(run['startedAt']))],
        [
          'Verified',
          when(run['verifiedAt']) === null
            ? null
            : [time(when(run['verifiedAt'])), `; ${between(run['alertStartedAt'], run['verifiedAt'])} after the alert`],
        ],
        ['Ended', time(when(run['endedAt']))],
        ['Stop asked by', text(stop['by']) === '' ? null : `${text(stop['by'])}: ${text(stop['why'])}`],
        ['Taken over', Number(run['recoveries']) > 0 ? `${text(run['recoveries'])} times after a crash` : null],
        [
          'Afterwards',
          row(run['judged'])['exhausted'] === true
            ? `nothing automatic is left: ${text(row(run['judged'])['why'])}`
            : text(row(run['judged'])['why']),
        ],
      ]),
      labels(alert['labels']),
      Object.entries(row(alert['annotations'])).map(([name, value]) =>
        h('p', { class: 'why', key: name }, `${name}: `, maybeLink(text(value))),
      ),
      shown('Inputs', run['inputs'], true),
    ),
    section(
      'Why',
      h('p', { class: 'why' }, text(why['why'])),
      guardTable(list(why['guards']), false),
      h('p', {}, decisionLink(text(run['decisionId']), 'The whole decision')),
    ),
    section(
      'What can be done',
      run['state'] === 'done'
        ? null
        : [h('p', { class: 'buttons' }, actButton(cancel(run))), cli(`amends cancel ${id}`)],
      h(
        'ul',
        {},
        h(
          'li',
          {},
          link(
            `/runbooks/${path(text(run['kind']), text(run['strategy']))}`,
            'What a human does when it does not help',
          ),
        ),
        h(
          'li',
          {},
          link(`/api/v1/postmortems/${path(text(run['episodeId']) || id)}`, 'Draft of a post-mortem'),
          ', or ',
          h('code', {}, `amends postmortem ${id}`),
        ),
        h('li', {}, h('code', {}, `amends runs show ${id}`)),
      ),
    ),
    section(
      'Events',
      h(
        'ol',
        { class: 'events' },
        list(body['log']).map((line, index) =>
          h(
            'li',
            { key: index, class: text(line['level']) },
            time(when(line['at']), 'at'),
            ` ${text(line['message'])}`,
          ),
        ),
      ),
    ),
  ];
};

export const run: View = {
  path: /^\/runs\/([^/]+)$/,
  title: () => 'Run',
  async load([id = '']) {
    const found = await get(`/api/v1/${path('runs', id)}`);
    if (!found.ok) return found;
    const decisionId = text(found.body['decisionId']);
    const [why, log] = await Promise.all([
      get(`/api/v1/${path('decisions', decisionId)}/explain`),
      get(`/api/v1/logs?run_id=${encodeURIComponent(id)}&limit=500`),
    ]);
    return { ok: true, body: { ...found.body, why: why.ok ? why.body : {}, log: log.ok ? log.body['items'] : [] } };
  },
  draw,
};
