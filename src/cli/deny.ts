// `amends deny`: withdraws a run that waits for a human.
import { answerApproval } from './terminal/approval.ts';
import type { Command } from './terminal/command.ts';

export const command: Command = {
  summary: 'Deny a run that waits for approval; nothing automatic is tried again in its episode.',
  examples: ['amends deny 0192c6a1-... --comment="planned work, ends at noon"'],
  define: answerApproval('deny', 'Denied'),
};
