// TLS as Prometheus' web configuration has it: with a client certificate as the credential, and a new one after a reload.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WebConfig } from '../../../src/config-web.ts';
import { start } from './given.ts';
import type { Given } from './given.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const when = hasOpenssl ? describe : describe.skip;

when(`TLS${hasOpenssl ? '' : ' (skipped, run: sudo apt-get install -y openssl)'}`, () => {
  let given: Given;
  let folder = '';
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { stdio: 'ignore', cwd: folder });
  const makeServer = (): void =>
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      'server.key',
      '-out',
      'server.pem',
      '-subj',
      '/CN=127.0.0.1',
      '-days',
      '1',
    );
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-tls-'));
    makeServer();
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      'client.key',
      '-out',
      'client.pem',
      '-subj',
      '/CN=ops',
      '-days',
      '1',
    );
    const web: WebConfig = {
      tokens: [],
      basicAuthUsers: new Map(),
      tls: { certFile: file('server.pem'), keyFile: file('server.key'), clientCaFile: file('client.pem') },
    };
    given = await start(web);
  });
  afterAll(async () => {
    await given.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const ask = (path: string, over: RequestOptions = {}): Promise<{ status: number; fingerprint: string }> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        { host: '127.0.0.1', port: given.port, path, agent: false, rejectUnauthorized: false, ...over },
        (response) => {
          const { fingerprint256 } = (response.socket as TLSSocket).getPeerCertificate();
          response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, fingerprint: fingerprint256 }));
        },
      );
      outgoing.on('error', reject).end();
    });
  const client = (): RequestOptions => ({
    cert: readFileSync(file('client.pem')),
    key: readFileSync(file('client.key')),
  });

  it('C2 a client certificate lets in, none does not even connect', async () => {
    expect(given.url).toMatch(/^https:/);
    expect((await ask('/api/v1/runs', client())).status).toBe(200);
    await expect(ask('/api/v1/runs')).rejects.toThrow(/certificate|socket hang up|ECONNRESET|alert/i);
  });

  it('a new certificate is used after a reload, the port staying open', async () => {
    const before = await ask('/healthz', client());
    makeServer();
    given.server.reloadTls();
    const after = await ask('/healthz', client());
    expect(after.status).toBe(200);
    expect(after.fingerprint).not.toBe(before.fingerprint);
  });
});
