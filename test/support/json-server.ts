// A server on 127.0.0.1 for doubles of services that cannot be had here: a handler answers what it is asked, and all
// that it was asked is kept.
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown;
};
export type Reply = { readonly status?: number; readonly json?: unknown; readonly text?: string } | 'hang' | 'reset';
export type JsonServer = {
  readonly url: string;
  readonly host: string;
  readonly asked: Asked[];
  /** In place of the handler until it is set back to null. */
  override: ((asked: Asked) => Reply | null) | null;
  close(): Promise<void>;
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

const send = (request: IncomingMessage, response: ServerResponse, reply: Reply): void => {
  if (reply === 'hang') return;
  if (reply === 'reset') {
    request.socket.destroy();
    return;
  }
  const { status = 200, json, text } = reply;
  response.writeHead(status, { 'Content-Type': json === undefined ? 'text/plain' : 'application/json' });
  response.end(json === undefined ? (text ?? '') : JSON.stringify(json));
};

/** An answer that is promised keeps its request waiting. */
export const startJsonServer = async (answer: (asked: Asked) => Reply | Promise<Reply>): Promise<JsonServer> => {
  const asked: Asked[] = [];
  const made: JsonServer = {
    url: '',
    host: '',
    asked,
    override: null,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://double');
      const one: Asked = {
        method: request.method ?? '',
        path: pathname,
        query: searchParams,
        headers: request.headers,
        body: parsed(Buffer.concat(chunks).toString()),
      };
      asked.push(one);
      const reply = made.override?.(one) ?? answer(one);
      if (reply instanceof Promise) void reply.then((late) => send(request, response, late));
      else send(request, response, reply);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(made, { url: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}` });
};
