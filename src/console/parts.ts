// The small things that every view is made of.
import { list, path, row, text, texts, when } from './api.ts';
import type { Row } from './api.ts';
import { time } from './clock.ts';
import { h } from './dom.ts';

export type Drawn = HTMLElement | string | null | false | readonly Drawn[];

/** How bad it is: said by colour, and by the word itself for whoever sees none. */
export type Tone = 'bad' | 'warn' | 'good' | 'busy' | 'plain';

const TONES: Readonly<Record<string, Tone>> = {
  awaiting_approval: 'warn',
  queued: 'busy',
  running: 'busy',
  verifying: 'busy',
  undoing: 'warn',
  recovering: 'busy',
  resolved: 'good',
  unresolved: 'bad',
  stuck: 'bad',
  withdrawn: 'plain',
  ok: 'good',
  degraded: 'bad',
  disabled: 'warn',
  cooldown: 'warn',
  succeeded: 'good',
  failed: 'bad',
  unknown: 'bad',
  undo_failed: 'bad',
  undone: 'plain',
  started: 'busy',
  waiting: 'warn',
  admitted: 'good',
  escalated: 'warn',
  invalid: 'bad',
  undecidable: 'bad',
  halted: 'bad',
  storm: 'bad',
  breaker_open: 'bad',
  attempts_used_up: 'bad',
  budget: 'bad',
  destroy: 'bad',
  SEV1: 'bad',
  SEV2: 'bad',
  SEV3: 'warn',
};

export const words = (name: string): string => name.replaceAll('_', ' ');

export const badge = (name: string, tone: Tone = TONES[name] ?? 'plain'): HTMLElement =>
  h('span', { class: `badge ${tone}` }, words(name));

let ids = 0;
export const section = (title: string, ...children: readonly Drawn[]): HTMLElement => {
  const id = `h-${title.toLowerCase().replaceAll(/\W+/g, '-')}`;
  return h('section', { 'aria-labelledby': id, key: id }, h('h2', { id }, title), children);
};

/** What a thing is called, and what it is; rows without a value are left out. */
export const facts = (rows: ReadonlyArray<readonly [string, Drawn]>): HTMLElement =>
  h(
    'dl',
    {},
    rows
      .filter(([, value]) => value !== null && value !== false && value !== '')
      .map(([name, value]) => h('div', { key: name }, h('dt', {}, name), h('dd', {}, value))),
  );

export const link = (to: string, label: string, more: Readonly<Record<string, string>> = {}): HTMLElement =>
  h('a', { href: to, ...more }, label);

export const runLink = (id: string, label: string): HTMLElement => link(`/console/runs/${path(id)}`, label);
export const decisionLink = (id: string, label: string): HTMLElement => link(`/console/decisions/${path(id)}`, label);

/** The component, and which one of it. */
export const place = (component: unknown, target: unknown): Drawn => {
  const name = text(component);
  return name === ''
    ? 'no component'
    : h(
        'span',
        { class: 'place' },
        link(`/console/components/${path(name)}`, name),
        text(target) === '' ? '' : ` ${text(target)}`,
      );
};

/** The same on the command line, for when this page is not to be had. */
export const cli = (command: string): HTMLElement =>
  h('p', { class: 'cli' }, 'In a terminal: ', h('code', {}, command));

export const quoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`;

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0);

/** Whatever it is, to be read: never cut without saying so. */
export const shown = (label: string, value: unknown, open = false): Drawn => {
  if (isEmpty(value)) return null;
  const { cut, bytes } = row(value);
  const isCut = typeof cut === 'string' && typeof bytes === 'number';
  const body = isCut ? cut : typeof value === 'string' ? value : lines(value);
  return h(
    'details',
    { open, key: label },
    h('summary', {}, isCut ? `${label} (the first 4 KiB of ${bytes} bytes)` : label),
    h('pre', { tabindex: 0, role: 'group', 'aria-label': label }, body),
  );
};

/** A mapping as a line for each member; what is deeper, as JSON. */
const lines = (value: unknown): string =>
  Array.isArray(value)
    ? value.map(plain).join('\n')
    : Object.entries(row(value))
        .map(([name, member]) => `${name}: ${plain(member)}`)
        .join('\n');
const plain = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

export const labels = (value: unknown): Drawn => {
  const pairs = Object.entries(row(value));
  if (pairs.length === 0) return null;
  return h(
    'ul',
    { class: 'labels' },
    pairs.map(([name, member]) => h('li', { key: name }, `${name}="${text(member)}"`)),
  );
};

/** An address in a text of a stranger, to be followed if it is one of the web. */
export const maybeLink = (value: string): Drawn =>
  /^https?:\/\/\S+$/.test(value) ? link(value, value, { rel: 'noreferrer noopener', target: '_blank' }) : value;

export const attemptsOf = (windows: unknown): string =>
  list(windows)
    .map((one) => `${text(one['used'])} of ${text(one['limit'])} in ${text(one['window'])}`)
    .join(', ');

/** Whether a window of its caps is used up. */
const isUsedUp = (component: Row): boolean =>
  [...list(component['attempts']), ...list(component['fleet'])].some(
    ({ used, limit }) => typeof used === 'number' && typeof limit === 'number' && used >= limit,
  );

export const empty = (what: string): HTMLElement => h('p', { class: 'empty' }, what);

export const by = (value: Row): string =>
  text(value['reason']) === '' ? text(value['by']) : `${text(value['by'])}: ${text(value['reason'])}`;

/** Why a component does nothing by itself now, each in a sentence. */
export const troubles = (component: Row): readonly Drawn[] => {
  const disabled = row(component['disabled']);
  const breakers = list(component['breakers']).filter(({ open }) => open === true);
  const degraded = texts(component['degraded']);
  return [
    component['disabled'] !== null && component['disabled'] !== undefined
      ? h(
          'li',
          { key: 'disabled' },
          badge('disabled'),
          ` by ${by(disabled)} `,
          when(disabled['until']) === null ? 'until somebody enables it' : ['until ', time(when(disabled['until']))],
        )
      : null,
    isUsedUp(component)
      ? h(
          'li',
          { key: 'used' },
          badge('attempts_used_up'),
          ` ${attemptsOf([...list(component['attempts']), ...list(component['fleet'])])}`,
        )
      : null,
    ...breakers.map((breaker) =>
      h(
        'li',
        { key: `breaker-${text(breaker['strategy'])}` },
        badge('breaker_open'),
        ` ${text(breaker['strategy'])} failed ${text(breaker['failures'])} times in a row`,
        when(breaker['trialAt']) === null ? '' : ['; next trial ', time(when(breaker['trialAt']))],
      ),
    ),
    degraded.length > 0 ? h('li', { key: 'degraded' }, badge('degraded'), ` ${degraded.join(', ')}`) : null,
    when(component['cooldownUntil']) === null
      ? null
      : h(
          'li',
          { key: 'cooldown' },
          badge('cooldown'),
          ' ',
          time(when(component['cooldownUntil']), 'left'),
          ', until ',
          time(when(component['cooldownUntil']), 'at'),
        ),
  ].filter((one) => one !== null);
};

export const fresh = (): string => `f${(ids += 1)}`;
