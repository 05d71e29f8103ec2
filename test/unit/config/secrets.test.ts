// Which secrets are known as soon as the configuration is.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createRedactor } from '../../../src/base/secret.ts';
import { registerSecrets } from '../../../src/config-secrets.ts';
import { loadConfig } from '../../../src/config.ts';
import { loadWebConfig } from '../../../src/config-web.ts';
import { must, writeFiles } from '../../support/engine.ts';

describe('the secrets of a configuration', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'amends-secrets-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const secret = (name: string, text = `the-secret-of-${name}`): string => {
    writeFileSync(join(folder, name), `${text}\n`);
    return join(folder, name);
  };

  it('I13 C12 are known before anything has used them, wherever they are named', async () => {
    const key = '-----BEGIN KEY-----\nfirst-line-of-the-key\nsecond-line-of-the-key\n-----END KEY-----';
    writeFiles(folder, {
      'amends.yaml': {
        version: 1,
        prometheus: { url: 'http://127.0.0.1:9', basic_auth: { username: 'a', password_file: secret('prometheus') } },
        alertmanagers: [{ url: 'http://127.0.0.1:9', bearer_token_file: 'alertmanager' }],
        components: {
          shop: {
            connect: {
              password_file: secret('component'),
              nested: { api_key_file: secret('nested') },
              pid_file: secret('pid'),
            },
            inventory: { static: [{ target: 'main', connect: { key_file: secret('key', key) } }] },
          },
        },
        notify: {
          receivers: [{ name: 'hook', type: 'webhook', url_file: secret('hook', 'http://h/very-secret-path') }],
          routes: [],
        },
      },
      'web.yaml': {
        bearer_tokens: [{ name: 'a', file: secret('tokens', `${'1'.repeat(20)}first\n${'2'.repeat(20)}second`) }],
      },
    });
    secret('alertmanager');
    const redactor = createRedactor();
    await registerSecrets(
      redactor,
      must(await loadConfig(join(folder, 'amends.yaml'))),
      must(await loadWebConfig(join(folder, 'web.yaml'))),
    );
    const given = ['prometheus', 'alertmanager', 'component', 'nested'].map((name) => `the-secret-of-${name}`);
    for (const text of [
      ...given,
      'first-line-of-the-key',
      'second-line-of-the-key',
      'very-secret-path',
      `${'1'.repeat(20)}first`,
      `${'2'.repeat(20)}second`,
    ])
      expect(redactor.text(`it is ${text}`)).toBe('it is [redacted]');
    // A file that is named for something else is not read as a secret.
    for (const text of ['the-secret-of-pid', '-----BEGIN KEY-----']) expect(redactor.text(text)).toBe(text);
  });

  it('I13 C12 of a kubeconfig are its tokens, passwords and keys, and none of its other words', async () => {
    const key = '-----BEGIN EC PRIVATE KEY-----\nline-of-the-key\n-----END EC PRIVATE KEY-----';
    const data = Buffer.from(`${key}\n`).toString('base64');
    writeFiles(folder, {
      'amends.yaml': {
        version: 1,
        components: {
          shop: {
            kind: 'kubernetes',
            connect: { kubeconfig: join(folder, 'kubeconfig') },
            inventory: { static: ['web'] },
          },
        },
      },
      kubeconfig: `apiVersion: v1
users:
  - name: plain
    user:
      token: plain-token-0123
  - { name: flow, user: { "token": "flow-token-4567", password: 'quoted word' } }
  - { name: certificate, user: { client-certificate-data: a-certificate, client-key-data: ${data} } }
`,
    });
    const redactor = createRedactor();
    await registerSecrets(redactor, must(await loadConfig(join(folder, 'amends.yaml'))), null);
    for (const text of ['plain-token-0123', 'flow-token-4567', 'quoted word', data, key])
      expect(redactor.text(`it is ${text}`)).toBe('it is [redacted]');
    for (const text of ['apiVersion: v1', 'name: plain', 'a-certificate', 'certificate'])
      expect(redactor.text(text)).toBe(text);
  });

  it('that cannot be read are told of by whoever needs them', async () => {
    writeFiles(folder, {
      'amends.yaml': {
        version: 1,
        components: { shop: { connect: { password_file: '/nowhere' }, inventory: { static: ['a'] } } },
      },
    });
    await expect(
      registerSecrets(createRedactor(), must(await loadConfig(join(folder, 'amends.yaml'))), null),
    ).resolves.toBeUndefined();
  });
});
