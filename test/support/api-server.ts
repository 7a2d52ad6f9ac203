import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';

/** As much of an API server as one node needs: versions, merge patches of the taints, and refusals. */
export class ApiServer {
  readonly server: Server;

  taints: object[] = [];
  version = 1;
  token = 'first';
  asked: string[] = [];
  /** Called when the node has been read: what somebody else does meanwhile. */
  meanwhile = () => {};
  forbidden: string | undefined;

  /** Both as PEM. */
  constructor(certificate: string, key: string) {
    this.server = createServer({ cert: certificate, key }, async (request, response) => {
      let body = '';
      for await (const part of request) body += part;
      this.asked.push(`${request.method} ${request.url}`);
      const { status, object } = this.answer(
        request.method ?? '',
        request.headers,
        body === '' ? undefined : JSON.parse(body),
      );
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object));
    });
  }

  answer(method: string, headers: NodeJS.Dict<string | string[]>, change: Change | undefined) {
    if (headers.authorization !== `Bearer ${this.token}`) return refusal(401, 'Unauthorized');
    if (method === this.forbidden) return refusal(403, 'nodes "one" is forbidden');
    if (method === 'PATCH') {
      if (headers['content-type'] !== 'application/merge-patch+json') return refusal(415, 'which patch?');
      if (change?.metadata.resourceVersion !== String(this.version))
        return refusal(409, 'the object has been modified');
      this.taints = change.spec.taints;
      this.version++;
    }
    const object = { metadata: { name: 'one', resourceVersion: String(this.version) }, spec: { taints: this.taints } };
    if (method === 'GET') this.meanwhile();
    return { status: 200, object };
  }
}

/** What a patch says. */
export interface Change {
  readonly metadata: { readonly resourceVersion: string };
  readonly spec: { readonly taints: object[] };
}

const refusal = (status: number, message: string) => ({ status, object: { kind: 'Status', message } });

/** As a program: certificate, key, port and taints, as JSON, on the command line; tells each request, and the taints then. */
if (import.meta.main) {
  const [certificate = '', key = '', port, taints = '[]'] = process.argv.slice(2);
  const kubernetes = new ApiServer(readFileSync(certificate, 'utf8'), readFileSync(key, 'utf8'));
  kubernetes.taints = JSON.parse(taints);
  kubernetes.server.on('request', (_request, response) =>
    response.on('finish', () => console.log(`${kubernetes.asked.at(-1)} ${JSON.stringify(kubernetes.taints)}`)),
  );
  kubernetes.server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
}
