// From files to runbooks: everything that can be known to be wrong before an alert comes is refused here, with its place.
import { parseDuration } from '../base/duration.ts';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { deepFreeze, digest, pointer } from '../base/json.ts';
import type { KnownActions } from './arguments.ts';
import { buildCheck } from './check.ts';
import { declareInput } from './inputs.ts';
import { GROUPS, atOrigin, expandGroups, loadGroups } from './group.ts';
import type { SourceFile } from './group.ts';
import { nameFromPath, parseRunbook } from './parse.ts';
import type { ParsedRunbook } from './parse.ts';
import type { Aftermath, Effect, Input, Runbook, Step } from './runbook.ts';
import { isApproval } from './runbook.ts';
import type { AftermathDocument, RunbookDocument, StepDocument } from './schema.ts';
import { buildActionStep, buildStep } from './step.ts';
import type { Building } from './step.ts';
import type { Scope } from './tree.ts';

export type RunbookContext = { readonly actions: KnownActions; readonly degradedModes: ReadonlySet<string> };
export type LoadedRunbooks = { readonly runbooks: ReadonlyMap<string, Runbook>; readonly problems: readonly Problem[] };

const DEFAULT_TIMEOUT = '5m';
const STRENGTH: readonly Effect[] = ['read', 'change', 'destroy'];

/** Runbooks by name. Those with problems are left out, and the problems name all that is wrong with each. */
export const loadRunbooks = (files: readonly SourceFile[], context: RunbookContext): LoadedRunbooks => {
  const runbooks = new Map<string, Runbook>();
  const { groups, problems } = loadGroups(files);
  for (const { file, text } of files) {
    const name = nameFromPath(file);
    if (name.ok && name.value.kind === GROUPS) continue;
    const parsed = name.ok ? parseRunbook(file, text, name.value) : name;
    if (!parsed.ok) {
      problems.push(...parsed.problems);
      continue;
    }
    const { document, problems: missing, origins } = expandGroups(parsed.value.document, groups);
    const { runbook, problems: built } = build({ ...parsed.value, document }, context);
    const found = [...missing, ...built.map((problem) => atOrigin(problem, origins))];
    const twin = runbooks.get(runbook.name);
    if (twin !== undefined)
      found.push({
        code: 'duplicate-runbook',
        message: `${runbook.name} is also ${twin.file}`,
        mend: 'keep one of them',
        file,
      });
    problems.push(...found.map((problem) => parsed.value.place(problem)));
    if (found.length === 0) runbooks.set(runbook.name, deepFreeze(runbook));
  }
  return { runbooks, problems };
};

const build = (
  parsed: Omit<ParsedRunbook, 'document'> & { readonly document: RunbookDocument },
  context: RunbookContext,
): { readonly runbook: Runbook; readonly problems: Problem[] } => {
  const { document } = parsed;
  const problems: Problem[] = [];
  const inputs = declareInputs(document, problems);
  const building: Building = {
    actions: context.actions,
    scope: scopeOfDocument(document, inputs, context.actions, problems),
    problems,
    earlier: new Set(),
    effects: new Set(),
  };
  const before = buildSteps(building, document.before ?? [], ['before'], 'before');
  const steps = buildSteps(building, document.steps, ['steps'], 'steps');
  const after = (): Building => ({ ...building, earlier: new Set(building.earlier) });
  const verify = document.verify.map((check, index) => buildCheck(after(), check, ['verify', index]));
  const rollback = document.rollback === undefined ? null : actionSteps(after(), document.rollback, ['rollback']);
  if (rollback !== null) refuseUndoBeside(document, problems);
  const aftermath = (key: 'on_success' | 'on_failure' | 'on_exhausted'): Aftermath =>
    buildAftermath(after(), document[key], key, context.degradedModes);
  const name = `${parsed.kind}/${parsed.strategy}`;
  const timeout = parseDuration(document.timeout ?? DEFAULT_TIMEOUT) ?? 0;
  const runbook: Runbook = {
    name,
    kind: parsed.kind,
    strategy: parsed.strategy,
    file: parsed.file,
    digest: digest({ name, document }),
    version: 1,
    summary: document.summary,
    severity: document.severity ?? 'SEV3',
    inputs,
    timeout,
    before,
    steps,
    rollback,
    verify,
    onSuccess: aftermath('on_success'),
    onFailure: aftermath('on_failure'),
    onExhausted: aftermath('on_exhausted'),
    guide: document.guide ?? '',
    effect: STRENGTH.findLast((effect) => building.effects.has(effect)) ?? 'read',
    raises: document.raises ?? [],
  };
  problems.push(...timeProblems(runbook, document));
  return { runbook, problems };
};

const declareInputs = (document: RunbookDocument, problems: Problem[]): Readonly<Record<string, Input>> => {
  const inputs = Object.create(null) as Record<string, Input>;
  for (const [name, declaration] of Object.entries(document.inputs ?? {})) {
    const { input, problems: found } = declareInput(declaration);
    inputs[name] = input;
    problems.push(
      ...found.map((problem) => ({ ...problem, pointer: `${pointer(['inputs', name])}${problem.pointer ?? ''}` })),
    );
  }
  return inputs;
};

