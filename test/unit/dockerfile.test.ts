// No Docker engine is needed to see that the image is built by the steps that npm proves: every script that it runs is one
// of ours, every source that it copies is here and gets past .dockerignore.
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const instructions = read('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '');
const of = (name: string): string[] =>
  instructions.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));

const { scripts, engines } = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>;
  engines: { node: string };
};

describe('Dockerfile', () => {
  it('builds with npm ci and npm scripts of ours alone', () => {
    const npm = of('RUN').filter((run) => run.startsWith('npm '));
    expect(npm).toEqual(['npm ci', 'npm run build', 'npm prune --omit=dev']);
    expect(Object.keys(scripts)).toContain('build');
  });

  const sources = of('COPY')
    .filter((copy) => !copy.startsWith('--from='))
    .flatMap((copy) => copy.split(/\s+/).slice(0, -1));

  it.each(sources)('copies %s, which is here and not ignored', (source) => {
    expect(existsSync(new URL(`../../${source}`, import.meta.url))).toBe(true);
    expect(read('.dockerignore').split('\n')).toContain(`!${source}`);
  });

  it('copies what the build runs before it builds', () => {
    const [program = ''] = /(?<=^node )\S+/.exec(scripts['build'] ?? '') ?? [];
    const steps = instructions.slice(0, instructions.indexOf('RUN npm run build'));
    const copied = steps.filter((step) => step.startsWith('COPY ')).flatMap((step) => step.split(/\s+/).slice(1, -1));
    expect(copied).toContain(program.split('/')[0]);
    expect(copied).toEqual(expect.arrayContaining(['src', 'tsconfig.build.json', 'tsconfig.json']));
  });

  it('runs on a Node that the package supports, as a user without rights', () => {
    const images = of('FROM').map((from) => /^node:(\d+)-/.exec(from)?.[1]);
    expect(images.length).toBe(2);
    const [floor] = /\d+/.exec(engines.node) ?? [];
    for (const major of images) expect(Number(major)).toBeGreaterThanOrEqual(Number(floor));
    expect(of('USER')).toEqual(['amends']);
  });

  it('serves, keeps its data in a volume and asks for its health', () => {
    expect(JSON.parse(of('ENTRYPOINT')[0] ?? '')).toEqual(['node', 'bin/amends']);
    expect(JSON.parse(of('CMD')[0] ?? '')).toContain('serve');
    expect(of('VOLUME')).toEqual(['/data']);
    expect(of('HEALTHCHECK')[0]).toContain('http://127.0.0.1:9193/-/healthy');
  });
});
