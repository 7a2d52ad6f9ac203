import { markOf } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';

/** A member of `cni.dev/valid-attachments`. */
interface Valid {
  readonly containerID?: unknown;
  readonly ifname?: unknown;
}

/** The key of the specification, and the one that libcni sends as well for plugins written before it. */
const keys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;

/**
 * Marks of the attachments that GC shall keep. Undefined when the runtime did not say: then nothing may go. `null` and
 * an empty list say that none is valid. Throws `invalid-configuration` when the list is none.
 */
export function validMarks(
  document: Readonly<Record<string, unknown>>,
  network: string,
): ReadonlySet<string> | undefined {
  const key = keys.find((key) => document[key] !== undefined);
  if (key === undefined) return undefined;
  const list = document[key] ?? [];
  const isValid = (entry: Valid | null) => typeof entry?.containerID === 'string' && typeof entry.ifname === 'string';
  if (!Array.isArray(list) || !list.every(isValid)) {
    throw new EgressError(
      'invalid-configuration',
      `network configuration#/${key.replace('/', '~1')}: expected a list of containerID and ifname`,
    );
  }
  return new Set(list.map(({ containerID, ifname }) => markOf({ network, containerId: containerID, ifname })));
}
