import type { Agent } from 'node:https';
import { EgressError } from '../base/errors.ts';

/** The answer of an API server to one request. */
export interface KubernetesReply {
  /** The HTTP status. */
  readonly status: number;
  /** The object, or a `Status` object with the fault. */
  readonly body: unknown;
}

/** Single requests to the Kubernetes API. A connection that fails rejects with `try-again`. */
export interface KubernetesApi {
  get(path: string): Promise<KubernetesReply>;
  /** A JSON merge patch (RFC 7386). */
  patch(path: string, change: object): Promise<KubernetesReply>;
}

/** The part of the Kubernetes API that an agent needs. */
export interface ClusterApi extends KubernetesApi {
  /** Makes an object in a list. */
  create(path: string, object: object): Promise<KubernetesReply>;
  /** Server-side apply of an object by a field manager, who takes fields from others. */
  apply(path: string, object: object, manager: string): Promise<KubernetesReply>;
  /**
   * Takes each line of an answer that has no end, parsed, until the server ends it or the signal is aborted.
   *
   * @returns the answer when it is not a success, and nothing was taken
   */
  follow(path: string, take: (line: unknown) => void, signal: AbortSignal): Promise<KubernetesReply | undefined>;
}

/** Where an API server is, and as whom to speak to it. All that is read is read for each request: it may be exchanged. */
export interface Access {
  readonly host: string;
  readonly port: string;
  /** Certificates of authorities, PEM; `undefined`: those that Node knows. */
  ca(): string | undefined;
  token(): string | undefined;
  /** A client's certificate and its key, PEM. */
  readonly client?: { readonly cert: string; readonly key: string };
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

/** The same for an answer without an end: an API server that has nothing to say sends a bookmark each minute. */
const silence = 150_000;

/**
 * Speaks to the API server as the service account of this container; `undefined` when it has no token. The token is read
 * for every request, since the kubelet exchanges it about every hour.
 */
export function inClusterApi({ host, port, account, readFile }: InCluster): ClusterApi | undefined {
  if (readFile(`${account}/token`) === undefined) return undefined;
  return apiAt({
    host,
    port,
    ca: () => readFile(`${account}/ca.crt`),
    token: () => readFile(`${account}/token`)?.trim(),
  });
}

/** Speaks to an API server. */
export function apiAt(access: Access): ClusterApi {
  const call = async (method: string, path: string, type?: string, change?: object) => {
    const { promise, resolve, reject } = Promise.withResolvers<KubernetesReply>();
    const body = change && JSON.stringify(change);
    await open(access, { method, path, ...(type !== undefined && { type }), patience }, body, reject, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve(replyOf(response.statusCode, Buffer.concat(parts).toString())));
    });
    return await said(access, `${method} ${path}`, promise);
  };
  return {
    get: (path) => call('GET', path),
    patch: (path, change) => call('PATCH', path, 'application/merge-patch+json', change),
    create: (path, object) => call('POST', path, 'application/json', object),
    apply: (path, object, manager) =>
      call('PATCH', `${path}?fieldManager=${manager}&force=true`, 'application/apply-patch+yaml', object),
    follow: (path, take, signal) => said(access, `GET ${path}`, follow(access, path, take, signal)),
  };
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  /** Milliseconds of silence after which it is given up. */
  readonly patience: number;
}

type Response = import('node:http').IncomingMessage;

/** Sends a request. `failed` takes what goes wrong with it or with its answer. */
async function open(
  access: Access,
  { method, path, type, patience }: Request,
  body: string | undefined,
  failed: (error: Error) => void,
  answered: (response: Response) => void,
) {
  // Loaded only now: a runtime's call never speaks to the API, and shall not pay for TLS.
  const https = await import('node:https');
  const [token, ca] = [access.token(), access.ca()];
  const headers = {
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(type !== undefined && { 'content-type': type }),
  };
  const { host, port, client } = access;
  const options = { host, port, method, path, headers, agent: false as unknown as Agent, timeout: patience };
  const asked = https.request({ ...options, ...(ca !== undefined && { ca }), ...client }, (response) => {
    response.on('error', failed);
    answered(response);
  });
  asked.on('timeout', () => asked.destroy(new Error(`no answer within ${patience / 1000} seconds`)));
  asked.on('error', failed);
  asked.end(body);
  return asked;
}

async function follow(access: Access, path: string, take: (line: unknown) => void, signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<KubernetesReply | undefined>();
  const asked = await open(access, { method: 'GET', path, patience: silence }, undefined, reject, (response) => {
    const isTaken = response.statusCode === 200;
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      if (!isTaken) rest = [...lines, rest].join('\n');
      else for (const line of lines) take(parsed(line));
    });
    response.on('end', () => resolve(isTaken ? undefined : replyOf(response.statusCode, rest)));
  });
  const end = () => {
    asked.destroy();
    resolve(undefined);
  };
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  return await promise.finally(() => signal.removeEventListener('abort', end));
}

async function said<T>({ host, port }: Access, what: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EgressError('try-again', `${what} of the Kubernetes API at ${host} port ${port}: ${reason}`, {
      cause: error,
    });
  }
}

const replyOf = (status: number | undefined, text: string): KubernetesReply => ({
  status: status ?? 0,
  body: parsed(text),
});

/** A body that is no JSON comes from a proxy between us and the API server. It is not for the log of a node. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an answer holds. Throws `kubernetes-refused` with the API server's own words when it is not a success. */
export function accepted({ status, body }: KubernetesReply, aim: string): unknown {
  if (status >= 200 && status < 300) return body;
  const reason = (body as { message?: unknown } | undefined)?.message ?? 'without a reason';
  throw new EgressError('kubernetes-refused', `Could not ${aim}: ${status} ${reason}`);
}
