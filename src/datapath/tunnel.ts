import { type Address, addressBytes, addressFromBytes, type Family, families, familyOf } from '../base/address.ts';
import { fnv1a } from '../base/fnv1a.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Tunnel } from './attachment.ts';
import type { NodeNumbers } from './layout.ts';
import * as layout from './layout.ts';
import type { HostObject, Mac, OutsideObject, PolicyRule, TunnelLink } from './objects.ts';
import { loose, reversePathName } from './reverse-path.ts';

/** Name of the tunnel's device. */
export const tunnelDevice = 'egress0';

/** Bytes that VXLAN adds to an inner IP packet: outer IP, UDP, its own header, and the inner Ethernet header. */
const overhead = { 4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14 } as const;

/** How long an inner IP packet may be, in bytes, over an underlay of `underlayMtu` between addresses like `local`. */
export const tunnelMtu = (underlayMtu: number, local: Address): number => underlayMtu - overhead[familyOf(local)];

/**
 * The MAC address of a node's end of the tunnel: `02:e6:` (locally administered) and the IPv4 address, or a hash of the
 * IPv6 address. Made from the address alone, so that nobody has to ask for it.
 */
export function tunnelMac(end: Address): Mac {
  const tail = familyOf(end) === 4 ? Buffer.from(addressBytes(end)) : Buffer.alloc(4);
  if (familyOf(end) === 6) tail.writeUInt32BE(fnv1a(end));
  return ['02', 'e6', ...Array.from(tail, (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/**
 * The next hop that stands for a node inside the tunnel. For IPv4 over IPv4 it is the node's address. All else uses the
 * link-local address that belongs to its MAC (RFC 4291, appendix A): routes of IPv4 may have it too (RFC 5549).
 */
export function nextHopOf(end: Address, family: Family): Address {
  if (family === 4 && familyOf(end) === 4) return end;
  const mac = tunnelMac(end)
    .split(':')
    .map((byte) => Number.parseInt(byte, 16));
  const [first = 0, ...rest] = mac;
  const interfaceId = [first ^ 0x02, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  return addressFromBytes(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...interfaceId]));
}

/** The IPv4 dummy address (RFC 7600, section 4.8): for a device that needs some address, and will never send with it. */
const dummyAddress = '192.0.0.8';

/** Whether a device can become the other without being made anew: the kernel changes none of these. */
export function isSameTunnel(a: TunnelLink, b: TunnelLink): boolean {
  const fixed = ['vni', 'port', 'local', 'groupPolicy', 'learning'] as const;
  return fixed.every((name) => a[name] === b[name]);
}

/** The tunnel outside of our tables: its device, neighbours and forwarding entries for the other ends, and its policy rules. */
export const desiredTunnel = (node: NodeNumbers, tunnel: Tunnel): OutsideObject[] => [
  ...desiredDevice(tunnel),
  ...strayRules(node, tunnel),
];

/** What the tunnel's chains look into. */
export const tunnelSets = ({ senders }: Tunnel): HostObject[] => [
  layout.servedMap,
  ...families.map((family) =>
    layout.rangesSet(
      layout.setNames.senders(family),
      family,
      senders.filter((range) => familyOf(range) === family),
    ),
  ),
];

/** The tunnel's chains. Shared chains lead its packets to some of them, those inside and those around them. */
export const tunnelChains = ({ fwmark }: NodeNumbers, tunnel: Tunnel): readonly Chain[] => [
  arrive,
  sendersChain(fwmark, tunnel),
  ...untracked(tunnel),
];

function desiredDevice({ vni, port, local, mtu, families, peers }: Tunnel): OutsideObject[] {
  const device = tunnelDevice;
  const own = familyOf(local) === 4 ? local : dummyAddress;
  return [
    {
      kind: 'tunnel',
      name: device,
      ...{ vni, port, local, mtu, mac: tunnelMac(local), groupPolicy: true, learning: false, up: true },
    },
    // Without any address the reverse path filter drops everything, even when it is loose.
    { kind: 'address', device, address: own, prefixLength: 32, scope: 'link' },
    { kind: 'sysctl', name: reversePathName(device), value: loose },
    ...peers.flatMap((peer): OutsideObject[] => {
      const nextHops = new Set(families.map((family) => nextHopOf(peer, family)));
      const mac = tunnelMac(peer);
      return [
        ...[...nextHops].map((address) => ({ kind: 'neighbour', device, address, mac }) as const),
        { kind: 'forwarding', device, mac, remote: peer },
      ];
    }),
  ];
}

/**
 * A packet that comes out of the tunnel for an exit has no other way than that exit. {@link arrive} says so already.
 * These rules hold when somebody flushes the ruleset: the gateway's own routes would send the packet out as it came.
 * Answers to pods have no id, nor has the question of the reverse path filter where a packet into the tunnel came from.
 */
function strayRules({ rulePriority, fwmark }: NodeNumbers, { families }: Tunnel): PolicyRule[] {
  const { noExit, stray, end } = layout.tunnelPriorities(rulePriority);
  return families.flatMap((family): PolicyRule[] => [
    {
      kind: 'rule',
      family,
      priority: noExit,
      fwmark: { value: 0, mask: layout.exitIdMask },
      action: { goto: end },
    },
    {
      kind: 'rule',
      family,
      priority: stray,
      input: tunnelDevice,
      fwmark: { value: 0, mask: fwmark }, // with our bit an exit may say where else it leaves
      action: 'unreachable',
    },
    { kind: 'rule', family, priority: end, action: 'nop' },
  ]);
}

/** Our policy rules of the tunnel, not of exits, known by their content at any priority. */
export function tunnelRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const jumps = rules.filter(({ fwmark }) => fwmark?.value === 0 && fwmark.mask === layout.exitIdMask);
  const isLanding = ({ action, priority }: PolicyRule) =>
    action === 'nop' &&
    jumps.some(({ action }) => typeof action === 'object' && 'goto' in action && action.goto === priority);
  return rules.filter((rule) => jumps.includes(rule) || rule.input === tunnelDevice || isLanding(rule));
}

const done = say.verdict({ code: 'return' });
const drop = [say.counter, say.verdict({ code: 'drop' })] as const;

/**
 * A packet out of the tunnel is for an exit that is served here, or an answer to a pod of ours, or the question of
 * another node whether an egress address is here: a ping of an address that the node has. All others are dropped.
 */
const arrive = chain(layout.chainNames.arrive, [
  rule(say.markVerdict(layout.setNames.served)),
  rule(say.isReply, done),
  ...families.map((family) => rule(say.isProtocol('icmp', family), say.destinationIsLocal, done)),
  rule(...drop),
]);

/**
 * VXLAN authenticates nobody. Only nodes may send to our port, by the interface that leads to them, and only to the
 * tunnel's own address: the kernel's socket would take packets at any address of the node. Nobody behind this node sends to
 * the port, wherever it points: masqueraded, the packet of a pod would come from a node. All that is asked before routing, of
 * the destination behind everybody's translation, so that what is let through has no other chain to pass. It has no mark of
 * ours from there on: what is in it would have that, too, where it brings no group.
 */
const sendersChain = (fwmark: number, { local }: Tunnel): Chain =>
  chain(layout.chainNames.senders, [
    rule(
      say.destinationIs(local),
      say.sourceIn(familyOf(local), layout.setNames.senders(familyOf(local)), { first: false }),
      say.arrivesNotBy('lo'), // of this the kernel says that all sources are behind it
      say.sourceIsBehindInput(true),
      say.keepMark(~layout.markMask(fwmark) >>> 0),
      done,
    ),
    rule(...drop),
  ]);

/**
 * Connections are tracked inside the tunnel; around it they would be one for each hash of an inner flow. All of the node's
 * packets come here, and most go with the first question. The tunnel's packets have the family of its end.
 */
function untracked({ port, local }: Tunnel): Chain[] {
  const family = familyOf(local);
  const senders = layout.setNames.senders(family);
  const chainOf = (name: string, hook: 'prerouting' | 'output', isAtNode: Statement): Chain =>
    chain(name, [rule(say.udpDestinationPort(port), isAtNode, say.notrack)], { type: 'filter', hook, priority: -300 });
  return [
    chainOf(layout.chainNames.untrackedIn, 'prerouting', say.sourceIn(family, senders, { first: true })),
    chainOf(layout.chainNames.untrackedOut, 'output', say.destinationIn(family, senders, { first: true })),
  ];
}
