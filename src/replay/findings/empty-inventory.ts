// A component without a single target: whatever alert selects it, there is nothing that could be recovered.
import type { Problem } from '../../base/failure.ts';
import { pointer } from '../../base/json.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

export const emptyInventories = (
  { components }: Pick<Looked, 'components'>,
  config: { readonly file: string | null },
): readonly Problem[] =>
  [...components.values()]
    .filter(({ targets }) => targets.size === 0)
    .map(({ name }) =>
      finding(
        'empty-inventory',
        { file: config.file ?? '', pointer: pointer(['components', name, 'inventory']) },
        `The component ${name} has no target: every alert that is for it is invalid`,
        'name its targets: inventory: { static: [...] } or { file_sd: [...] }',
      ),
    );
