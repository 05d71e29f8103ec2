import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CallFailed, createClient } from '../../../src/cli/terminal/client.ts';

let server: Server;
let url: string;
const folder = mkdtempSync(join(tmpdir(), 'amends-client-'));
const seen: Array<{ path: string; authorization: string | undefined }> = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    seen.push({ path, authorization: request.headers.authorization });
    const json = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (path.startsWith('/list')) {
      const cursor = new URL(path, url).searchParams.get('cursor');
      return cursor === null
        ? json(200, { items: [{ id: 1 }, { id: 2 }], next: 'two' })
        : json(200, { items: [{ id: 3 }], next: null });
    }
    if (path === '/no')
      return json(422, {
        title: 'refused',
        detail: 'the mode is wrong',
        problems: [{ code: 'bad-mode', message: 'no such mode', mend: 'use auto' }],
      });
    if (path === '/who') return json(401, { title: 'not let in' });
    if (path === '/moved') return void response.writeHead(302, { location: '/list' }).end();
    return void response.writeHead(200).end('<html>');
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const failure = async (call: Promise<unknown>): Promise<CallFailed> => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CallFailed);
  return error as CallFailed;
};

describe('client', () => {
  it('a list is read page by page, and no further than was asked for', async () => {
    const client = createClient({ url, tokenFile: undefined });
    expect(await client.list('/list', {}, 10)).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
    expect(await client.list('/list', {}, 2)).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('the token comes from its file, without the line end', async () => {
    const file = join(folder, 'token');
    writeFileSync(file, 'tea-and-cups\n');
    await createClient({ url: `${url}/`, tokenFile: file }).get('/list');
    expect(seen.at(-1)).toEqual({ path: '/list', authorization: 'Bearer tea-and-cups' });
  });

  it('a token file that cannot be read is said with how to name another', async () => {
    const error = await failure(createClient({ url, tokenFile: join(folder, 'none') }).get('/list'));
    expect(error.message).toMatch(/cannot be read \(ENOENT\)[^]*--token-file/);
  });

  it('a problem document is shown with every problem and its mend', async () => {
    const error = await failure(createClient({ url, tokenFile: undefined }).post('/no'));
    expect(error.message).toBe('refused: the mode is wrong\nno such mode [bad-mode]\n  mend: use auto');
    expect(error.status).toBe(422);
  });

  it('an answer of 401 says how to name a token', async () => {
    expect((await failure(createClient({ url, tokenFile: undefined }).get('/who'))).message).toMatch(
      /--token-file or AMENDS_TOKEN_FILE/,
    );
  });

  it('C7 a redirect is not followed, least of all with a token', async () => {
    const before = seen.length;
    await failure(createClient({ url, tokenFile: undefined }).get('/moved'));
    expect(seen.length).toBe(before + 1);
  });

  it('a server that is not amends, and none at all, are told apart', async () => {
    expect((await failure(createClient({ url, tokenFile: undefined }).get('/html'))).message).toMatch(/is it amends\?/);
    const closed = createServer();
    await new Promise<void>((resolve) => {
      closed.listen(0, '127.0.0.1', resolve);
    });
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => {
      closed.close(resolve);
    });
    const error = await failure(createClient({ url: `http://127.0.0.1:${port}`, tokenFile: undefined }).get('/list'));
    expect(error.message).toMatch(/does not answer at .* \(ECONNREFUSED\)\.\nStart it with: amends serve/);
  });
});
