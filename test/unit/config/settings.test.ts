// Flag before environment before default, and who may come in.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readSettings } from '../../../src/config.ts';
import { loadWebConfig } from '../../../src/config-web.ts';
import { sha256 } from '../../../src/base/json.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-settings-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe('settings', () => {
  it('have the defaults of the design', () => {
    expect(readSettings({}, {})).toEqual({
      ok: true,
      value: {
        configFile: 'amends.yaml',
        configFileGiven: false,
        listen: { host: '127.0.0.1', port: 9193 },
        externalUrl: null,
        storagePath: './data',
        storageUrl: null,
        webConfigFile: null,
        recoveryMode: null,
        haltFile: 'data/halt',
        acceptEmptyHistory: false,
        logLevel: 'info',
        logFormat: 'json',
      },
    });
  });

  it('a flag goes before the environment, the environment before the default', () => {
    const env = {
      AMENDS_CONFIG_FILE: '/e.yaml',
      AMENDS_WEB_LISTEN_ADDRESS: ':1',
      AMENDS_STORAGE_PATH: '/e',
      AMENDS_RECOVERY_MODE: 'auto',
    };
    expect(readSettings({ 'config.file': '/f.yaml', 'web.listenAddress': '[::1]:2' }, env)).toMatchObject({
      ok: true,
      value: {
        configFile: '/f.yaml',
        configFileGiven: true,
        listen: { host: '::1', port: 2 },
        storagePath: '/e',
        haltFile: '/e/halt',
        recoveryMode: 'auto',
      },
    });
    expect(readSettings({}, env)).toMatchObject({
      ok: true,
      value: { configFile: '/e.yaml', listen: { host: '::', port: 1 } },
    });
  });

  it('a value may stand in a file', () => {
    const file = write('url', 'postgres://amends@db/amends\n');
    expect(readSettings({}, { AMENDS_STORAGE_URL_FILE: file })).toMatchObject({
      ok: true,
      value: { storageUrl: 'postgres://amends@db/amends' },
    });
    expect(readSettings({}, { AMENDS_STORAGE_URL_FILE: join(folder, 'nope') }).ok).toBe(false);
  });

  it.each([
    [{ 'web.listen-address': 'x' }],
    [{ 'web.listen-address': '127.0.0.1:99999' }],
    [{ 'web.listen-address': '127.0.0.1' }],
    [{ 'recovery.mode': 'on' }],
    [{ 'log.level': 'loud' }],
    [{ 'log.format': 'xml' }],
    [{ 'web.external-url': 'amends.example.com' }],
    [{ 'storage.accept-empty-history': 'maybe' }],
  ])('refuses %j with a mend', (flags) => {
    const result = readSettings(flags, {});
    expect(result.ok ? [] : result.problems).toMatchObject([{ code: 'bad-setting', mend: expect.any(String) }]);
  });
});

describe('web.yaml', () => {
  const HASH = `$2b$10$${'a'.repeat(53)}`;

  it('C2 keeps tokens as hashes, several of them live at once', async () => {
    write('token', 'first-token-0123456789\nsecond-token-0123456789\n');
    const result = await loadWebConfig(
      write(
        'web.yaml',
        `bearer_tokens: [ { name: am, source: eu, role: viewer, file: token } ]\nbasic_auth_users: { ada: "${HASH}", bob: "${HASH}" }\nroles: { bob: approver }\n`,
      ),
    );
    if (!result.ok) throw new Error(JSON.stringify(result.problems));
    expect(result.value.tokens).toEqual(
      ['first', 'second'].map((which) => ({
        name: 'am',
        source: 'eu',
        role: 'viewer',
        webhook: true,
        sha256: sha256(`${which}-token-0123456789`),
      })),
    );
    expect(Object.fromEntries([...result.value.basicAuthUsers].map(([user, { role }]) => [user, role]))).toEqual({
      ada: 'admin',
      bob: 'approver',
    });
    expect(JSON.stringify(result.value)).not.toContain('first-token');
  });

  it("reads Prometheus' TLS settings, files beside it", async () => {
    const result = await loadWebConfig(
      write(
        'web.yaml',
        'tls_server_config: { cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert }',
      ),
    );
    expect(result).toMatchObject({
      ok: true,
      value: { tls: { certFile: join(folder, 'c.pem'), clientCaFile: join(folder, 'ca.pem') } },
    });
  });

  it.each([
    ['a short token', 'bearer_tokens: [ { name: a, file: short } ]', 'weak-token'],
    ['an empty token file', 'bearer_tokens: [ { name: a, file: empty } ]', 'weak-token'],
    ['a missing token file', 'bearer_tokens: [ { name: a, file: nope } ]', 'no-such-file'],
    ['a plain password', 'basic_auth_users: { ada: hunter2 }', 'bad-value'],
    ['a role of nobody', 'roles: { ada: admin }', 'unknown-name'],
    ['an unknown key', 'basic_auth_user: {}', 'unknown-key'],
  ])('refuses %s', async (_, text, code) => {
    write('short', 'abc\n');
    write('empty', '\n');
    const result = await loadWebConfig(write('web.yaml', text));
    expect(result.ok ? [] : result.problems.map((problem) => problem.code)).toContain(code);
  });
});
