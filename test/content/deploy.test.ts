// What deploy/ ships, as far as it can be looked at without starting it: the compose file is of its shape, mounts what is
// there and pins what it pulls; the PrometheusRule is the alerts.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { parse } from 'yaml';
import { binaryOf, itWith } from '../support/requires.ts';
import { root } from '../support/servers.ts';

const deploy = join(root, 'deploy');

type Service = {
  readonly image: string;
  readonly build?: { readonly context: string };
  readonly network_mode: string;
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
};
type Compose = {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};

/** Of the Compose specification; ajv takes neither its dialect's address nor an `id` of the old spelling. */
const composeSchema = (): object => {
  const text = readFileSync(join(root, 'test/vendored/compose-spec/compose-spec.json'), 'utf8');
  const { $schema: _, ...schema } = JSON.parse(text, (key, value: unknown) =>
    key === 'id' && typeof value === 'string' ? undefined : value,
  ) as Record<string, unknown>;
  return schema;
};

describe('deploy/compose.yaml', () => {
  const compose = parse(readFileSync(join(deploy, 'compose.yaml'), 'utf8')) as Compose;
  const services = Object.entries(compose.services);

  it('is what the Compose specification says: by its own schema', () => {
    const validate = new Ajv2019({ strict: false, allErrors: true, validateFormats: false }).compile(composeSchema());
    // The project's name came into the specification after this schema.
    const { name, ...rest } = parse(readFileSync(join(deploy, 'compose.yaml'), 'utf8')) as Record<string, unknown>;
    expect(name).toMatch(/^[a-z0-9][a-z0-9_-]*$/);
    validate(rest);
    expect(validate.errors).toBeNull();
    // It would say so if there were something: a key that nobody knows, a volume that is none, a command that is a number.
    for (const wrong of [{ helthcheck: {} }, { volumes: [7] }, { command: 7 }, { depends_on: [1] }]) {
      expect(validate({ ...rest, services: { one: { image: 'x', ...wrong } } })).toBe(false);
    }
  });

  it('has Prometheus, Alertmanager, Grafana, Redis and amends, and only keys that it has a use for', () => {
    expect(Object.keys(compose).toSorted()).toEqual(['name', 'services', 'volumes']);
    expect(Object.keys(compose.services).toSorted()).toEqual([
      'alertmanager',
      'amends',
      'grafana',
      'prometheus',
      'redis',
    ]);
    const known = new Set([
      'build',
      'command',
      'depends_on',
      'environment',
      'image',
      'network_mode',
      'restart',
      'volumes',
    ]);
    for (const [name, service] of services)
      expect([name, Object.keys(service).filter((key) => !known.has(key))]).toEqual([name, []]);
    for (const [name, { depends_on = [] }] of services)
      expect([name, depends_on.filter((other) => !(other in compose.services))]).toEqual([name, []]);
  });

  it('pins every image that it pulls to a version, and amends to the one of this package', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    for (const [name, { image }] of services)
      expect([name, image]).toEqual([name, expect.stringMatching(/^[\w./-]+:v?\d+\.\d+\.\d+/)]);
    expect(compose.services['amends']?.image).toBe(`amends:${version}`);
  });

  it('mounts files that are there, read-only, and volumes that it declares', () => {
    const mounts = services.flatMap(([name, { volumes = [] }]) => volumes.map((volume) => [name, volume] as const));
    for (const [name, volume] of mounts) {
      const [source = '', target = '', mode] = volume.split(':');
      expect([name, target.startsWith('/')]).toEqual([name, true]);
      if (source.startsWith('.')) {
        expect([name, source, existsSync(join(deploy, source)), mode]).toEqual([name, source, true, 'ro']);
      } else expect([name, source, source in compose.volumes]).toEqual([name, source, true]);
    }
    const { options } = (
      parse(readFileSync(join(root, 'grafana/provisioning/dashboards/amends.yaml'), 'utf8')) as {
        providers: [{ options: { path: string } }];
      }
    ).providers[0];
    expect(compose.services['grafana']?.volumes).toContain(`../grafana/dashboards:${options.path}:ro`);
  });

  it('lets nothing listen but on loopback, where the shipped files look for it', () => {
    for (const [name, { network_mode }] of services) expect([name, network_mode]).toEqual([name, 'host']);
    expect(compose.services['prometheus']?.command).toContain('--web.listen-address=127.0.0.1:9090');
    expect(compose.services['alertmanager']?.command).toContain('--web.listen-address=127.0.0.1:9093');
    expect(compose.services['redis']?.command).toEqual(expect.arrayContaining(['--bind', '127.0.0.1']));
    expect(compose.services['grafana']?.environment?.['GF_SERVER_HTTP_ADDR']).toBe('127.0.0.1');
  });

  it('gives amends a configuration that it takes', () => {
    const said = execFileSync(
      process.execPath,
      [join(root, 'bin/amends'), 'check', '--config.file=deploy/amends.yaml'],
      {
        cwd: root,
        encoding: 'utf8',
      },
    );
    expect(said).toContain('good');
  });
});

describe('deploy/prometheusrule.yaml', () => {
  const rule = parse(readFileSync(join(deploy, 'prometheusrule.yaml'), 'utf8')) as {
    apiVersion: string;
    kind: string;
    metadata: { name: string };
    spec: { groups: ReadonlyArray<{ name: string }> };
  };

  it('is made of alerts/*.yaml: npm run prometheusrule', () => {
    const script = `import('${root}/scripts/prometheusrule.mjs').then(({ rendered }) => process.stdout.write(rendered()))`;
    const rendered = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(readFileSync(join(deploy, 'prometheusrule.yaml'), 'utf8')).toBe(rendered);
  });

  it('has every group once, under a name that Kubernetes takes', () => {
    expect(rule).toMatchObject({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' });
    expect(rule.metadata.name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
    const shipped = readdirSync(join(root, 'alerts'))
      .filter((name) => name.endsWith('.yaml'))
      .flatMap((name) => (parse(readFileSync(join(root, 'alerts', name), 'utf8')) as typeof rule.spec).groups);
    const names = rule.spec.groups.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(rule.spec.groups).toEqual(shipped);
  });

  itWith('promtool')('holds rules that Prometheus takes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'amends-rules-'));
    try {
      const file = join(folder, 'rules.yaml');
      writeFileSync(file, JSON.stringify(rule.spec));
      const said = execFileSync(binaryOf('promtool') ?? 'promtool', ['check', 'rules', file], { encoding: 'utf8' });
      expect(said).toContain('SUCCESS');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
