import * as z from 'zod/mini';
import { EgressError } from '../base/errors.ts';
import { judge } from '../config/judge.ts';
import { lineOf } from '../config/problem.ts';
import { type Access, apiAt, type ClusterApi } from './client.ts';

const text = z.optional(z.string('a text'));

/** A kubeconfig file, as far as it is needed (Kubernetes: client-go, `clientcmd/api/v1`). */
const kubeconfig = z.object(
  {
    'current-context': z.string('the name of a context'),
    contexts: z.array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: text }) }), 'a list'),
    clusters: z.array(
      z.object({
        name: z.string(),
        cluster: z.object({
          server: z.string('the address of the API server'),
          'certificate-authority': text,
          'certificate-authority-data': text,
        }),
      }),
      'a list',
    ),
    users: z.optional(
      z.array(
        z.object({
          name: z.string(),
          user: z.object({
            token: text,
            tokenFile: text,
            'client-certificate': text,
            'client-certificate-data': text,
            'client-key': text,
            'client-key-data': text,
            exec: z.optional(z.unknown()),
          }),
        }),
        'a list',
      ),
    ),
  },
  'a kubeconfig file',
);

type User = NonNullable<z.infer<typeof kubeconfig>['users']>[number]['user'];

/** Reads a file that has to be there. */
type Read = (path: string) => string;

/** Speaks to the API server of a kubeconfig file's current context. Throws `invalid-argument` for one that cannot be used. */
export async function apiOfKubeconfig(
  file: string,
  readFile: (path: string) => string | undefined,
): Promise<ClusterApi> {
  const refused = (why: string) => new EgressError('invalid-argument', `--kubeconfig ${file}: ${why}`);
  const read: Read = (path) => {
    const found = readFile(path);
    if (found === undefined) throw refused(`${path} does not exist`);
    return found;
  };
  const { parse } = await import('yaml');
  const judged = judge(
    kubeconfig,
    attempt(() => parse(read(file)), refused),
    file,
  );
  if ('problems' in judged) throw refused(judged.problems.map(lineOf).join('; '));
  const { contexts, clusters, users = [], 'current-context': current } = judged.value;
  const context = contexts.find(({ name }) => name === current)?.context;
  const cluster = clusters.find(({ name }) => name === context?.cluster)?.cluster;
  const user = users.find(({ name }) => name === context?.user)?.user ?? {};
  if (cluster === undefined) throw refused(`there is no context "${current}" with a cluster`);
  if (user.exec !== undefined)
    throw refused('its user has a program that makes tokens ("exec"), which is never started');
  return apiAt(attempt(() => accessOf(cluster, user, read), refused));
}

/** What an action returns; an error that is none of ours is refused with its own words. */
function attempt<T>(action: () => T, refused: (why: string) => EgressError): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof EgressError ? error : refused(error instanceof Error ? error.message : String(error));
  }
}

function accessOf(
  { server, ...cluster }: z.infer<typeof kubeconfig>['clusters'][number]['cluster'],
  user: User,
  read: Read,
): Access {
  const { hostname, port, protocol } = new URL(server);
  if (protocol !== 'https:') throw new EgressError('invalid-argument', `${server}: expected an address with https`);
  const [data, file] = [cluster['certificate-authority-data'], cluster['certificate-authority']];
  const client = clientOf(user, read);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? '443' : port,
    ca: () => decoded(data) ?? (file === undefined ? undefined : read(file)),
    token: () => (user.tokenFile === undefined ? user.token : read(user.tokenFile).trim()),
    ...(client && { client }),
  };
}

function clientOf(user: User, read: Read): Access['client'] | undefined {
  const part = (data: string | undefined, file: string | undefined) =>
    decoded(data) ?? (file === undefined ? undefined : read(file));
  const cert = part(user['client-certificate-data'], user['client-certificate']);
  const key = part(user['client-key-data'], user['client-key']);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

const decoded = (data: string | undefined): string | undefined =>
  data === undefined ? undefined : Buffer.from(data, 'base64').toString();
