import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';

/** How a call failed, in gRPC's words: its number of a status, and the message of who was asked. */
export class GrpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The status of a call that was not answered in time. */
export const deadlineExceeded = 4;

/** A client of a gRPC server on a unix socket, for calls with one request and one answer. */
export class GrpcClient {
  readonly #path: string;
  #session: ClientHttp2Session | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Calls `/<service>/<method>`. The server is told the deadline, and ends what it does for us when that is over. */
  async call(method: string, request: Buffer, deadlineMs: number): Promise<Buffer> {
    const stream = this.#connected().request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${deadlineMs}m`,
    });
    let status: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    const noteStatus = (headers: IncomingHttpHeaders) => {
      status = { ...status, ...headers };
    };
    stream.on('response', noteStatus).on('trailers', noteStatus);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.end(framed(request));
    await new Promise<void>((resolve, reject) => stream.on('close', resolve).on('error', reject));
    throwUnlessOk(status);
    return Buffer.concat(chunks).subarray(headerLength);
  }

  /** A server that was restarted is connected to anew. */
  #connected(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      this.#session = connect('http://localhost', { createConnection: () => connectSocket(this.#path) });
      // A lost connection is told by the calls that it fails.
      this.#session.on('error', () => undefined).unref();
    }
    return this.#session;
  }

  close(): void {
    this.#session?.destroy();
  }
}

/** One byte for "not compressed", four for the length. */
const headerLength = 5;

function framed(message: Buffer): Buffer {
  const header = Buffer.alloc(headerLength);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

function throwUnlessOk({ 'grpc-status': status, 'grpc-message': message }: IncomingHttpHeaders): void {
  if (status === '0') return;
  // A server whose time is over may end the stream without a status.
  throw new GrpcError(Number(status ?? deadlineExceeded), decodeURIComponent(String(message ?? 'no answer in time')));
}
