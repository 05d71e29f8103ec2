// `amends promote`: whether a rule has earned its next mode, as Markdown for the pull request that gives it. The mode stands
// in the rule's file, under review like everything else; this command changes nothing but, with --restore, a demotion.
import { formatDuration } from '../base/duration.ts';
import { isObject } from '../base/json.ts';
import { percent } from '../replay/evidence.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { argument, textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import type { Answer } from './terminal/client.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { cell, printable } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Whether a rule has earned its next mode: the evidence as Markdown for the pull request. Exit 1 if it has not.',
  examples: [
    'amends promote redis-connection-lost',
    'amends promote redis-connection-lost > evidence.md && gh pr create --body-file evidence.md',
    'amends promote redis-connection-lost --restore --reason="the verification looks longer now"',
  ],
  define(promote, act) {
    promote
      .argument('<rule>', 'its name')
      .option('--restore', 'gives a demoted rule back what its file says')
      .option('--reason <text>', 'with --restore: why');
    addBy(promote).action(
      act((invocation) => (invocation.options['restore'] === true ? restore(invocation) : show(invocation))),
    );
  },
};

const pathOf = (invocation: Invocation): string => `/api/v1/rules/${encodeURIComponent(argument(invocation, 0))}`;

const restore = async (invocation: Invocation): Promise<number> => {
  const { client, options } = invocation;
  const body = { reason: textOption(options, 'reason'), by: textOption(options, 'by') };
  const answer = await client.post(`${pathOf(invocation)}/restore`, body);
  return report(invocation, answer, `${argument(invocation, 0)} acts again as its file says.`);
};

const show = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const evidence = await client.get(`${pathOf(invocation)}/evidence`);
  const enough = evidence['enough'] === true;
  if (output === 'json') edge.out(JSON.stringify(evidence));
  else if (enough) edge.out(markdown(evidence));
  else edge.err(notYet(evidence));
  return enough ? FINE : FOUND;
};

const objects = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);
const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

const notYet = (evidence: Answer): string => {
  const { rule, next, lacks } = evidence;
  const first = next === null ? `${cell(rule)} has no next mode.` : `${cell(rule)} has not earned ${cell(next)} yet.`;
  return [first, ...texts(lacks).map((lack) => `  ${printable(lack)}`)].join('\n');
};

/** What the record says must not become markup. */
const inCell = (value: unknown): string =>
  cell(value)
    .replaceAll(/[\\|`<>*_[\]]/g, (mark) => `\\${mark}`)
    .replaceAll(/\s+/g, ' ');

const took = (ms: unknown): string => (typeof ms === 'number' ? formatDuration(Math.round(ms / 1_000) * 1_000) : '-');

const markdown = (evidence: Answer): string => {
  const { rule, file, mode, next, successes, failures, ineffective, share } = evidence;
  const needed = isObject(evidence['needed']) ? evidence['needed'] : {};
  const times = isObject(evidence['recoveryMs']) ? evidence['recoveryMs'] : null;
  const shadow = mode === 'shadow';
  const good = shadow ? 'would have acted, nothing in the way' : 'verified successes';
  const bad = shadow ? 'in conflict with another run' : `failures (${count(ineffective)} of them ineffective)`;
  const change = {
    event: {
      params: {
        mode: next,
        ...(evidence['destructive'] === true && next === 'auto' ? { accept_destructive: true } : {}),
      },
    },
  };
  return [
    `## Promote \`${cell(rule)}\` from ${cell(mode)} to ${cell(next)}`,
    '',
    `Needed: ${count(needed['successes'])} ${shadow ? 'times that it would have acted' : 'verified successes'} at ${percent(count(needed['share']))} or more.`,
    '',
    '| | |',
    '|---|---|',
    `| ${good} | ${count(successes)} |`,
    `| ${bad} | ${count(failures)} |`,
    `| share | ${percent(count(share))} |`,
    ...(times === null
      ? []
      : [`| time to recovery | median ${took(times['median'])}, 95th percentile ${took(times['p95'])} |`]),
    '',
    `| ${shadow ? 'decision' : 'run'} | at | component | target | strategy | what | time to recovery |`,
    '|---|---|---|---|---|---|---|',
    ...objects(evidence['shown']).map(
      ({ id, at, component, target, strategy, what, recoveryMs }) =>
        `| ${[id, at, component, target, strategy, what].map(inCell).join(' | ')} | ${took(recoveryMs)} |`,
    ),
    '',
    `The change, in \`${cell(file)}\`:`,
    '',
    '```json',
    JSON.stringify(change, null, 2),
    '```',
  ].join('\n');
};
