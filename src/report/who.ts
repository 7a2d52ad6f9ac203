import { type Address, familyOf } from '../base/address.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Flow } from '../datapath/host.ts';
import type { Machine } from '../node/machine.ts';
import { egressOf } from '../node/ports.ts';
import { type PortBlock, placeOfPort } from '../policy/port-blocks.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Configured } from './configured.ts';

/** The source of a packet as the other end sees it. */
export interface Seen {
  readonly address: Address;
  /** 1…65535. */
  readonly port: number;
}

/** The pods behind an address and a port, for people and with `--json` for programs. */
export interface Owner extends Seen {
  /** Pods on this node that have the port for themselves; more than one only where an exit changed its addresses. */
  readonly pods: readonly PodWithPorts[];
  /** Connections that leave with it just now; their sources are pods, also those of other nodes. */
  readonly connections: readonly Pick<Flow, 'protocol' | 'source' | 'sourcePort' | 'destination' | 'destinationPort'>[];
  /** Another node whose pods have the port, and the exit. */
  readonly node?: { readonly address: Address; readonly exit: string };
  /** An exit of this node with the address whose pods share all ports: only connections of now are known, on the node that they leave. */
  readonly sharing?: string;
}

interface PodWithPorts extends Pick<AttachmentRecord, 'network' | 'containerId' | 'ifname' | 'pod' | 'addresses'> {
  readonly ports: PortBlock;
}

/** Finds the pod behind an address and a port that are seen outside. */
export async function whoHas(machine: Machine, configured: Configured, seen: Seen): Promise<Owner> {
  const flows = await machine.host.listFlowsTo(seen.address);
  const pods = podsWith(machine, seen);
  const node = pods.length > 0 || 'unknown' in configured ? undefined : nodeWith(configured, seen);
  const isHere = node !== undefined && (await machine.host.routeTo(node.address))?.type === 'local';
  return {
    ...seen,
    pods,
    connections: flows.filter((flow) => isSeenAs(flow, seen)).map(connectionOf),
    ...(node && !isHere && { node }),
    ...sharingOf(machine, configured, seen),
  };
}

function sharingOf({ store }: Machine, configured: Configured, { address }: Seen): Pick<Owner, 'sharing'> {
  const exits = store.loadNode()?.exits ?? [];
  const exit = exits.find(({ ways }) => ways.some(({ addresses }) => addresses.includes(address)));
  if (exit === undefined || 'unknown' in configured) return {};
  const own = configured.exits.find(({ name }) => name === exit.name);
  return own !== undefined && own.portsPerPod === undefined ? { sharing: exit.name } : {};
}

/** The port before translation, where it was not changed: protocols without ports never fit. */
const isSeenAs = ({ replyDestinationPort }: Flow, { port }: Seen): boolean => replyDestinationPort === port;

const connectionOf = ({ protocol, source, sourcePort, destination, destinationPort }: Flow) => ({
  ...{ protocol, source, destination },
  ...(sourcePort !== undefined && destinationPort !== undefined && { sourcePort, destinationPort }),
});

function podsWith({ store }: Machine, { address, port }: Seen): PodWithPorts[] {
  const exits = store.loadNode()?.exits ?? [];
  return store.list().flatMap(({ network, containerId, ifname, pod, addresses, ports = [] }) =>
    ports
      .filter((block) => {
        const exit = exits.find(({ name }) => name === block.exit);
        const isOwn = exit !== undefined && egressOf(exit, addresses).includes(address);
        return isOwn && block.first <= port && port <= block.last;
      })
      .map((block) => ({ network, containerId, ifname, pod, addresses, ports: block })),
  );
}

/** Among nodes that share the ports of a gateway's address, the one that this port belongs to. */
function nodeWith({ exits, nodes }: Configuration, { address, port }: Seen): Owner['node'] {
  const exit = exits.find(({ gateways, addresses }) => gateways.length > 0 && addresses.includes(address));
  const [gateway] = exit?.gateways ?? [];
  if (exit?.portsPerPod === undefined || gateway === undefined) return undefined;
  const sharing = nodes.filter((node) => familyOf(node.address) === familyOf(gateway));
  const node = sharing[placeOfPort(port, exit.portsPerPod, sharing.length) ?? -1];
  return node && { address: node.address, exit: exit.name };
}

/** Whether anything is known. */
export const isKnown = ({ pods, connections, node }: Owner): boolean =>
  pods.length + connections.length > 0 || node !== undefined;
