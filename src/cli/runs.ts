// `amends runs list|show`: what was done, and step by step how it went.
import { Option } from 'commander';
import { isObject } from '../base/json.ts';
import type { RunState } from '../port/record.ts';
import type { Outcome } from '../run/events.ts';
import type { Answer } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { argument, textOption } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { wholeOption } from './terminal/acting.ts';
import { eventText, outcomeOf } from './terminal/run-text.ts';
import { between, lines, table, time } from './terminal/text.ts';

const FILTERS = ['component', 'target', 'strategy'] as const;
/** Filters of which every value is known: another one would find nothing, and say so as if it had looked. */
const CHOICES = {
  state: ['awaiting_approval', 'queued', 'running', 'verifying', 'undoing', 'done'] satisfies readonly RunState[],
  outcome: ['resolved', 'unresolved', 'stuck', 'withdrawn'] satisfies readonly Outcome[],
};

export const command: Command = {
  summary: 'Runs: list them, or show one with its timeline.',
  examples: [
    'amends runs list',
    'amends runs list --state=awaiting_approval --output=json',
    'amends runs show 0192c6a1-...',
  ],
  define(runs, act) {
    const list = runs
      .command('list', { isDefault: true })
      .description('Newest first.')
      .option('--limit <n>', 'at most so many', '20');
    for (const filter of FILTERS) list.option(`--${filter} <${filter}>`, `only of this ${filter}`);
    for (const [name, choices] of Object.entries(CHOICES))
      list.addOption(new Option(`--${name} <${name}>`, `only of this ${name}`).choices(choices));
    list.action(act(listRuns));
    runs.command('show <run>').description('One run with its timeline.').action(act(showRun));
  },
};

const listRuns = async (invocation: Invocation): Promise<number> => {
  const { client, edge, options, output } = invocation;
  const limit = wholeOption(invocation, 'limit', 10_000);
  const filters = Object.fromEntries(
    [...FILTERS, ...Object.keys(CHOICES)].map((name) => [name, textOption(options, name)]),
  );
  const runs = await client.list('/api/v1/runs', filters, limit);
  edge.out(output === 'json' ? JSON.stringify({ items: runs }) : runsTable(runs));
  return FINE;
};

export const runsTable = (runs: readonly Answer[]): string =>
  table(
    ['run', 'started', 'component', 'target', 'strategy', 'state', 'outcome', 'took'],
    runs.map((run) => [
      run['id'],
      run['createdAt'],
      run['component'],
      run['target'],
      run['strategy'],
      run['state'],
      outcomeOf(run),
      between(run['startedAt'], run['endedAt']),
    ]),
    'no runs',
  );

const showRun = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const run = await client.get(`/api/v1/runs/${encodeURIComponent(argument(invocation, 0))}`);
  edge.out(output === 'json' ? JSON.stringify(run) : page(run));
  return FINE;
};

const page = (run: Answer): string => {
  const events = Array.isArray(run['events']) ? run['events'].filter(isObject) : [];
  const first = events[0]?.['at'];
  return [
    lines([
      ['run', run['id']],
      ['component', run['component']],
      ['target', run['target']],
      ['strategy', run['strategy']],
      ['rule', run['rule']],
      ['state', run['state']],
      ['outcome', outcomeOf(run)],
      ['decision', run['decisionId']],
      ['episode', run['episodeId']],
      ['alert to verified', between(run['alertStartedAt'], run['verifiedAt'])],
    ]),
    '',
    ...events.map(
      (event) => `${time(String(event['at']))}  +${between(first, event['at']).padEnd(9)} ${eventText(event)}`,
    ),
  ].join('\n');
};
