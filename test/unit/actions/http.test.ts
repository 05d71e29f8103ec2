import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { isSpecial, plainUrl } from '../../../src/actions/http/address.ts';
import get from '../../../src/actions/http/get.ts';
import request from '../../../src/actions/http/request.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';

const contexts = createContexts();
let server: HttpDouble;
let sink: HttpDouble;
beforeAll(async () => {
  server = await startHttpDouble();
  sink = await startHttpDouble('127.0.0.2');
});
afterAll(async () => {
  await server.close();
  await sink.close();
  await contexts.stop();
});

const make = (timeout = 10_000, hosts: readonly string[] = [server.host]): TestContext =>
  contexts.make({ allow: { hosts }, timeout });

describe('http.get and http.request', () => {
  it('give status, body and JSON back, and count as begun', async () => {
    const context = make();
    expect(await perform(get, { url: `${server.url}/` }, context)).toMatchObject({
      status: 200,
      body: '{"ok":true}',
      json: { ok: true },
    });
    expect(context.beganCount()).toBe(1);
  });

  it('send JSON, headers and secrets from files, which are registered', async () => {
    const file = join(contexts.folder, 'key');
    writeFileSync(file, 'top-secret-key\n');
    const context = make();
    await perform(
      request,
      {
        url: `${server.url}/post`,
        method: 'PUT',
        json: { a: [1] },
        headers: { 'X-A': 'b' },
        header_files: { 'X-Api-Key': file },
        bearer_token_file: file,
        idempotency_key: 'k1',
      },
      context,
    );
    expect(server.seen.at(-1)).toMatchObject({
      method: 'PUT',
      body: '{"a":[1]}',
      headers: {
        'content-type': 'application/json',
        'x-a': 'b',
        'x-api-key': 'top-secret-key',
        authorization: 'Bearer top-secret-key',
        'idempotency-key': 'k1',
      },
    });
    expect(context.secrets).toEqual(['top-secret-key', 'top-secret-key']);
  });

  it.each([
    ['/status/404', 'permanent', 'permanent'],
    ['/status/401', 'permanent', 'permanent'],
    ['/status/429', 'retryable', 'retryable'],
    ['/status/503', 'retryable', 'retryable'],
    ['/status/500', 'retryable', 'indeterminate'],
    ['/status/502', 'retryable', 'indeterminate'],
    ['/reset', 'retryable', 'indeterminate'],
  ])('F54: %s is %s for a GET and %s for a POST without a key', async (path, forGet, forPost) => {
    expect(await failureOf(perform(get, { url: server.url + path }, make()))).toMatchObject({ kind: forGet });
    expect(await failureOf(perform(request, { url: server.url + path }, make()))).toMatchObject({ kind: forPost });
    const keyed = await failureOf(perform(request, { url: server.url + path, idempotency_key: 'k' }, make()));
    expect(keyed.kind).toBe(forGet);
  });

  it('F54: an expected status is a success, and Retry-After is given on', async () => {
    expect(await perform(get, { url: `${server.url}/status/404`, expect_status: [404] }, make())).toMatchObject({
      status: 404,
    });
    expect((await failureOf(perform(get, { url: `${server.url}/status/429` }, make()))).outputs).toMatchObject({
      status: 429,
      retry_after: '7',
    });
  });

  it.each(['/hang', '/header-drip', '/body-drip'])('F54: the total deadline holds against %s', async (path) => {
    const context = make(300);
    const error = await failureOf(perform(get, { url: server.url + path }, context));
    expect(error.kind).toBe('retryable');
    expect(context.clock.monotonic()).toBeLessThan(context.deadline + 1_000);
    expect(await failureOf(perform(request, { url: server.url + path }, make(300)))).toMatchObject({
      kind: 'indeterminate',
    });
  });

  it('F54: an endless reply is cut off at 1 MiB', async () => {
    const context = make(9_000);
    await failureOf(perform(get, { url: `${server.url}/endless` }, context));
    expect(context.clock.monotonic()).toBeLessThan(context.deadline);
  });

  it('F54: a port that nobody listens on is retryable for a POST too: nothing left', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    expect(
      await failureOf(perform(request, { url: `http://127.0.0.1:${port}/` }, make(5_000, ['127.0.0.1']))),
    ).toMatchObject({ kind: 'retryable' });
    expect(
      await failureOf(perform(get, { url: 'http://no-such-name.invalid/' }, make(5_000, ['no-such-name.invalid']))),
    ).toMatchObject({ kind: 'retryable' });
  });

  it('F54: a server that speaks no TLS is no success, and its name is not taken for reached', async () => {
    expect(await failureOf(perform(get, { url: `https://${server.host}/` }, make()))).toMatchObject({
      message: expect.stringContaining('failed'),
    });
  });

  it('C7: a redirect is a failure and its goal sees nothing, least of all a key', async () => {
    const file = join(contexts.folder, 'key');
    writeFileSync(file, 'top-secret-key');
    const input = { url: `${server.url}/redirect?to=${sink.url}/`, header_files: { 'X-Api-Key': file } };
    const hosts = [server.host, sink.host];
    expect(await failureOf(perform(get, input, make(5_000, hosts)))).toMatchObject({
      kind: 'permanent',
      outputs: { status: 302 },
    });
    expect(await failureOf(perform(request, input, make(5_000, hosts)))).toMatchObject({
      kind: 'permanent',
      outputs: { status: 302 },
    });
    expect((await failureOf(perform(get, { url: `${server.url}/redirect`, expect_status: [302] }, make()))).kind).toBe(
      'permanent',
    );
    expect(sink.seen).toEqual([]);
  });

  it('C7: an undeclared host is refused before anything is sent, with the mend', async () => {
    const context = make();
    const error = await failureOf(perform(get, { url: `${sink.url}/` }, context));
    expect(error).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining(`add "${sink.host}" to allow.hosts`),
    });
    expect(context.beganCount()).toBe(0);
  });

  it('C7: no spelling of an address reaches a sink that is not declared', async () => {
    const port = sink.host.split(':')[1] ?? '';
    const hosts = [
      '2130706434',
      '0x7f000002',
      '0177.0.0.2',
      '127.2',
      '127.0.2',
      '0x7f.0.0.2',
      '[::ffff:127.0.0.2]',
      '[::ffff:7f00:2]',
      '[0:0:0:0:0:ffff:127.0.0.2]',
      '①②⑦.⓪.⓪.②',
      '127。0。0。2',
      '127.0.0.2.',
      '%31%32%37.0.0.2',
      'a@127.0.0.2',
      '127.0.0.1:1@127.0.0.2',
      '127.0.0.1\\@127.0.0.2',
      '127.0.0.1#@127.0.0.2',
      '127.0.0.2%00',
      '[::]',
      '[::1]',
      '0',
      '0.0.0.0',
      '169.254.169.254',
      '[fe80::1]',
      '[fd00:ec2::254]',
      'LOCALHOST',
      'localhost.',
    ];
    const declared = ['127.0.0.1', 'example.org', server.host];
    for (const host of hosts) {
      const error = await failureOf(perform(get, { url: `http://${host}:${port}/` }, make(2_000, declared)));
      expect([host, error.kind]).toEqual([host, 'permanent']);
    }
    for (const url of [
      'file:///etc/passwd',
      'ftp://127.0.0.1/',
      'gopher://x/',
      '//127.0.0.2/',
      'http:/127.0.0.2/',
      'http:127.0.0.2',
      'javascript:1',
      ' http://127.0.0.2',
      `${server.url}/a/../b`,
      `${server.url}/a/%2e%2e/b`,
      `${server.url}/a%2fb`,
      `${server.url}/..`,
      `${server.url}/a\\b`,
      `${server.url}/a\r\nX: y`,
      `${server.url}/#x`,
    ]) {
      const error = await failureOf(perform(get, { url }, make(2_000, declared)));
      expect([url, error.kind]).toEqual([url, 'permanent']);
    }
    expect(sink.seen).toEqual([]);
  });

  it('C7: a name that leads to this machine is refused, unless it is localhost and declared', async () => {
    // Every Linux has an entry for its own name or for ip6-localhost; both lead to loopback.
    const { port } = new URL(server.url);
    const error = await failureOf(
      perform(get, { url: `http://ip6-localhost:${port}/` }, make(2_000, ['ip6-localhost'])),
    );
    expect(['permanent', 'retryable']).toContain(error.kind);
    expect(await failureOf(perform(get, { url: `http://localhost:${port}/` }, make(2_000, [])))).toMatchObject({
      kind: 'permanent',
    });
  });

  it('C7: addresses of this machine, of its link and of its cloud are known as such', () => {
    for (const address of [
      '127.0.0.1',
      '127.9.9.9',
      '0.0.0.0',
      '169.254.169.254',
      '::',
      '::1',
      'fe80::1',
      '::ffff:127.0.0.1',
      '::ffff:10.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      'fd00:ec2::254',
      '100.100.100.200',
      '224.0.0.1',
      'nonsense',
    ]) {
      expect([address, isSpecial(address)]).toEqual([address, true]);
    }
    for (const address of ['10.0.0.7', '192.168.1.1', '93.184.216.34', '2606:2800:220:1::1'])
      expect([address, isSpecial(address)]).toEqual([address, false]);
    expect(plainUrl('https://example.org:8443/a/b?c=d').host).toBe('example.org:8443');
  });

  it('C7: a header cannot smuggle another one in, nor replace what the connection sets', () => {
    for (const headers of [
      { 'X-A': 'a\r\nX-B: b' },
      { 'X-A\r\n': 'a' },
      { Host: 'x' },
      { 'transfer-encoding': 'chunked' },
      { 'Content-Length': '0' },
      { '': 'x' },
    ]) {
      expect(get.input.safeParse({ url: server.url, headers }).success).toBe(false);
    }
  });

  it('F51: called off, a request ends at once', async () => {
    const context = make();
    const run = failureOf(perform(request, { url: `${server.url}/hang` }, context));
    await eventually(() => context.beganCount() === 1 && server.seen.at(-1)?.url === '/hang');
    const start = context.clock.monotonic();
    context.abort();
    expect((await run).kind).toBe('indeterminate');
    expect(context.clock.monotonic() - start).toBeLessThan(1_000);
  });
});
