// `amends halt`: everything stands still within a second. Over the API, or by a file that works when nothing else does.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rfc3339 } from '../base/clock.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import { haltFileOf, addFileOptions } from './terminal/halt-file.ts';

export const command: Command = {
  summary: 'Everything stands still: nothing new starts, what runs starts no further step.',
  examples: [
    'amends halt --reason="data centre is on fire"',
    'amends halt --hard --reason="it harms"',
    'amends halt --file --storage.path=/var/lib/amends',
  ],
  define(halt, act) {
    halt.option('--reason <text>', 'why').option('--hard', 'abort the steps that are under way as well');
    addFileOptions(addBy(halt), 'write the halt file, for when amends does not answer').action(act(run));
  },
};

const run = async (invocation: Invocation): Promise<number> => {
  const { options, client, edge } = invocation;
  const [by, reason] = [textOption(options, 'by'), textOption(options, 'reason')];
  const file = haltFileOf(invocation);
  if (file !== null) {
    // A halt that nobody looks for is worse than none: said where the folder is not one that amends has worked in.
    const strange = textOption(options, 'halt.file') === undefined && !existsSync(join(dirname(file), 'amends.db'));
    mkdirSync(dirname(file), { recursive: true });
    // Its being there is what counts; the text is for people.
    writeFileSync(file, `${JSON.stringify({ at: rfc3339(edge.clock.now()), by, reason })}\n`);
    if (strange)
      edge.err(
        `There is no record of amends in ${dirname(file)}: an amends that keeps its data elsewhere does not see this file. ` +
          'Name the --storage.path or the --halt.file of amends serve.',
      );
    return report(
      invocation,
      { on: true, file },
      `Halted by the file ${file}; an amends that looks there sees it within a second. Lift it with: amends resume --file`,
    );
  }
  const answer = await client.post('/api/v1/halt', { on: true, hard: options['hard'] === true, reason, by });
  return report(invocation, answer, 'Halted. Lift it with: amends resume');
};
