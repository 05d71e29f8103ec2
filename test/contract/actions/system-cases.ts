// Samples of input for the actions on files, processes and services, for the contract of every action.
import { chmodSync } from 'node:fs';
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
    'files.access': { good: () => ({ path: fileOfAge(below(), HOUR) }) },
    'files.clean': {
      good() {
        const root = below();
        fileOfAge(join(root, 'old'), 25 * HOUR);
        return { roots: [root] };
      },
    },
    'files.permissions': {
      good() {
        const path = fileOfAge(below(), HOUR);
        chmodSync(path, 0o600);
        return { path, mode: '0640' };
      },
    },
    'files.rotate': {
      good() {
        const logs = below();
        fileOfAge(join(logs, 'app.log'), HOUR, 11 * 2 ** 20);
        return { folders: [logs] };
      },
    },
    'files.usage': { good: () => ({ path: folder }) },
  };
};
