// The things that stand on more than one page: a card for what waits, a line for what was.
import { number, row, text, texts, when } from './api.ts';
import type { Row } from './api.ts';
import { actButton } from './act.ts';
import { approve, closeEntry, deny, resume } from './acts.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';
import { attemptsOf, badge, by, cli, decisionLink, empty, place, runLink, shown, words } from './parts.ts';
import type { Drawn } from './parts.ts';

export const haltCard = (halt: Row): Drawn => {
  const file = halt['by'] === 'file';
  return h(
    'article',
    { class: 'card bad', key: 'halt' },
    h('h3', {}, 'Everything stands still'),
    h('p', {}, file ? text(halt['reason']) : `Halted by ${by(halt)}`),
    when(halt['at']) === null ? null : h('p', { class: 'when' }, 'since ', time(when(halt['at']))),
    h('p', {}, 'What waits keeps its time.'),
    halt['hard'] === true ? h('p', {}, 'Hard: steps that were under way were aborted.') : null,
    file
      ? [h('p', {}, 'A halt file is lifted where it lies:'), cli('amends resume --file --storage.path=...')]
      : [h('p', { class: 'buttons' }, actButton(resume)), cli('amends resume')],
  );
};

export const approvalCard = (run: Row): Drawn => {
  const asked = row(run['asked']);
  const about = `${text(run['component'])} ${text(run['target'])}`;
  return h(
    'article',
    { class: 'card warn', key: `approval-${text(run['id'])}` },
    h('h3', {}, badge('approval', 'warn'), ' ', place(run['component'], run['target'])),
    h('p', { class: 'question' }, text(asked['question'])),
    text(asked['question']).includes(text(row(run['runbook'])['summary']))
      ? null
      : h('p', {}, `${text(row(run['runbook'])['name'])}: ${text(row(run['runbook'])['summary'])}`),
    row(run['runbook'])['effect'] === 'destroy' ? h('p', {}, badge('destroy'), ' It may destroy things.') : null,
    h(
      'p',
      { class: 'when' },
      h('strong', {}, time(when(asked['expiresAt']), 'left')),
      '; asked ',
      time(when(asked['at'])),
    ),
    h(
      'p',
      { class: 'buttons' },
      actButton(approve(run), about),
      actButton(deny(run), about),
      h(
        'a',
        {
          class: 'button',
          href: `/console/runs/${encodeURIComponent(text(run['id']))}`,
          'aria-label': `Plan and evidence of ${about}`,
        },
        'Plan and evidence',
      ),
    ),
    cli(`amends approve ${text(run['id'])}`),
  );
};

export const entryCard = (entry: Row): Drawn => {
  const { kind, severity, title, count, runId } = entry;
  const why =
    text(row(entry['body'])['why']) || text(row(entry['body'])['text']) || text(row(entry['body'])['problem']);
  return h(
    'article',
    { class: `card ${kind === 'note' ? 'plain' : 'bad'}`, key: `entry-${text(entry['id'])}` },
    h(
      'h3',
      {},
      badge(text(kind), kind === 'note' ? 'plain' : 'bad'),
      ' ',
      text(severity) === '' ? null : badge(text(severity)),
      ' ',
      text(title),
    ),
    text(entry['component']) === '' ? null : h('p', {}, place(entry['component'], entry['target'])),
    why === '' ? null : h('p', {}, why),
    h('p', { class: 'when' }, time(when(entry['at'])), number(count) > 1 ? `, ${number(count)} times` : ''),
    h(
      'p',
      { class: 'buttons' },
      text(runId) === ''
        ? null
        : h(
            'a',
            { class: 'button', href: `/console/runs/${encodeURIComponent(text(runId))}` },
            kind === 'approval' ? 'Plan and answer' : 'The run',
          ),
      kind === 'approval' ? null : actButton(closeEntry(entry), text(title)),
    ),
    shown('Evidence', entry['body']),
    kind === 'approval' ? cli(`amends approve ${text(runId)}`) : cli(`amends inbox close ${text(entry['id'])}`),
  );
};

export const stormCard = (name: string): Drawn =>
  h(
    'article',
    { class: 'card bad', key: `storm-${name}` },
    h('h3', {}, badge('storm'), name === '*' ? ' of several components' : [' ', place(name, '')]),
    h('p', {}, 'Too many targets fail at once: amends acts on none of them, and leaves the cause to you.'),
  );

export const decisionLine = (decision: Row): Drawn => {
  const count = number(decision['count']);
  const targets = texts(decision['targets']);
  const target = targets.length > 0 ? targets.join(', ') : text(decision['target']);
  return h(
    'li',
    { key: text(decision['id']) },
    h(
      'p',
      {},
      badge(text(decision['reason'])),
      ' ',
      text(decision['alertname']) === '' ? null : h('strong', {}, `${text(decision['alertname'])} `),
      place(decision['component'], target),
      count > 1 ? h('span', { class: 'count' }, ` ${count} times`) : null,
    ),
    text(decision['why']) === '' ? null : h('p', { class: 'why' }, text(decision['why'])),
    h(
      'p',
      { class: 'when' },
      time(when(decision['at'])),
      ' ',
      decisionLink(text(decision['id']), 'Why'),
      text(decision['runId']) === '' ? null : [' ', runLink(text(decision['runId']), 'Run')],
    ),
  );
};

export const componentTable = (components: readonly Row[]): Drawn =>
  components.length === 0
    ? empty('No components are declared: amends.yaml names what may be recovered.')
    : h(
        'ul',
        { class: 'lines components' },
        components.map((component) =>
          h(
            'li',
            { key: text(component['name']) },
            h(
              'p',
              {},
              badge(text(component['state'])),
              ' ',
              h('strong', {}, place(component['name'], '')),
              ` ${text(component['kind'])}, mode ${words(text(component['mode']))}`,
            ),
            h('p', { class: 'when' }, `Attempts: ${attemptsOf(component['attempts'])}`),
          ),
        ),
      );

export const runLine = (run: Row): Drawn =>
  h(
    'li',
    { key: text(run['id']) },
    h(
      'p',
      {},
      badge(text(run['outcome']) || text(run['state'])),
      ' ',
      runLink(text(run['id']), text(run['strategy'])),
      ' ',
      place(run['component'], run['target']),
    ),
    h(
      'p',
      { class: 'when' },
      text(run['cause']) === '' ? '' : `${words(text(run['cause']))}, `,
      time(when(run['endedAt']) ?? when(run['createdAt'])),
    ),
  );
