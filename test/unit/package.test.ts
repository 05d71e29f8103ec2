// What may run and what may be fetched when somebody installs amends.
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { loadByName } from '../../src/port/loader.ts';

type Locked = {
  readonly version?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly link?: boolean;
};
type Manifest = {
  readonly allowScripts: Record<string, boolean>;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
  readonly bundleDependencies: readonly string[];
};

const readJson = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as unknown;
const manifest = readJson('package.json') as Manifest;
const { packages } = readJson('package-lock.json') as { readonly packages: Record<string, Locked> };

/** The lowest version of each line that is mended; a line below all of them is not, one above is. */
type Floor = {
  readonly package: string;
  readonly floors: readonly string[];
  readonly never?: readonly string[];
  readonly advisories: Readonly<Record<string, string>>;
};
const floors = readJson('test/version-floors.json') as readonly Floor[];
const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '');

/** Below zero: left comes first. What was not released yet comes before its release. */
const order = (left: string, right: string): number => {
  const parts = (version: string): readonly number[] => {
    const [numbers = '', early] = version.split('-');
    return [...numbers.split('.').map(Number), early === undefined ? 1 : 0];
  };
  const [one, other] = [parts(left), parts(right)];
  return one.map((part, at) => part - (other[at] ?? 0)).find((difference) => difference !== 0) ?? 0;
};
const major = (version: string): string => version.split('.')[0] ?? '';

const isMended = (version: string, { floors: lines, never = [] }: Floor): boolean => {
  if (never.includes(version)) return false;
  const mine = lines.find((line) => major(line) === major(version));
  return mine === undefined ? lines.every((line) => order(version, line) > 0) : order(version, mine) >= 0;
};

const breaches = (locked: Readonly<Record<string, Locked>>, list: readonly Floor[]): readonly string[] =>
  Object.entries(locked).flatMap(([path, { version }]) => {
    const floor = list.find((one) => one.package === nameOf(path));
    if (floor === undefined || version === undefined || isMended(version, floor)) return [];
    return [`${floor.package} ${version} in ${path}: ${Object.keys(floor.advisories).join(', ')}`];
  });

describe('what an installation brings', () => {
  it('C15: an install script is named in allowScripts, allowed or not, or nobody runs it', () => {
    const scripted = Object.keys(packages)
      .filter((path) => packages[path]?.hasInstallScript === true)
      .map((path) => path.replace(/^.*node_modules\//, ''));
    expect(scripted.filter((name) => !(name in manifest.allowScripts))).toEqual([]);
    expect(Object.keys(manifest.allowScripts).filter((name) => !scripted.includes(name))).toEqual([]);
  });

  it('C15: no package is older than what mended an advisory about it (test/version-floors.json)', () => {
    expect(breaches(packages, floors)).toEqual([]);
    // What is nowhere installed any more needs no floor: the list stays short.
    const installed = new Set(Object.keys(packages).map(nameOf));
    expect(floors.map((floor) => floor.package).filter((name) => !installed.has(name))).toEqual([]);
    for (const { advisories, floors: lines } of floors) {
      expect(Object.keys(advisories).filter((id) => !/^(CVE-\d{4}-\d{4,}|GHSA(-[0-9a-z]{4}){3})$/.test(id))).toEqual(
        [],
      );
      expect(lines.length * Object.keys(advisories).length).toBeGreaterThan(0);
    }
  });

  it.each([
    ['an older one', 'node_modules/tar-fs', '2.1.3', 'tar-fs 2.1.3 in node_modules/tar-fs: CVE-'],
    ['one deep down', 'node_modules/a/node_modules/tar-fs', '3.0.9', 'tar-fs 3.0.9 in node_modules/a/'],
    ['one of a line that nobody mends', 'node_modules/qs', '5.9.9', 'qs 5.9.9 in'],
    ['one that is on no account to be had', 'node_modules/debug', '4.4.2', 'debug 4.4.2 in'],
    ['one before its release', 'node_modules/express', '5.0.0-beta.2', 'express 5.0.0-beta.2 in'],
  ])('C15: %s is found', (_, path, version, found) => {
    expect(breaches({ [path]: { version } }, floors)).toEqual([expect.stringContaining(found)]);
  });

  it.each([
    ['tar-fs', '2.1.4'],
    ['tar-fs', '3.1.1'],
    ['debug', '4.4.3'],
    ['semver', '6.3.1'],
    ['zod', '5.0.0'],
  ])('C15: %s %s is high enough', (name, version) => {
    expect(breaches({ [`node_modules/${name}`]: { version } }, floors)).toEqual([]);
  });

  it('C15: versions are exact', () => {
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    const loose = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies }).filter(
      ([, version]) => !/^(\d+\.\d+\.\d+|file:vendor\/.+)$/.test(version),
    );
    expect(loose).toEqual([]);
  });

  it('names no registry, so that any mirror will do', () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved?.startsWith('http') === true)).toEqual([]);
  });

  it('C1: json-rules-engine gets our stub for jsonpath-plus, which throws', () => {
    const require = createRequire(createRequire(import.meta.url).resolve('json-rules-engine'));
    expect(require.resolve('jsonpath-plus')).toMatch(/vendor\/jsonpath-plus-stub\/index\.cjs$/);
    const { JSONPath } = require('jsonpath-plus') as { JSONPath: (options: object) => unknown };
    // An override does not travel with a published package; what is bundled does.
    expect(manifest.bundleDependencies).toEqual(['json-rules-engine', 'jsonpath-plus']);
    expect(() => JSONPath({ path: '$', json: {} })).toThrow('jsonpath is not available in amends rules');
  });

  it('C1: what is packed for bin/amends has the stub in it, and no evaluator of paths', () => {
    const folder = new URL('../../bundle/', import.meta.url);
    const packed = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .map((name) => readFileSync(new URL(name, folder), 'utf8'));
    expect(packed.filter((text) => text.includes('jsonpath is not available in amends rules'))).toHaveLength(1);
    expect(packed.filter((text) => /SafeEval|jsep/.test(text))).toEqual([]);
  });

  it('packs every action, fact and notifier under the name that its file gives it', async () => {
    const folders = { actions: true, facts: false, notifiers: false };
    const addressOf = (folder: string): string => new URL(`../../bundle/${folder}/index.js`, import.meta.url).href;
    const program = `for (const address of ${JSON.stringify(Object.keys(folders).map(addressOf))})
      console.log(JSON.stringify(Object.keys((await import(address)).default)));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
    const packed = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as string[]).toSorted());
    const found = [];
    for (const [folder, nested] of Object.entries(folders)) {
      const parts = await loadByName(new URL(`../../src/${folder}/`, import.meta.url), nested);
      found.push([...parts.keys()].toSorted());
    }
    expect(packed).toEqual(found);
  });
});