/** Every step id with the outputs of its action; an id that stands twice is refused. */
const scopeOfDocument = (
  document: RunbookDocument,
  inputs: Scope['inputs'],
  actions: KnownActions,
  problems: Problem[],
): Scope => {
  const steps = new Map<string, ReadonlySet<string> | null>();
  const phases = [
    ['/before', document.before ?? []],
    ['/steps', document.steps],
    ['/rollback', document.rollback ?? []],
    ['/on_success/steps', document.on_success?.steps ?? []],
    ['/on_failure/steps', document.on_failure?.steps ?? []],
    ['/on_exhausted/steps', document.on_exhausted?.steps ?? []],
  ] as const;
  for (const [place, list] of phases) {
    for (const [index, step] of list.entries()) {
      if (steps.has(step.id)) {
        problems.push({
          code: 'duplicate-step',
          message: `the step id ${step.id} stands twice`,
          mend: 'give each step of a runbook its own id',
          pointer: `${place}/${index}/id`,
        });
      }
      const action = 'uses' in step ? actions.get(step.uses) : undefined;
      steps.set(
        step.id,
        'approve' in step ? new Set() : action === undefined ? null : new Set(Object.keys(action.outputs)),
      );
    }
  }
  return { steps, inputs };
};

const buildSteps = (
  building: Building,
  documents: readonly StepDocument[],
  at: readonly PropertyKey[],
  phase: 'before' | 'steps',
): readonly Step[] =>
  documents.map((document, index) => {
    const step = buildStep(building, document, [...at, index], phase);
    (building.earlier as Set<string>).add(step.id);
    return step;
  });

const actionSteps = (
  building: Building,
  documents: NonNullable<RunbookDocument['rollback']>,
  at: readonly PropertyKey[],
): Aftermath['steps'] =>
  documents.map((document, index) => {
    const step = buildActionStep(building, document, [...at, index], 'after');
    (building.earlier as Set<string>).add(step.id);
    return step;
  });

const refuseUndoBeside = (document: RunbookDocument, problems: Problem[]): void => {
  for (const [phase, steps] of [
    ['before', document.before ?? []],
    ['steps', document.steps],
  ] as const) {
    for (const [index, step] of steps.entries()) {
      if (!('undo' in step) || step.undo === undefined) continue;
      problems.push({
        code: 'undo-and-rollback',
        message: 'a runbook with a rollback has no undo: after a failure it is one or the other',
        mend: 'take the undo out, or the rollback',
        pointer: pointer([phase, index, 'undo']),
      });
    }
  }
};

const buildAftermath = (
  building: Building,
  document: AftermathDocument | undefined,
  key: string,
  modes: ReadonlySet<string>,
): Aftermath => {
  const steps = actionSteps(building, document?.steps ?? [], [key, 'steps']);
  for (const verb of ['degrade', 'clear'] as const) {
    const mode = document?.[verb];
    if (mode === undefined || modes.has(mode)) continue;
    const near = didYouMean(mode, modes);
    const mend = near === undefined ? `declare it under degraded_modes of the configuration` : `did you mean ${near}?`;
    building.problems.push({
      code: 'unknown-degraded-mode',
      message: `there is no degraded mode ${mode}`,
      mend,
      pointer: pointer([key, verb]),
    });
  }
  if (document?.degrade !== undefined && document.clear !== undefined) {
    building.problems.push({
      code: 'degrade-and-clear',
      message: 'one aftermath either degrades or clears',
      mend: 'take one of them out',
      pointer: pointer([key, 'clear']),
    });
  }
  return {
    steps,
    degrade: document?.degrade ?? null,
    clear: document?.clear ?? null,
    escalate: document?.escalate ?? null,
  };
};

/** Times that cannot come true together. */
const timeProblems = (runbook: Runbook, document: RunbookDocument): readonly Problem[] => {
  const problems: Problem[] = [];
  if (runbook.timeout <= 0)
    problems.push({
      code: 'bad-timeout',
      message: 'a timeout of nothing ends before it begins',
      mend: 'write for example timeout: 60s',
      pointer: '/timeout',
    });
  for (const [index, check] of runbook.verify.entries()) {
    const least = check.type === 'action' ? check.hold + (check.need - 1) * check.every : 0;
    if (least < runbook.timeout) continue;
    problems.push({
      code: 'never-verified',
      message: 'need, every and hold take longer than the timeout of the runbook, so this check can never pass',
      mend: 'raise timeout, or ask for less',
      pointer: pointer(['verify', index]),
    });
  }
  for (const [phase, steps] of [
    ['before', runbook.before],
    ['steps', runbook.steps],
  ] as const) {
    for (const [index, step] of steps.entries()) {
      const own = document[phase]?.[index];
      if (
        isApproval(step) ||
        own === undefined ||
        !('timeout' in own) ||
        own.timeout === undefined ||
        step.timeout <= runbook.timeout
      )
        continue;
      problems.push({
        code: 'bad-timeout',
        message: 'the step may take longer than the whole runbook',
        mend: 'shorten it, or raise the timeout of the runbook',
        pointer: pointer([phase, index, 'timeout']),
      });
    }
  }
  return problems;
};
