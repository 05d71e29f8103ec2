// `amends disable`: nothing automatic on a component, or for a rule, until it is enabled or a time is over.
import { parseDuration } from '../base/duration.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, argument, textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import { cell } from './terminal/text.ts';

export const command: Command = {
  summary: 'Nothing automatic on a component, or from a rule, for a while or until it is enabled.',
  examples: [
    'amends disable cache --for=2h --reason="migration"',
    'amends disable --rule=redis-connection-lost --reason="acts too early"',
    'amends enable cache',
  ],
  define(disable, act) {
    disable
      .argument('[component]', 'which component')
      .option('--rule <rule>', 'in place of a component: a rule')
      .option('--for <duration>', 'for how long, for example 2h; until it is enabled when left out')
      .option('--reason <text>', 'why');
    addBy(disable).action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const { path, name } = controlled(invocation);
        const span = textOption(options, 'for');
        if (span !== undefined && !((parseDuration(span) ?? 0) > 0))
          throw new Misuse(`--for: a duration such as 30m is expected, not ${JSON.stringify(span)}`);
        const body = {
          for: span,
          reason: textOption(options, 'reason'),
          by: textOption(options, 'by'),
        };
        const answer = await client.post(`${path}/disable`, body);
        const until = typeof answer['until'] === 'string' ? `until ${cell(answer['until'])}` : 'until it is enabled';
        return report(invocation, answer, `${name} is disabled ${until}.`);
      }),
    );
  },
};

/** The component or the rule that is meant, exactly one. */
export const controlled = (invocation: Invocation): { readonly path: string; readonly name: string } => {
  const component = invocation.args[0];
  const rule = textOption(invocation.options, 'rule');
  if ((component === undefined) === (rule === undefined)) throw new Misuse('Name either a component or a --rule.');
  const name = component ?? argument({ ...invocation, args: [rule ?? ''] }, 0);
  return { path: `/api/v1/${component === undefined ? 'rules' : 'components'}/${encodeURIComponent(name)}`, name };
};
