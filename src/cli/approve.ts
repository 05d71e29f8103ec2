// `amends approve`: lets a run that waits for a human go on.
import { answerApproval } from './terminal/approval.ts';
import type { Command } from './terminal/command.ts';

export const command: Command = {
  summary: 'Approve a run that waits for it; every guard is asked again before it starts.',
  examples: [
    'amends approve 0192c6a1-... --comment="looked at it with the owner"',
    'amends runs list --state=awaiting_approval',
  ],
  define: answerApproval('approve', 'Approved'),
};
