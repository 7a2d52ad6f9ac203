import { type Address, type Family, families, familyOf } from '../base/address.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import { intoTunnel } from './fast-path.ts';
import { tunnelDevice } from './tunnel.ts';

/** What the process of the fast path has to have in the kernel: plain data. */
export interface FastPath {
  readonly fwmark: number;
  /** Interfaces of exits, the tunnel's, and the node's ends of pods' interfaces, each once, in order. */
  readonly devices: readonly string[];
  /** Whose connections by which exits may be handed over, each once, in order. */
  readonly pods: readonly FastUse[];
  /** Ids of the exits whose packets go into the tunnel, in order. A pod has one of them at most: by its address packets get the id there. */
  readonly into: readonly number[];
  /** What comes out of the tunnel; absent on a node that is no gateway of such an exit. */
  readonly served?: FastServed;
}

/** An address of a pod, and the id of an exit that its connections leave by. */
export interface FastUse {
  readonly address: Address;
  readonly exit: number;
}

/** A gateway's part of the fast path. */
export interface FastServed {
  /** Ids of exits. */
  readonly exits: readonly number[];
  /** Without a way of answers by the tunnel IPv4 alone: of IPv6 the kernel makes entries that no packet matches (Linux 6.12). */
  readonly families: readonly Family[];
  /** Answers to pods elsewhere take the tunnel. */
  readonly answersByTunnel: boolean;
}

/** A pod, as far as the fast path goes: the exits that its program leads to, by name. */
export interface FastPod extends Pick<SteeredAttachment, 'sources' | 'addresses'> {
  readonly exits: readonly string[];
}

/**
 * What the fast path is for on this node now; `undefined` when no pod uses an exit that has one, and no other node sends such packets
 * here. Only pods that are checked where they come in have it: by the proof their packets are counted. The flowtable sends answers to where
 * packets came from. On a gateway that is the tunnel: where answers are to go directly, it must not see them.
 */
export function fastPathOf(
  node: Pick<NodeState, 'fwmark' | 'exits' | 'tunnel' | 'gateway'>,
  pods: readonly FastPod[],
): FastPath | undefined {
  const fast = node.exits.filter(({ fastPath }) => fastPath);
  const through = familiesOfTunnel(node.tunnel);
  const served = fast.filter(({ id }) => node.gateway?.served.includes(id));
  const answersByTunnel = (node.gateway?.replies.length ?? 0) > 0;
  const used = new Set<ResolvedExit>();
  const uses: FastUse[] = [];
  const devices = new Set(served.flatMap(({ device }) => [device, tunnelDevice]));
  for (const { sources, addresses, exits } of pods) {
    const own = sources === undefined ? [] : exitsOf(fast, exits);
    for (const exit of own) {
      const led = intoTunnel(exit) ? through : families;
      const able = addresses.filter((address) => led.includes(familyOf(address)));
      uses.push(...able.map((address) => ({ address, exit: exit.id })));
      used.add(exit);
    }
    if (own.length > 0) for (const device of sources?.devices ?? []) devices.add(device);
  }
  for (const { device } of used) devices.add(device);
  if (devices.size === 0) return undefined;
  if (!answersByTunnel) for (const { device } of served) devices.delete(device);
  return {
    fwmark: node.fwmark,
    devices: [...devices].sort(),
    pods: [...new Map(uses.map((use) => [textOf(use), use])).entries()].sort(byText).map(([, use]) => use),
    into: [...used].flatMap((exit) => (intoTunnel(exit) ? [exit.id] : [])).sort((a, b) => a - b),
    ...(served.length > 0 && {
      served: {
        exits: served.map(({ id }) => id),
        families: through.filter((family) => answersByTunnel || family === 4),
        answersByTunnel,
      },
    }),
  };
}

/** Of a pod's exits those that have a fast path; of those by the tunnel the first alone, since its packets get that one's id. */
function exitsOf(fast: readonly ResolvedExit[], names: readonly string[]): readonly ResolvedExit[] {
  const own = [...new Set(names)].flatMap((name) => fast.find((exit) => exit.name === name) ?? []);
  const first = own.find(intoTunnel);
  return own.filter((exit) => exit === first || !intoTunnel(exit));
}

/**
 * Families that a flowtable leads into the tunnel. A tunnel between IPv6 addresses has next hops of IPv6 for both, and for a packet of
 * IPv4 the kernel’s flowtable takes its destination for the next hop then (`rt_nexthop` in `nf_flow_offload_ip_hook`, by its source).
 */
const familiesOfTunnel = (tunnel: NodeState['tunnel']): readonly Family[] =>
  tunnel === undefined || familyOf(tunnel.local) === 4 ? families : [6];

const textOf = ({ address, exit }: FastUse): string => `${address} ${exit}`;
const byText = ([a]: readonly [string, FastUse], [b]: readonly [string, FastUse]): number =>
  a < b ? -1 : a > b ? 1 : 0;

/** The ids of exits that pods use. */
export const exitsInUse = ({ pods }: Pick<FastPath, 'pods'>): readonly number[] => [
  ...new Set(pods.map(({ exit }) => exit)),
];

/** What of a list is not in another one of the same kind. */
export function lacking({ pods, devices }: FastPath, before: FastPath): Pick<FastPath, 'pods' | 'devices'> {
  const had = new Set(before.pods.map(textOf));
  const present = new Set(before.devices);
  return {
    pods: pods.filter((use) => !had.has(textOf(use))),
    devices: devices.filter((device) => !present.has(device)),
  };
}

/** Whether one can become the other by pods and interfaces that are added: then no connection is ended. */
export function isMore(next: FastPath, before: FastPath): boolean {
  const { pods, devices } = lacking(before, next);
  const isSame = (part: (of: FastPath) => unknown) => JSON.stringify(part(next)) === JSON.stringify(part(before));
  return (
    pods.length === 0 &&
    devices.length === 0 &&
    isSame(({ fwmark, into, served }) => [fwmark, into, served]) &&
    isSame((of) => exitsInUse(of).toSorted())
  );
}
