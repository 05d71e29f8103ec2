// `amends recover`: asks for a recovery by hand. Caps and guards count for people too; what refuses is said with its end.
import type { Clock } from '../base/clock.ts';
import type { Answer, Client } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addBy, jsonOption } from './terminal/acting.ts';
import { outcomeOf } from './terminal/run-text.ts';
import { cell } from './terminal/text.ts';

const POLL_MS = 250;

export const command: Command = {
  summary: 'Ask for a recovery: by strategy, or by failure type and what the rules make of it.',
  examples: [
    'amends recover --component=shop-db --strategy=restore-backup --reason="disk was swapped"',
    'amends recover --component=cache --target=10.0.0.7:6379 --failure-type=redis_timeout --wait',
    'amends recover --component=cache --strategy=reconnect --override=cooldown --reason="watching it myself" --output=json',
  ],
  define(recover, act) {
    recover
      .requiredOption('--component <component>', 'what is to be recovered')
      .option('--target <target>', 'which one of it; needed when there are several')
      .option('--strategy <strategy>', 'the runbook of its kind, for example restore-backup')
      .option('--failure-type <type>', 'in place of a strategy: the rules decide, as for an alert with this label')
      .option('--inputs <json>', "the runbook's inputs")
      .option('--context <json>', 'free fields, kept with the decision')
      .option('--require-approval', 'somebody has to approve it first')
      .option('--override <guard>', 'pass over a guard; only cooldown can be, and it takes a --reason')
      .option('--reason <text>', 'why')
      .option('--wait', 'wait for its end; exit 1 unless it is resolved');
    addBy(recover).action(act(run));
  },
};

const run = async (invocation: Invocation): Promise<number> => {
  const { client, edge, options, output } = invocation;
  const answer = await client.post('/api/v1/recoveries', requestOf(invocation));
  const runId = textOption(answer as Invocation['options'], 'runId');
  if (runId === undefined) {
    const decision = cell(answer['decisionId']);
    edge.out(
      output === 'json' ? JSON.stringify(answer) : `No run: ${cell(answer['reason'])}. Why: amends explain ${decision}`,
    );
    return FOUND;
  }
  if (options['wait'] !== true) {
    edge.out(
      output === 'json'
        ? JSON.stringify(answer)
        : `${cell(answer['reason'])}: run ${runId}. Its timeline: amends runs show ${runId}`,
    );
    return FINE;
  }
  if (output !== 'json') edge.err(`${cell(answer['reason'])}: run ${runId}`);
  const ended = await endOf(client, edge.clock, runId);
  edge.out(output === 'json' ? JSON.stringify(ended) : `${outcomeOf(ended)}: amends runs show ${runId}`);
  return ended['outcome'] === 'resolved' ? FINE : FOUND;
};

const requestOf = (invocation: Invocation): Answer => {
  const { options } = invocation;
  const [strategy, failureType, reason, override] = ['strategy', 'failureType', 'reason', 'override'].map((name) =>
    textOption(options, name),
  );
  if ((strategy === undefined) === (failureType === undefined))
    throw new Misuse('Name either a --strategy or a --failure-type.');
  if (override !== undefined && override !== 'cooldown')
    throw new Misuse('--override: only cooldown can be passed over.');
  if (override !== undefined && reason === undefined) throw new Misuse('--override takes a --reason.');
  return {
    component: options['component'],
    target: textOption(options, 'target'),
    strategy,
    failureType,
    inputs: jsonOption(invocation, 'inputs'),
    context: jsonOption(invocation, 'context'),
    requireApproval: options['requireApproval'] === true,
    override: override === undefined ? [] : [override],
    reason,
    by: textOption(options, 'by'),
  };
};

const endOf = async (client: Client, clock: Clock, runId: string): Promise<Answer> => {
  for (;;) {
    const seen = await client.get(`/api/v1/runs/${runId}`);
    if (seen['state'] === 'done') return seen;
    await clock.sleep(POLL_MS);
  }
};
