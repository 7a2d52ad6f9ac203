import { EgressError } from '../base/errors.ts';

/** The answer of an API server to one request. */
export interface KubernetesReply {
  /** The HTTP status. */
  readonly status: number;
  /** The object, or a `Status` object with the fault. */
  readonly body: unknown;
}

/** The part of the Kubernetes API that the installer needs. A connection that fails rejects with `try-again`. */
export interface KubernetesApi {
  get(path: string): Promise<KubernetesReply>;
  /** A JSON merge patch (RFC 7386). */
  patch(path: string, change: object): Promise<KubernetesReply>;
}

/** The kubelet's files and variables by which a container finds the API and its own account. */
export interface InCluster {
  /** KUBERNETES_SERVICE_HOST: an address. */
  readonly host: string;
  /** KUBERNETES_SERVICE_PORT. */
  readonly port: string;
  /** Folder with `token` and `ca.crt`. */
  readonly account: string;
  /** Text of a file; `undefined` when there is none. */
  readonly readFile: (path: string) => string | undefined;
}

/** Where the kubelet puts the token and the certificate of the service account. */
export const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Milliseconds until a request that is not answered is given up. */
const patience = 10_000;

/**
 * Speaks to the API server as the service account of this container; `undefined` when it has no token. The token is read
 * for every request, since the kubelet exchanges it about every hour.
 */
export function inClusterApi({ host, port, account, readFile }: InCluster): KubernetesApi | undefined {
  if (readFile(`${account}/token`) === undefined) return undefined;
  const call = (method: string, path: string, change?: object) =>
    send(
      {
        host,
        port,
        method,
        path,
        ca: readFile(`${account}/ca.crt`),
        headers: {
          authorization: `Bearer ${readFile(`${account}/token`)?.trim()}`,
          accept: 'application/json',
          ...(change && { 'content-type': 'application/merge-patch+json' }),
        },
      },
      change && JSON.stringify(change),
    );
  return { get: (path) => call('GET', path), patch: (path, change) => call('PATCH', path, change) };
}

interface HttpsRequest {
  readonly host: string;
  readonly port: string;
  readonly method: string;
  readonly path: string;
  readonly ca: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

async function send(request: HttpsRequest, body: string | undefined): Promise<KubernetesReply> {
  // Loaded only now: a runtime's call never speaks to the API, and shall not pay for TLS.
  const https = await import('node:https');
  const { promise, resolve, reject } = Promise.withResolvers<KubernetesReply>();
  const asked = https.request({ ...request, agent: false, timeout: patience }, (response) => {
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    response.on('error', reject);
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(parts).toString()) }),
    );
  });
  asked.on('timeout', () => asked.destroy(new Error(`no answer within ${patience / 1000} seconds`)));
  asked.on('error', reject);
  asked.end(body);
  try {
    return await promise;
  } catch (error) {
    const { method, host, port, path } = request;
    const reason = error instanceof Error ? error.message : String(error);
    throw new EgressError('try-again', `${method} ${path} of the Kubernetes API at ${host} port ${port}: ${reason}`, {
      cause: error,
    });
  }
}

/** A body that is no JSON comes from a proxy between us and the API server. It is not for the log of a node. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
