// A server on 127.0.0.1 that answers by path as badly as a server can.
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};
export type HttpDouble = { readonly url: string; readonly host: string; readonly seen: Seen[]; close(): Promise<void> };

export const startHttpDouble = async (address = '127.0.0.1'): Promise<HttpDouble> => {
  const seen: Seen[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = request.url ?? '/';
      seen.push({
        method: request.method ?? '',
        url,
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      });
      const status = /^\/status\/(\d+)/.exec(url)?.[1];
      const every = (ms: number, run: () => void): void => {
        const timer = setInterval(run, ms);
        timers.add(timer);
        response.on('close', () => clearInterval(timer));
      };
      if (url === '/hang') return;
      if (url === '/reset') request.socket.destroy();
      else if (url === '/header-drip') {
        request.socket.write('HTTP/1.1 200 OK\r\n');
        let count = 0;
        every(20, () => request.socket.write(`X-Drip-${(count += 1)}: x\r\n`));
      } else if (url === '/body-drip') {
        response.writeHead(200, { 'Content-Length': '100000' });
        every(20, () => response.write('x'));
      } else if (url === '/endless') {
        response.writeHead(200);
        every(1, () => response.write(Buffer.alloc(65_536, 'x')));
      } else if (url.startsWith('/redirect'))
        response.writeHead(302, { Location: new URL(url, 'http://x').searchParams.get('to') ?? '/' }).end();
      else if (status !== undefined) response.writeHead(Number(status), { 'Retry-After': '7' }).end('said');
      else response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ ok: true }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}`,
    host: `${address}:${port}`,
    seen,
    async close() {
      for (const timer of timers) clearInterval(timer);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
