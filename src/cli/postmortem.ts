// `amends postmortem`: the draft of a post-mortem as Markdown, for people to complete.
import type { Command } from './terminal/command.ts';
import { argument } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { plain } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Draft a post-mortem of a run or an episode, as Markdown: timeline, impact, hints, what was done, what is open.',
  examples: [
    'amends postmortem 0192c6a1-... > post-mortem.md',
    'amends postmortem 0192c6a1-... --output=json',
    'amends runs list --outcome=unresolved',
  ],
  define: (postmortem, act) =>
    void postmortem.argument('<run-or-episode>', 'its id').action(
      act(async (invocation) => {
        const { client, edge, output } = invocation;
        const draft = await client.get(`/api/v1/postmortems/${encodeURIComponent(argument(invocation, 0))}`);
        edge.out(output === 'json' ? JSON.stringify(draft) : plain(draft['markdown']).trimEnd());
        return FINE;
      }),
    ),
};
