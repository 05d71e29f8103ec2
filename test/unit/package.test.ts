// What may run and what may be fetched when somebody installs amends.
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { loadByName } from '../../src/port/loader.ts';

type Locked = { readonly resolved?: string; readonly hasInstallScript?: boolean; readonly link?: boolean };
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

describe('what an installation brings', () => {
  it('C15: an install script is named in allowScripts, allowed or not, or nobody runs it', () => {
    const scripted = Object.keys(packages)
      .filter((path) => packages[path]?.hasInstallScript === true)
      .map((path) => path.replace(/^.*node_modules\//, ''));
    expect(scripted.filter((name) => !(name in manifest.allowScripts))).toEqual([]);
    expect(Object.keys(manifest.allowScripts).filter((name) => !scripted.includes(name))).toEqual([]);
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
