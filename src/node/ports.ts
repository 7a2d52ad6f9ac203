import { type Address, familyOf } from '../base/address.ts';
import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { addressOf } from '../datapath/slots.ts';
import type { Exit } from '../policy/exit.ts';
import type { Pod } from '../policy/match.ts';
import { chooseBlock, type PortBlock, type Share } from '../policy/port-blocks.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { OwnEnd } from './own-end.ts';

/** The facts for the choice of an attachment's ports. */
export interface PortsRequest {
  readonly configuration: Configuration;
  /** The exits that it uses, as they are on this node. */
  readonly exits: readonly ResolvedExit[];
  readonly ownEnd: OwnEnd | undefined;
  readonly addresses: readonly Address[];
  readonly pod: Pod;
  /** Its ports of an earlier ADD. */
  readonly previous: readonly PortBlock[];
  /** All other attachments to this node. */
  readonly others: readonly AttachmentRecord[];
}

/** Whether some of the exits give pods source ports of their own. */
export const givesPorts = (configuration: Configuration, exits: readonly ResolvedExit[]): boolean =>
  exits.some(({ name }) => portsPerPod(configuration, name) !== undefined);

const portsPerPod = ({ exits }: Configuration, name: string): number | undefined =>
  exits.find((exit) => exit.name === name)?.portsPerPod;

/**
 * Source ports of its own for an attachment, by each of its exits that gives pods some. Throws `ports-exhausted`, and
 * `node-address` when the node has no share of them.
 */
export const choosePorts = (request: PortsRequest): PortBlock[] =>
  request.exits.flatMap((resolved) => {
    const exit = request.configuration.exits.find(({ name }) => name === resolved.name);
    if (exit?.portsPerPod === undefined) return [];
    const own = request.previous.find((block) => block.exit === exit.name);
    if (own === undefined) requireRoom(request, exit);
    const [share, taken] = [shareOf(request, exit), takenOn(request, resolved)];
    return [chooseBlock({ exit: exit.name, portsPerPod: exit.portsPerPod, share, own, taken })];
  });

/** Whether the pod's namespace may have one more block. A pod keeps its block when less is allowed meanwhile. */
function requireRoom({ pod, others }: PortsRequest, { name, portBlocksPerNamespace: most = Infinity }: Exit): void {
  const fellows = others.filter((other) => other.pod.namespace === pod.namespace);
  const count = fellows.filter(({ ports = [] }) => ports.some((block) => block.exit === name)).length;
  if (count < most) return;
  const whose = pod.namespace === undefined ? 'pods without a namespace' : `pods of namespace "${pod.namespace}"`;
  throw new EgressError(
    'ports-exhausted',
    `Exit "${name}" gives pods of one namespace at most ${counted(most, 'block')} of source ports on a node (portBlocksPerNamespace), and ${whose} have ${count}`,
  );
}

/** Pods of all nodes leave by a gateway with the same addresses, but by a local exit only pods of one node. */
function shareOf({ configuration: { nodes }, ownEnd }: PortsRequest, { name, gateways }: Exit): Share {
  if (gateways.length === 0 || ownEnd === undefined) return { place: 0, nodes: 1 };
  const sharing = nodes.filter(({ address }) => familyOf(address) === familyOf(ownEnd.address));
  const place = sharing.findIndex(({ address }) => address === ownEnd.address);
  if (place >= 0) return { place, nodes: sharing.length };
  throw new EgressError(
    'node-address',
    `Exit "${name}" shares its source ports out among nodes, and this node's address ${ownEnd.address} is not in nodes`,
  );
}

/** Blocks of others that leave with one of the addresses that this attachment leaves with. */
function takenOn({ addresses, others }: PortsRequest, exit: ResolvedExit): PortBlock[] {
  const egress = egressOf(exit, addresses);
  const sharing = others.filter((other) => egressOf(exit, other.addresses).some((address) => egress.includes(address)));
  return sharing.flatMap(({ ports = [] }) => ports.filter((block) => block.exit === exit.name));
}

/** The addresses that a pod is seen with, by an exit. */
export const egressOf = ({ ways }: ResolvedExit, addresses: readonly Address[]): Address[] =>
  addresses.flatMap((pod) => {
    const way = ways.find(({ family }) => family === familyOf(pod));
    return way ? [addressOf(way.addresses, pod)] : [];
  });
