import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { withPort } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { ListenAddress } from './listen-address.ts';

/** An answer to who asks. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** What is asked for, by its path. */
export type Pages = Readonly<Record<string, (accept: string) => Answer | Promise<Answer>>>;

/** Who hears how the server fares. */
export interface Listener {
  listening(address: string): void;
  /** Takes each error of the server once, until it listens again. */
  report(error: EgressError): void;
}

/** Milliseconds to the next attempt to listen. */
const defaultPause = 5_000;
/** Whoever opens more connections has them closed. */
const mostConnections = 64;
const patience = { requestTimeout: 10_000, headersTimeout: 10_000, keepAliveTimeout: 75_000 } as const;

/** Serves pages by HTTP until disposed of. An address that cannot be had is tried again and again: somebody may leave it. */
export function servePages(
  address: ListenAddress,
  pages: Pages,
  listener: Listener,
  pause: number = defaultPause,
): Disposable {
  const server = createServer(patience, (request, response) => void answer(pages, request, response));
  server.maxConnections = mostConnections;
  const listen = () => server.listen({ host: address.host, port: address.port });
  const timer: { pending?: NodeJS.Timeout } = {};
  tellErrors(server, listener, address, () => {
    timer.pending = setTimeout(listen, pause);
  });
  listen();
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer.pending);
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Says how the server fares; `again` is called when it cannot listen. */
function tellErrors(server: Server, { listening, report }: Listener, address: ListenAddress, again: () => void): void {
  const at = withPort(address.host, address.port);
  let said: string | undefined;
  server.on('listening', () => {
    said = undefined;
    listening(at);
  });
  server.on('error', ({ message }) => {
    if (said !== message) report(new EgressError('io-failure', `No metrics at ${at}: ${message}`));
    said = message;
    // One that listens may have an error, too: there is no descriptor left for a connection, say.
    if (!server.listening) again();
  });
}

async function answer(pages: Pages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, type, text } = await answerTo(pages, request);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(request.method === 'HEAD' ? undefined : text);
}

async function answerTo(pages: Pages, { method = '', url = '', headers }: IncomingMessage): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return plain(405, 'Only GET and HEAD are answered here.');
  const path = url.split('?', 1)[0] ?? '';
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined) return plain(404, `There is ${Object.keys(pages).join(', ')}.`);
  try {
    return await page(headers.accept ?? '');
  } catch (error) {
    return plain(500, error instanceof Error ? error.message : String(error));
  }
}

/** An answer of one line. */
export const plain = (status: number, line: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  text: `${line}\n`,
});
