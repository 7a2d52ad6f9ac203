import { parseAddress } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Pod } from '../policy/match.ts';
import type { AttachmentRecord } from '../store/record.ts';

/** The name of a pod that nothing is set up for here. */
export interface AskedPod {
  readonly pod: Pod & { readonly namespace: string; readonly name: string };
}

/** The shortest part of a container ID that is taken, if no other ID begins with it. */
const shortestId = 6;

/**
 * The attachments of the pod that somebody names: by `namespace/name`, an address, a container ID or its begin. A name
 * or an address may have several: for all but one DEL is still to come. Throws `unknown-pod`.
 */
export function findPod(
  records: readonly AttachmentRecord[],
  asked: string,
): { readonly records: readonly AttachmentRecord[] } | AskedPod {
  const found = records.filter((record) => isAsked(record, asked));
  if (found.length > 0) return { records: found };
  const begun = asked.length < shortestId ? [] : records.filter(({ containerId }) => containerId.startsWith(asked));
  const ids = new Set(begun.map(({ containerId }) => containerId));
  if (ids.size === 1) return { records: begun };
  if (ids.size > 1) {
    throw new EgressError('unknown-pod', `"${asked}" begins several container IDs: ${[...ids].sort().join(', ')}`);
  }
  const [namespace = '', name, ...more] = asked.split('/');
  if (name && namespace !== '' && more.length === 0) return { pod: { namespace, name } };
  const named = records.filter(({ pod }) => pod.name === asked).map(podName);
  const meant = named.length > 0 ? `; did you mean ${[...new Set(named)].join(' or ')}?` : '';
  throw new EgressError(
    'unknown-pod',
    `Nothing is set up on this node for a pod with ${kindOf(asked)} "${asked}"${meant}`,
  );
}

/** The pod of an attachment, as people call it; of one without a name the begin of its container ID. */
export function podName({ pod, containerId }: Pick<AttachmentRecord, 'pod' | 'containerId'>): string {
  const { namespace = '', name = containerId.slice(0, 13) } = pod;
  return namespace === '' ? name : `${namespace}/${name}`;
}

function isAsked(record: AttachmentRecord, asked: string): boolean {
  if (asked.includes('/')) return podName(record) === asked;
  const address = parseAddress(asked);
  if (address !== undefined) return record.addresses.includes(address);
  return record.containerId === asked;
}

const kindOf = (asked: string) => (parseAddress(asked) === undefined ? 'the container ID' : 'the address');
