// `amends status`: whether anything waits for a human, on one screen.
import { isObject } from '../base/json.ts';
import type { Answer } from './terminal/client.ts';
import type { Command } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { cell, lines, table } from './terminal/text.ts';

const MOST = 10_000;

export const command: Command = {
  summary: 'Whether anything waits for a human: halt, inbox, degraded modes, components. Exit 1 if something does.',
  examples: ['amends status', 'amends status --output=json', 'amends status >/dev/null || echo "somebody should look"'],
  define: (status, act) =>
    void status.action(
      act(async ({ client, edge, output }) => {
        const [halt, components, inbox, modes, rules] = await Promise.all([
          client.get('/api/v1/halt'),
          client.list('/api/v1/components', {}, MOST),
          client.list('/api/v1/inbox', { status: 'open' }, MOST),
          client.list('/api/v1/degraded-modes', {}, MOST),
          client.list('/api/v1/rules', {}, MOST),
        ]);
        const degraded = modes.filter((mode) => mode['active'] === true);
        const demoted = rules.filter((rule) => isObject(rule['demoted']));
        const disabled = rules.filter((rule) => isObject(rule['disabled']));
        const attention = halt['on'] === true || inbox.length > 0 || degraded.length > 0 || demoted.length > 0;
        edge.out(
          output === 'json'
            ? JSON.stringify({
                attention,
                halt,
                inbox,
                degradedModes: degraded,
                demotedRules: demoted,
                disabledRules: disabled,
                components,
              })
            : screen({ halt, components, inbox, degraded, demoted, disabled }),
        );
        return attention ? FOUND : FINE;
      }),
    ),
};

type Seen = {
  readonly halt: Answer;
  readonly components: readonly Answer[];
  readonly inbox: readonly Answer[];
  readonly degraded: readonly Answer[];
  readonly demoted: readonly Answer[];
  readonly disabled: readonly Answer[];
};

const objects = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);

const screen = ({ halt, components, inbox, degraded, demoted, disabled }: Seen): string => {
  const runs = components.flatMap((component) =>
    objects(component['runs']).map((run) => [
      run['id'],
      component['name'],
      run['target'],
      run['strategy'],
      run['state'],
    ]),
  );
  return [
    lines([
      ['halted', halt['on'] === true ? `yes, by ${who(halt)}` : 'no'],
      ['inbox', inbox.length === 0 ? 'empty' : `${inbox.length} open, see: amends inbox list`],
      ['degraded', degraded.map((mode) => `${cell(mode['name'])} (${cell(mode['impact'])})`)],
      ...demotedLine(demoted),
      ...disabledLine(disabled),
    ]),
    '',
    table(
      ['component', 'kind', 'state', 'mode', 'targets', 'attempts', 'note'],
      components.map(row),
      'no components are configured',
    ),
    ...(runs.length === 0 ? [] : ['', table(['run', 'component', 'target', 'strategy', 'state'], runs)]),
  ].join('\n');
};

const demotedLine = (rules: readonly Answer[]): ReadonlyArray<readonly [string, unknown]> =>
  rules.length === 0
    ? []
    : [
        [
          'demoted',
          rules.map((rule) => {
            const { mode, reason } = rule['demoted'] as Answer;
            return `${cell(rule['name'])} (${cell(mode)} at most: ${cell(reason)})`;
          }),
        ],
      ];

const disabledLine = (rules: readonly Answer[]): ReadonlyArray<readonly [string, unknown]> =>
  rules.length === 0
    ? []
    : [['disabled rules', rules.map((rule) => `${cell(rule['name'])} (by ${span(rule['disabled'] as Answer)})`)]];

/** Who, and why where that was said. */
const who = ({ by, reason }: Answer): string =>
  typeof reason === 'string' && reason !== '' ? `${cell(by)}: ${cell(reason)}` : cell(by);

const span = ({ by, reason, until }: Answer): string =>
  `${cell(by)} ${typeof until === 'string' ? `until ${cell(until)}` : 'until it is enabled'}${typeof reason === 'string' && reason !== '' ? `: ${cell(reason)}` : ''}`;

const row = (component: Answer): readonly unknown[] => {
  const disabled = isObject(component['disabled']) ? component['disabled'] : null;
  const open = objects(component['breakers']).filter((breaker) => breaker['open'] === true);
  const held = open.map((breaker) => `breaker of ${cell(breaker['strategy'])} open`);
  const note =
    disabled !== null
      ? `disabled by ${span(disabled)}`
      : component['cooldownUntil'] === null
        ? held.join(', ')
        : [...held, `cooldown until ${cell(component['cooldownUntil'])}`].join(', ');
  return [
    component['name'],
    component['kind'],
    component['state'],
    component['mode'],
    Array.isArray(component['targets']) ? component['targets'].length : 0,
    objects(component['attempts']).map(
      (window) => `${cell(window['used'])}/${cell(window['limit'])} in ${cell(window['window'])}`,
    ),
    note,
  ];
};
