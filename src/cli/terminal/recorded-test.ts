// `amends test --from-run` and `--from-alert`: writes a test of what is on record beside the rule and the runbook, and
// makes sure that it passes. What this test cannot know, such as what went before, stands in it as a remark.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { stringify } from 'yaml';
import { formatProblem } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { Loaded } from '../../engine/context.ts';
import type { Bases } from '../../replay/test-base.ts';
import type { Mismatch } from '../../replay/test-result.ts';
import type { TestParts } from '../../replay/test-world.ts';
import type { Answer, Client } from './client.ts';
import { CallFailed } from './client.ts';
import { Misuse } from './command.ts';
import type { Edge } from './edge.ts';

export type Recorded = { readonly decision: Answer; readonly run: Answer | null };
type Members = Record<string, unknown>;

/** The decision that a run or an alert was about, and the run that came of it. */
export const recordedOf = async (client: Client, kind: 'run' | 'alert', id: string): Promise<Recorded> => {
  const decision = async (of: unknown): Promise<Answer> =>
    client.get(`/api/v1/decisions/${encodeURIComponent(String(of))}`);
  if (kind === 'run') {
    const run = await client.get(`/api/v1/runs/${encodeURIComponent(id)}`);
    return { decision: await decision(run['decisionId']), run };
  }
  const [newest] = await client.list('/api/v1/decisions', { alertId: id, origin: 'delivery' }, 1);
  if (newest === undefined)
    throw new CallFailed(`There is no decided alert ${id}.\nIds are shown by: amends history`, 404, {
      title: 'Not found',
      status: 404,
      detail: id,
    });
  const found = await decision(await decidingOne(client, newest));
  if (!isObject(found['record']) || !isObject(found['record']['labels']))
    throw new CallFailed(`No rule was asked about the alert ${id}: it was ${String(found['reason'])}.`, null, {
      title: 'Nothing to test',
      detail: String(found['reason']),
    });
  const { runId } = found;
  return { decision: found, run: typeof runId === 'string' ? await client.get(`/api/v1/runs/${runId}`) : null };
};

/** How far back a repeat is followed to the decision that it repeats. */
const MOST_REPEATS = 500;

/** A repeat was decided before, and what is over was decided when it began. */
const decidingOne = async (client: Client, newest: Answer): Promise<unknown> => {
  const { episodeId, reason } = newest;
  if ((reason !== 'duplicate' && reason !== 'resolved') || typeof episodeId !== 'string') return newest['id'];
  const decisions = await client.list('/api/v1/decisions', { episodeId, origin: 'delivery' }, MOST_REPEATS);
  return (decisions.findLast((one) => one['reason'] !== 'duplicate' && one['reason'] !== 'resolved') ?? newest)['id'];
};

type Writing = {
  readonly recorded: Recorded;
  readonly loaded: Loaded;
  readonly configFile: string;
  readonly parts: TestParts;
  readonly bases: Bases;
  readonly edge: Edge;
  /** In place of the folder of the rule and of the runbook. */
  readonly folder: string | null;
};

/** The files that were written. */
export const writeRecordedTests = async (given: Writing): Promise<readonly string[]> => {
  const { ruleTestOf, runbookTestOf } = await import('../../replay/record-test.ts');
  const { recorded, loaded } = given;
  const { decision, run } = recorded;
  const rule = loaded.catalog.rules.rules.find(({ name }) => name === decision['rule']);
  const runbook = loaded.catalog.runbooks.get(`${String(run?.['kind'])}/${String(run?.['strategy'])}`);
  const written: string[] = [];
  const from = (file: string): string => relative(dirname(file), resolve(given.configFile));
  const beside = (file: string | undefined): string =>
    given.folder ?? (file === undefined ? '.' : dirname(resolve(loaded.config.folder, file)));
  const ruleFile = resolve(beside(rule?.file), `${rule?.name ?? 'no-rule'}-${shortOf(decision['id'])}.test.yaml`);
  written.push(await write(given, ruleFile, ruleTestOf(decision, run, from(ruleFile))));
  if (run !== null && runbook !== undefined && run['state'] === 'done') {
    const runbookFile = join(resolve(beside(runbook.file)), `${runbook.strategy}-${shortOf(run['id'])}.test.yaml`);
    written.push(await write(given, runbookFile, runbookTestOf(run, from(runbookFile))));
  }
  return written;
};

const shortOf = (id: unknown): string => String(id).slice(-8);

/** More rounds than this would be needed by nothing that is left. */
const MOST_ROUNDS = 5;

const write = async (given: Writing, file: string, document: Members): Promise<string> => {
  const remarks: string[] = [];
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const wrong = await mismatchesOf(given, file, document);
    if (wrong.length === 0) break;
    remarks.push(...wrong.map(({ place, mismatch }) => leaveOut(document, place, mismatch)));
  }
  const head = [
    `# From the record of amends: decision ${String(given.recorded.decision['id'])}.`,
    ...remarks.map((remark) => `# Not so here: ${remark}`.replaceAll('\n', ' ')),
  ];
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${head.join('\n')}\n${stringify(document, { lineWidth: 110 })}`, { flag: 'wx' });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const mend =
      code === 'EEXIST'
        ? 'it is there already: delete it, or name another folder'
        : 'name a folder that can be written';
    throw new Misuse(`${file} cannot be written (${code}); ${mend} by --directory`);
  }
  return file;
};

type Wrong = { readonly place: readonly [test: number, at: number]; readonly mismatch: Mismatch };

const mismatchesOf = async (
  { parts, bases, edge }: Writing,
  file: string,
  document: Members,
): Promise<readonly Wrong[]> => {
  const { runSuite } = await import('../../replay/test-suite.ts');
  const suite = await runSuite({
    files: [{ file, text: stringify(document) }],
    parts,
    bases,
    named: null,
    clock: edge.clock,
  });
  const problems = suite.files.flatMap((one) => one.problems);
  const stopped = suite.files.flatMap(({ tests }) => tests).flatMap((test) => test.stopped ?? []);
  if (problems.length > 0 || stopped.length > 0)
    throw new CallFailed(
      [`With this configuration it cannot be tried again:`, ...problems.map(formatProblem), ...stopped].join('\n'),
      null,
      { title: 'not to be tried again', detail: [...problems.map(({ message }) => message), ...stopped].join('; ') },
    );
  return suite.files.flatMap(({ tests }) =>
    tests.flatMap(({ cases }, test) =>
      cases.flatMap(({ mismatches }, at) => mismatches.map((mismatch): Wrong => ({ place: [test, at], mismatch }))),
    ),
  );
};

/** Takes an expectation out that does not hold here, and says what it was. */
const leaveOut = (document: Members, [test, at]: Wrong['place'], { what, expected, actual }: Mismatch): string => {
  const tests = document['tests'] as readonly Members[];
  const cases = tests[test]?.['decision_test'];
  const expectations = Array.isArray(cases) ? (cases[at] as unknown) : tests[test]?.['runbook_test'];
  const [name = ''] = what.split('.');
  if (isObject(expectations)) delete expectations[name];
  return `${what} was ${expected}, and is ${actual} by itself`;
};
