// In a running amends `__proto__` is a name like any other.
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { getJson, root, startedHere, until } from '../support/servers.ts';

/** Looks at the process from within, as it ends. */
const WATCH = `data:text/javascript,process.on('exit', () => process.stderr.write('reaches: ' + ('__proto__' in {}) + ' ' + ({}).polluted))`;

describe('C5 prototypes of a process', () => {
  const servers = startedHere();
  afterAll(() => servers.stopAll());

  it('are not reached by __proto__, from whatever the process is started', async () => {
    const { stderr } = await promisify(execFile)(process.execPath, [
      '--import',
      WATCH,
      join(root, 'bin/amends'),
      '--version',
    ]);
    expect(stderr).toBe('reaches: false undefined');
  });

  it('are as they were after bodies that name them, which are decided about as any other', async () => {
    const folder = await servers.folder();
    for (const name of ['rules', 'runbooks']) mkdirSync(join(folder, name));
    const config = join(folder, 'amends.yaml');
    writeFileSync(
      config,
      JSON.stringify({
        version: 1,
        recovery: { mode: 'auto' },
        components: { shop: { inventory: { static: ['main'] } } },
      }),
    );
    const amends = await servers.amends({
      config,
      args: [`--storage.path=${join(folder, 'data')}`],
      env: { NODE_OPTIONS: `--import="${WATCH}"` },
    });
    const polluting = '"__proto__": {"polluted": "yes"}, "constructor": {"prototype": {"polluted": "yes"}}';
    const alert = `{"status": "firing", "labels": {"alertname": "A", "__proto__": "text", "constructor": "text"}, "annotations": {"__proto__": "text"},
      "startsAt": "2026-01-06T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0", ${polluting}}`;
    const body = `{"version": "4", "groupKey": "{}", "receiver": "amends", "status": "firing", "truncatedAlerts": 0, "externalURL": "", "groupLabels": {},
      "commonLabels": {}, "commonAnnotations": {}, "alerts": [${alert}], ${polluting}}`;
    const response = await fetch(`${amends.url}/webhook/alertmanager`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(response.status).toBe(202);
    type Decided = { readonly items: ReadonlyArray<{ readonly reason: string; readonly id: string }> };
    const decided = await until('it is decided', async () => {
      const { items } = await getJson<Decided>(`${amends.url}/api/v1/decisions`);
      return items[0];
    });
    expect(decided.reason).toBe('no_match');
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(root, 'bin/amends'),
      'history',
      `--url=${amends.url}`,
    ]);
    expect(stdout).not.toBe('');
    await amends.stop();
    expect(amends.output()).toContain('reaches: false undefined');
  }, 40_000);
});
