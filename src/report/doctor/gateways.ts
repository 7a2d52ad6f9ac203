import type { Address } from '../../base/address.ts';
import type { Tunnel } from '../../datapath/attachment.ts';
import type { Echo, Examiner } from '../../datapath/examiner.ts';
import type { ResolvedExit } from '../../datapath/exit.ts';
import { unjudgedId } from '../../datapath/layout.ts';
import { tunnelDevice, tunnelMac, tunnelMtu } from '../../datapath/tunnel.ts';
import type { Facts } from './facts.ts';
import { fault, ok, orOk, type Seen, warning } from './finding.ts';
import { hindrancesAbout } from './hindrances.ts';

/** The least that an IPv6 network carries; anything carries a packet that is this small. */
const small = 128;

/** Each gateway of exits in use: reachable, by the underlay and through the tunnel, with packets of full size. */
export async function gateways(facts: Facts): Promise<readonly Seen[]> {
  const { node } = facts;
  const remote = node?.exits.filter(({ gateway }) => gateway !== undefined) ?? [];
  const strange = node?.gateway ? await strangers(facts) : [];
  if (node?.tunnel === undefined || remote.length === 0) {
    return orOk(strange, 'no exit in use leaves from another node');
  }
  const found = [...strange, ...hindrancesAbout(facts, 'gateway'), ...(await deviceMtu(facts, node.tunnel))];
  for (const [gateway, exits] of Map.groupBy(remote, ({ gateway }) => gateway ?? '')) {
    found.push(...(await reach(facts, node.tunnel, gateway, exits)));
  }
  return found;
}

/** Packets that this gateway took from nobody: of a node that is not listed, all. */
async function strangers({ host, tunnel: { port } }: Facts): Promise<readonly Seen[]> {
  const { packets } = ((await host.hasTable()) ? await host.readCounters() : undefined)?.strangers ?? { packets: 0n };
  if (packets === 0n) return [];
  return [
    warning(
      `${packets} packets for the tunnel came from addresses that are not in "nodes", and were dropped`,
      `if pods of a node cannot leave here, list the node in "nodes", or its network in tunnel.allowedSources; who sends: tcpdump -n udp port ${port}`,
    ),
  ];
}

/** The device’s own MTU against that of the way below. */
async function deviceMtu({ host }: Facts, { local, mtu }: Tunnel): Promise<Seen[]> {
  const own = await host.readLink(tunnelDevice);
  if (own !== undefined && own.mtu > mtu) {
    return [
      fault(
        `${tunnelDevice} has the MTU ${own.mtu}, and ${mtu} fit below: larger packets get lost`,
        `ip link set ${tunnelDevice} mtu ${mtu}`,
      ),
    ];
  }
  const below = await underlay({ host }, local);
  if (below === undefined || tunnelMtu(below.mtu, local) >= mtu) return [];
  const fits = tunnelMtu(below.mtu, local);
  return [
    fault(
      `${tunnelDevice} was made for packets of ${mtu} bytes, and now ${below.name} below it takes ${fits}: larger ones get lost`,
      `on a pod’s node start a pod with that exit, on a gateway call egress gateway: each takes over the MTU of ${below.name}`,
    ),
  ];
}

async function underlay({ host }: Pick<Facts, 'host'>, local: Address) {
  const holder = (await host.listAllAddresses()).filter(({ address }) => address === local);
  for (const { deviceIndex } of holder) {
    const link = await host.readLink(deviceIndex);
    if (link !== undefined && link.name !== tunnelDevice && link.name !== 'lo') return link;
  }
  return undefined;
}

async function reach(facts: Facts, tunnel: Tunnel, gateway: Address, exits: readonly ResolvedExit[]): Promise<Seen[]> {
  const [{ id } = { id: 0 }] = exits;
  const names = exits.map(({ name }) => `"${name}"`).join(', ');
  const whole = tunnel.mtu + headers(tunnel.local);
  const asked = [
    outer(tunnel, gateway, small),
    outer(tunnel, gateway, whole),
    inner(tunnel, gateway, { id }, small),
    inner(tunnel, gateway, { id }, tunnel.mtu & ~1),
  ];
  const [near, nearWhole, through, throughWhole] = await facts.examiner.echo(asked);
  if (!through) return [unreachable(gateway, names, tunnel, near === true)];
  const stray = { ...inner(tunnel, gateway, { id: freeId(facts) }, small), udpPort: discard };
  const [isOpen] = await facts.examiner.echo([stray]);
  return [
    ...(isOpen ? [unguarded(gateway, names)] : []),
    ...(throughWhole && (nearWhole || !near) ? [] : await narrow(facts, tunnel, gateway, whole)),
    ...(throughWhole && !isOpen
      ? [ok(`gateway ${gateway} of ${names} answers through the tunnel, with packets of ${tunnel.mtu} bytes, too`)]
      : []),
    ...(await holders(facts, gateway, exits)),
  ];
}

/** Bytes that the tunnel adds to a packet. */
const headers = (local: Address): number => -tunnelMtu(0, local);

