// Actions, facts and notifiers are found by the name of their file: adding one touches nothing else.
import { readdir } from 'node:fs/promises';

/** Imports every module in `folder` (one level of families when `nested`) that has a default export, by `family.verb` or by file name. */
export const loadByName = async <T>(folder: URL, nested: boolean): Promise<ReadonlyMap<string, T>> => {
  const packed = await indexOf<T>(folder);
  if (packed !== undefined) return packed;
  const found: Array<readonly [string, T]> = [];
  const modulesIn = async (at: URL, prefix: string): Promise<void> => {
    const names = (await readdir(at))
      .filter((name) => /^[a-z0-9]+(?:[._-][a-z0-9]+)*\.(ts|js)$/.test(name) && !name.endsWith('.d.ts'))
      .toSorted();
    for (const name of names) {
      // One after the other: Jest's module loader does not take imports at once that share a module.
      const module = (await import(new URL(name, at).href)) as { default?: T };
      if (module.default !== undefined) found.push([`${prefix}${name.replace(/\.(ts|js)$/, '')}`, module.default]);
    }
  };
  if (!nested) await modulesIn(folder, '');
  else {
    const families = (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .toSorted((a, b) => a.name.localeCompare(b.name));
    for (const family of families) await modulesIn(new URL(`${family.name}/`, folder), `${family.name}.`);
  }
  return new Map(found);
};

/** What is packed (scripts/build.mjs) has an index in the folder's place: to import its files in turn takes longer than to run them. */
const indexOf = async <T>(folder: URL): Promise<ReadonlyMap<string, T> | undefined> => {
  if (!(await readdir(folder)).includes('index.js')) return undefined;
  const { default: parts } = (await import(new URL('index.js', folder).href)) as { default: Record<string, T> };
  return new Map(Object.entries(parts));
};
