import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../src/config.ts';
import type { Config } from '../../../src/config.ts';
import { must } from '../../support/engine.ts';

const load = async (text: string): Promise<Config> =>
  must(
    await loadConfig('/etc/amends/amends.yaml', {
      readText: () => Promise.resolve(text),
      glob: () => Promise.resolve([]),
    }),
  );

describe('Alertmanagers and Prometheus', () => {
  it('C2 are asked without a credential unless one is named, about the source alertmanager unless others are', async () => {
    const config = await load('alertmanagers: [ { url: "http://a:9093" } ]\nprometheus: { url: "http://p:9090" }');
    expect(config.alertmanagers).toEqual([{ url: 'http://a:9093', credential: null, sources: ['alertmanager'] }]);
    expect(config.prometheus).toEqual({ url: 'http://p:9090', credential: null });
  });

  it('may have credentials of their own, in files that are found from the folder of the configuration', async () => {
    const config = await load(`
alertmanagers:
  - { url: "https://a", basic_auth: { username: amends, password_file: secrets/a }, sources: [eu, us] }
  - { url: "https://b", bearer_token_file: /run/secrets/b }
prometheus: { url: "https://p", bearer_token_file: secrets/p }
`);
    expect(config.alertmanagers).toEqual([
      {
        url: 'https://a',
        credential: { type: 'basic', username: 'amends', passwordFile: '/etc/amends/secrets/a' },
        sources: ['eu', 'us'],
      },
      { url: 'https://b', credential: { type: 'bearer', tokenFile: '/run/secrets/b' }, sources: ['alertmanager'] },
    ]);
    expect(config.prometheus).toEqual({
      url: 'https://p',
      credential: { type: 'bearer', tokenFile: '/etc/amends/secrets/p' },
    });
  });
});
