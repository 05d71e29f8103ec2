// `amends serve`: the program itself, until it is told to end.
// oxlint-disable-next-line import/no-unassigned-import -- it stands before every module that makes a schema
import '../base/schemas.ts';
import { setFlagsFromString } from 'node:v8';
import { formatProblem } from '../base/failure.ts';
import type { Command, Invocation } from './terminal/command.ts';
import type { Edge } from './terminal/edge.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addServeFlags, settingsOf } from './terminal/serve-options.ts';

/** What a running step is given after the first signal; the second one ends everything at once. */
const GRACE_MS = 30_000;
/** As a shell reports a process that a signal ended. */
const AT_ONCE = { SIGINT: 130, SIGTERM: 143 } as const;

export const command: Command = {
  summary:
    'Take alerts in and recover what the rules say. SIGHUP reloads; SIGTERM or SIGINT ends it, a second one at once.',
  examples: [
    'amends serve',
    'amends serve --config.file=/etc/amends/amends.yaml --storage.path=/var/lib/amends --web.config.file=/etc/amends/web.yaml',
    'amends serve --recovery.mode=shadow --web.listen-address=127.0.0.1:9193',
  ],
  define: (serve, act) => void addServeFlags(serve).action(act(run)),
};

/**
 * What a start makes is kept for good or gone in a moment. Left to itself the heap for young objects grows for it, and stays
 * so large: 127 MB at rest in place of 93 (Node 20, 41 runbooks). Under load it may grow as ever.
 */
const growYoungHeap = (factor: 1 | 2): void => setFlagsFromString(`--semi-space-growth-factor=${factor}`);

const run = async ({ edge, options }: Invocation): Promise<number> => {
  growYoungHeap(1);
  const settings = settingsOf(options);
  // From here on a signal is ours, so that one that comes while it starts ends it in order too.
  const ending = firstSignal(edge);
  const { createApp } = await import('../app.ts');
  const app = await createApp(settings);
  if (!app.ok) {
    edge.err(app.problems.map(formatProblem).join('\n'));
    edge.err('amends did not start. To look at the files alone: amends check');
    return app.exitCode ?? FOUND;
  }
  const running = app.value;
  try {
    const { url } = await running.start();
    growYoungHeap(2);
    if (running.loaded().config.file === null) edge.err(withoutFile(url, settings.configFile));
    // What is wrong with it is logged, and the last good one stays.
    const offReload = edge.onReload(() => void running.reload().catch((error: unknown) => edge.err(String(error))));
    await ending;
    offReload();
    return FINE;
  } catch (error) {
    edge.err(`amends did not start: ${error instanceof Error ? error.message : String(error)}${mendOf(error)}`);
    return FOUND;
  } finally {
    await running.stop(GRACE_MS);
  }
};

const MENDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'end what listens there, or name another address with --web.listen-address',
  EADDRNOTAVAIL: 'name an address of this machine with --web.listen-address',
  EACCES: 'name a port from 1024 on with --web.listen-address',
};

const mendOf = (error: unknown): string => {
  const mend = MENDS[String((error as NodeJS.ErrnoException).code)];
  return mend === undefined ? '' : `\n  mend: ${mend}`;
};

const firstSignal = (edge: Edge): Promise<void> =>
  new Promise((resolve) => {
    let signals = 0;
    edge.onStop((signal) => {
      signals += 1;
      if (signals > 1) edge.exitNow(AT_ONCE[signal]);
      resolve();
    });
  });

const withoutFile = (url: string, file: string): string =>
  `There is no ${file}: amends runs in shadow mode with nothing declared, takes alerts in and only says what it would do.
What to do next:
  1. Point Alertmanager at it: receivers: [{ name: amends, webhook_configs: [{ url: "${url}/webhook/alertmanager" }] }]
  2. Write ${file} with components and what may be done to them, rules/ and runbooks/ beside it, and check them: amends check
  3. Start it again in shadow mode, look at what it decides (amends runs, amends explain), then set recovery.mode.`;
