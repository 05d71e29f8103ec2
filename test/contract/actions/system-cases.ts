// Samples of input for the actions on files, processes and services, for the contract of every action.
import { join } from 'node:path';
import type { JsonObject } from '../../../src/base/json.ts';
import { HOUR, fileOfAge } from '../../support/small-disk.ts';

type Case = {
  readonly good: () => Promise<JsonObject> | JsonObject;
  readonly long?: () => Promise<JsonObject> | JsonObject;
};

let made = 0;

export const systemCases = (folder: string): Readonly<Record<string, Case>> => {
  const below = (): string => join(folder, `system-${(made += 1)}`);
  return {
    'files.clean': {
      good() {
        const root = below();
        fileOfAge(join(root, 'old'), 25 * HOUR);
        return { roots: [root] };
      },
    },
    'files.usage': { good: () => ({ path: folder }) },
  };
};
