// The stop that needs nothing but a file: it works when the store, the network and amends' own API do not.
import { statSync } from 'node:fs';

export type HaltFile = {
  /** Why everything is to stand still, or null. Whatever cannot be known counts as halted. */
  reason(): string | null;
};

export const createHaltFile = (path: string): HaltFile => ({
  reason() {
    try {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? null : `the halt file ${path} is there`;
    } catch (error) {
      return `the halt file ${path} cannot be read: ${(error as Error).message}`;
    }
  },
});
