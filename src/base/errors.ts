/**
 * Every error that this program answers with: one row for each code. The CNI specification keeps 0…99 for itself
 * (SPEC.md, "Error"), so ours begin at 100; never renumber a row, people look these numbers up.
 */
export const errorTable = {
  'incompatible-version': {
    number: 1,
    title: 'Incompatible CNI version',
    remedy: 'Use one of the versions that VERSION lists',
  },
  'unsupported-field': { number: 2, title: 'Unsupported field in network configuration', remedy: 'Remove the field' },
  'unknown-container': {
    number: 3,
    title: 'Container unknown or does not exist',
    remedy: 'Give the container ID of the attachment',
  },
  'invalid-environment': {
    number: 4,
    title: 'Invalid environment variables',
    remedy: 'Set the CNI_* variables as the CNI specification says',
  },
  'io-failure': { number: 5, title: 'I/O failure', remedy: 'See the details for the file and the reason' },
  'decoding-failure': { number: 6, title: 'Failed to decode content', remedy: 'Send one JSON document' },
  'invalid-configuration': {
    number: 7,
    title: 'Invalid network configuration',
    remedy: 'Mend the place that the details name',
  },
  'try-again': {
    number: 11,
    title: 'Try again later',
    remedy: 'Nothing was changed; repeat the call when the details no longer hold',
  },
  unavailable: { number: 50, title: 'The plugin is not available', remedy: 'Give the node what the details name' },
  'no-prev-result': {
    number: 100,
    title: 'No prevResult',
    remedy: 'Put egress after a plugin that makes the interface (bridge, ptp, …)',
  },
  'no-address': {
    number: 101,
    title: 'No IP address in prevResult',
    remedy: 'Give the plugin before egress an IPAM section',
  },
  'not-routed': {
    number: 102,
    title: 'The pod is not routed through this host',
    remedy: 'Use a plugin that routes pods through the host: bridge with isGateway, or ptp',
  },
  'exit-interface': {
    number: 103,
    title: 'The interface of an exit is not usable on this node',
    remedy: 'Bring the interface up, or name another one in the exit',
  },
  'exit-address': {
    number: 104,
    title: 'An exit has no address to leave with',
    remedy: 'Give the exit addresses, or its interface an address',
  },
  'mark-conflict': { number: 105, title: 'The mark is used by somebody else', remedy: 'Choose a free bit with fwmark' },
  'record-newer': {
    number: 106,
    title: 'A record was written by a newer egress',
    remedy: 'Use the binary that wrote it, or a newer one',
  },
  'check-failed': {
    number: 107,
    title: 'The attachment is not as it was set up',
    remedy: 'Repeat ADD, or recreate the pod',
  },
  'kernel-refused': {
    number: 108,
    title: 'The kernel refused a request',
    remedy: 'The details give the operation and the reason in the kernel’s own words',
  },
  'partly-done': {
    number: 109,
    title: 'Not everything could be removed',
    remedy: 'Mend what the details name, and repeat the call',
  },
  'tunnel-device': {
    number: 110,
    title: 'The name of the tunnel device is taken',
    remedy: 'Remove or rename the interface that the details name',
  },
  'node-address': {
    number: 111,
    title: 'This node is no end of the tunnel',
    remedy: 'Set node to an address of this node, and list the node in nodes',
  },
  'unknown-exit': {
    number: 112,
    title: 'No such gateway exit',
    remedy: 'Name an exit of the policy file that has gateways, and one of its gateways',
  },
  'annotation-invalid': {
    number: 113,
    title: 'An annotation of the pod is not valid',
    remedy: 'Mend the annotation in the manifest of the pod, and create the pod anew',
  },
  'annotation-unknown': {
    number: 114,
    title: 'An annotation of the pod names what does not exist',
    remedy: 'Name a policy or an exit of the policy file that is open to the pod',
  },
  'annotation-refused': {
    number: 115,
    title: 'The pod may not have what its annotation asks for',
    remedy: 'Remove the annotation, or ask whoever writes the policy file to open the policy or exit to the pod',
  },
  'unknown-pod': {
    number: 116,
    title: 'No such pod on this node',
    remedy:
      'Name a pod as namespace/name, by its address or by its container ID: egress status lists those with policies',
  },
  'ports-exhausted': {
    number: 117,
    title: 'No source ports are left for the pod',
    remedy: 'Give the exit more addresses, fewer portsPerPod, or a higher portBlocksPerNamespace',
  },
  'exit-next-hop': {
    number: 118,
    title: 'The next hop of an exit is not where the exit says',
    remedy: 'Name a router in a network of the interface; or if it is there all the same, set "onlink" in the exit',
  },
  'name-taken': {
    number: 119,
    title: 'Something else has a name of ours',
    remedy:
      'Remove or rename what the details name; if an earlier egress made it, drain the node, so that the last DEL removes it',
  },
  'invalid-argument': {
    number: 120,
    title: 'A word of the command is not valid',
    remedy: 'Give what the details ask for; --help shows the words of each command',
  },
  'cannot-mark': {
    number: 121,
    title: 'The kernel cannot mark what a pod sends where it comes in',
    remedy:
      'Nothing has to be done: pods are steered without it, but what a flushed ruleset lets through is not held back',
  },
  'kubernetes-refused': {
    number: 130,
    title: 'The Kubernetes API refused a request',
    remedy: 'Give the service account the rights that install/kustomize/rbac.yaml lists',
  },
  internal: { number: 999, title: 'Internal error', remedy: 'Please report it with the details' },
} as const satisfies Record<string, { number: number; title: string; remedy: string }>;

/** The name of a row of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable;

/** An error for a person or a runtime to read: it names the fault, its place and the remedy. */
export class EgressError extends Error {
  readonly code: ErrorCode;

  /**
   * @param code the row of {@link errorTable}
   * @param details what was being done, on what, and expected against found: a sentence without a final full stop
   */
  constructor(code: ErrorCode, details: string, options?: { cause?: unknown }) {
    super(details, options);
    this.name = 'EgressError';
    this.code = code;
  }
}

/** An error that says which row of {@link errorTable} it is. */
interface Classified extends Error {
  readonly row: ErrorCode;
}

const isClassified = (error: unknown): error is Classified => error instanceof Error && 'row' in error;

/** Whether a system call failed: a disk that is full or read-only, a file that may not be opened. */
export const isSystemError = (error: unknown): error is Error => error instanceof Error && 'syscall' in error;

/**
 * The error as an {@link EgressError}: itself, of the row that it names, or wrapped as `internal` with its stack as
 * details for a report.
 */
export function asEgressError(error: unknown): EgressError {
  if (error instanceof EgressError) return error;
  if (isClassified(error)) return new EgressError(error.row, error.message, { cause: error });
  if (isSystemError(error)) return new EgressError('io-failure', error.message, { cause: error });
  return new EgressError('internal', error instanceof Error ? error.message : String(error), { cause: error });
}
