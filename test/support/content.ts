// The shipped actions and facts by name, for tests of what is shipped with them.
import { pathToFileURL } from 'node:url';
import type { Actions } from '../../src/port/action.ts';
import type { Facts } from '../../src/port/fact.ts';
import { loadByName } from '../../src/port/loader.ts';
import { root } from './servers.ts';

export { root };

const folder = (name: string): URL => pathToFileURL(`${root}src/${name}/`);

export const actions = async (): Promise<Actions> => loadByName(folder('actions'), true);
export const facts = async (): Promise<Facts> => loadByName(folder('facts'), false);
