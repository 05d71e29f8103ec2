// Whether a strategy is valid for the targets that it is for, as the files have it: nothing is run, and nobody is asked.
import { didYouMean } from '../../base/failure.ts';
import type { Problem } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { jsonOption } from './acting.ts';
import type { Invocation } from './command.ts';
import { textOption } from './command.ts';
import { settingsOf } from './serve-options.ts';

export type StrategyCheck = {
  readonly problems: readonly Problem[];
  /** `component/target`, of what was looked at. */
  readonly targets: readonly string[];
  readonly note: string;
};

/** Its file, its inputs, what it reads of connect, the actions that are allowed. `name` is `<kind>/<strategy>`. */
export const checkStrategy = async (invocation: Invocation, name: string): Promise<StrategyCheck> => {
  const { options } = invocation;
  const given = jsonOption(invocation, 'inputs') as JsonObject;
  const [wanted, only] = [textOption(options, 'component'), textOption(options, 'target')];
  const [{ loadParts }, { loadCatalog }, { loadConfig }, { misfits }] = await Promise.all([
    import('../../app.ts'),
    import('../../catalog.ts'),
    import('../../config.ts'),
    import('../../engine/fit.ts'),
  ]);
  const refused = (problems: readonly Problem[], note: string): StrategyCheck => ({ problems, targets: [], note });
  const settings = settingsOf(options);
  const config = await loadConfig(settings.configFile, undefined, settings.recoveryMode);
  if (!config.ok)
    return refused(config.problems, `${settings.configFile} is refused, so nothing can be said of ${name}`);
  const catalog = await loadCatalog({ config: config.value, ...(await loadParts()) });
  if (!catalog.ok) return refused(catalog.problems, 'rules and runbooks are refused as they are');
  const runbook = catalog.value.runbooks.get(name);
  if (runbook === undefined) {
    const near = didYouMean(name, [...catalog.value.runbooks.keys()]);
    const unknown = {
      code: 'unknown-runbook',
      message: `there is no runbook ${name} in what ${settings.configFile} names`,
      mend: near === undefined ? 'name the configuration that has it: --config.file' : `did you mean ${near}?`,
    };
    return refused([unknown], 'nothing was looked at');
  }
  const component = wanted === undefined ? undefined : config.value.components.get(wanted);
  if (wanted !== undefined && component === undefined)
    return refused(
      [{ code: 'unknown-component', message: `there is no component ${wanted}` }],
      'nothing was looked at',
    );
  const components =
    component === undefined
      ? [...config.value.components.values()].filter(({ kind }) => kind === runbook.kind)
      : [component];
  const pairs = components.flatMap((one) =>
    [...one.targets.values()].flatMap((target) =>
      only === undefined || only === target.name ? [[one, target] as const] : [],
    ),
  );
  if (pairs.length === 0 && (wanted !== undefined || only !== undefined))
    return refused([{ code: 'unknown-target', message: 'there is no such target' }], 'nothing was looked at');
  const problems = pairs.flatMap(([one, target]) => misfits(runbook, one, target, given));
  const targets = pairs.map(([one, target]) => `${one.name}/${target.name}`);
  const note =
    pairs.length === 0
      ? `${name} is valid by itself; no component of kind ${runbook.kind} is configured`
      : problems.length === 0
        ? `${name} is valid for ${targets.join(', ')}`
        : `${name} does not fit`;
  return { problems, targets, note };
};
