// `amends demo`: a small shop is broken three ways, and amends recovers what can be recovered, on this machine and with
// nothing left behind.
import type { Command } from './terminal/command.ts';

export const command: Command = {
  summary: 'See it work: a small shop is broken three ways; two are mended, the third is handed to a human.',
  examples: ['amends demo', 'amends demo --once', 'amends demo --once --output=json | tail -n 1'],
  define: (demo, act) =>
    void demo
      .option('--once', 'end after the third incident in place of staying up')
      .option('--direct', 'post the alerts ourselves even where Prometheus and Alertmanager are installed')
      .action(
        act(async (invocation) => {
          const { runDemo } = await import('./demo/stage.ts');
          return runDemo(invocation);
        }),
      ),
};