const outer = ({ local }: Tunnel, gateway: Address, bytes: number): Echo => ({
  source: local,
  destination: gateway,
  bytes: bytes & ~1,
});

/** The gateway answers by its own routes: the question alone passes the tunnel. */
const inner = (tunnel: Tunnel, gateway: Address, { id }: Pick<ResolvedExit, 'id'>, bytes: number): Echo => ({
  ...outer(tunnel, gateway, bytes),
  tunnel: { sourceMac: tunnelMac(tunnel.local), destinationMac: tunnelMac(gateway), exitId: id },
});

const unreachable = (gateway: Address, names: string, { port, local }: Tunnel, answers: boolean): Seen =>
  answers
    ? fault(
        `gateway ${gateway} of ${names} answers, but not through the tunnel`,
        `on ${gateway}: run egress agent or egress gateway, let UDP port ${port} from ${local} pass, and list ${local} in nodes; egress doctor there tells which, or else a firewall drops it here, there or between (nft list ruleset)`,
      )
    : fault(
        `gateway ${gateway} of ${names} does not answer, neither by itself nor through the tunnel`,
        `bring ${gateway} back, or: egress exit move EXIT --to GATEWAY for ${names}`,
      );

/**
 * An id that no exit has. A gateway drops and counts what comes with it; one that answers lost its table, and all packets of
 * exits with it.
 */
function freeId({ node, networks }: Facts): number {
  const configured = networks.flatMap(({ configuration }) => configuration?.exits ?? []);
  const used = new Set([...(node?.exits ?? []), ...configured].map(({ id }) => id));
  let id = unjudgedId - 1;
  while (used.has(id)) id--;
  return id;
}

const unguarded = (gateway: Address, names: string): Seen =>
  fault(
    `gateway ${gateway} of ${names} takes what it should drop: its table is gone, flushed perhaps, and packets of exits do not leave there`,
    `on ${gateway}: egress repair; egress agent there does so by itself`,
  );

async function narrow(facts: Facts, tunnel: Tunnel, gateway: Address, whole: number): Promise<Seen[]> {
  const largest = await largestTo(facts.examiner, tunnel, gateway, whole);
  const what = `the way to gateway ${gateway} does not take packets of ${whole} bytes, which the tunnel makes of ${tunnel.mtu}`;
  if (largest === undefined) {
    return [
      warning(what, `let ICMP echo pass between ${tunnel.local} and ${gateway}: then the size that fits is told here`),
    ];
  }
  const device = (await underlay(facts, tunnel.local))?.name ?? 'the interface to it';
  const remedy = `ip link set ${device} mtu ${largest}`;
  return [
    fault(
      `${what}, but ${largest} at most: larger packets of pods get lost`,
      `${remedy}, here and on ${gateway}; then egress gateway there, and the next pod here, take it over`,
    ),
  ];
}

/** RFC 863: a port on which hardly anybody listens. */
const discard = 9;

/** How many sizes are asked for at once. */
const steps = 16;

/** The largest packet that the way takes, in bytes; undefined when it answers none. */
async function largestTo(
  examiner: Examiner,
  tunnel: Tunnel,
  gateway: Address,
  whole: number,
): Promise<number | undefined> {
  let [low, high] = [small, whole];
  if (!(await examiner.echo([outer(tunnel, gateway, low)]))[0]) return undefined;
  while (high - low > 2) {
    const step = Math.max(2, Math.ceil((high - low) / steps / 2) * 2);
    const sizes = Array.from({ length: steps }, (_, i) => low + (i + 1) * step).filter((size) => size < high);
    const answered = await examiner.echo(sizes.map((size) => outer(tunnel, gateway, size)));
    const passed = sizes.filter((_, i) => answered[i]);
    const best = passed.at(-1) ?? low;
    [low, high] = [best, Math.min(high, ...sizes.filter((size) => size > best))];
    if (sizes.length === 0) break;
  }
  return low;
}

/** Who on this link says that they have the addresses of the exits: the gateway, and nobody else. */
async function holders({ host, examiner }: Facts, gateway: Address, exits: readonly ResolvedExit[]): Promise<Seen[]> {
  const addresses = new Set(exits.flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses)));
  const found: Seen[] = [];
  for (const address of addresses) {
    const route = await host.routeTo(address);
    if (route?.device === undefined || route.via !== undefined || route.type !== 'unicast') continue;
    const macs = (await examiner.whoHas(route.device, [address]))?.get(address) ?? [];
    if (macs.length > 1) found.push(twice(address, gateway, macs));
    if (macs.length === 0) found.push(nobody(address, gateway, route.device));
  }
  return found;
}

const twice = (address: Address, gateway: Address, macs: readonly string[]): Seen =>
  fault(
    `egress address ${address} is on two hosts, with the MAC addresses ${macs.join(' and ')}`,
    `take ${address} from the host that is not gateway ${gateway}`,
  );

const nobody = (address: Address, gateway: Address, device: string): Seen =>
  warning(`nobody on ${device} says that it has egress address ${address}`, `on ${gateway}: egress doctor`);
