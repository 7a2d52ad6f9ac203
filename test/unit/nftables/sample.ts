import type {
  Chain,
  Element,
  NftObject,
  NftSet,
  Operation,
  Rule,
  Statement,
  Table,
} from '../../../src/nftables/object.ts';
import {
  arrivesBy,
  arrivesNotBy,
  clampToRoute,
  counter,
  destinationIn,
  destinationPortIn,
  destinationTypeIn,
  family,
  icmpOfConnection,
  icmpOfConnectionTo,
  isNotProtocol,
  isProtocol,
  isReply,
  isSyn,
  keepMark,
  laterFragment,
  leavesBy,
  markDeviceIn,
  markDeviceSourceIn,
  markDeviceVerdict,
  markIn,
  markSourceVerdict,
  markVerdict,
  markWithout,
  masquerade,
  notrack,
  replyDestinationIn,
  setMark,
  snatByMarkAndDevice,
  snatBySource,
  snatBySourcePort,
  snatToPorts,
  snatToSource,
  sourceIn,
  sourceIsLocal,
  sourceVerdict,
  udpDestinationPort,
  verdict,
} from '../../../src/nftables/statement.ts';

/** A table with every kind of object that we can write, for tests of the text, of the bytes and of the kernel. */

const flag = 0x00100000;
const idMask = 0x3fff;

const tcpPort443: Statement = {
  text: 'tcp dport 443',
  expressions: [
    { name: 'meta', key: 'l4proto', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: '06' },
    { name: 'payload', base: 'transport', offset: 2, length: 2, dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: '01bb' },
  ],
};

const tunnel = 'egress0';
const tunnelPort = 4788;

export const sets = {
  pods4: { kind: 'set', name: 'pods4', key: ['ipv4_addr'], value: 'verdict', counter: true },
  pods6: { kind: 'set', name: 'pods6', key: ['ipv6_addr'], value: 'verdict', counter: true },
  snat4: { kind: 'set', name: 'snat4', key: ['mark', 'ifname'], value: 'ipv4_addr' },
  snat6: { kind: 'set', name: 'snat6', key: ['mark', 'ifname'], value: 'ipv6_addr' },
  lanes4: { kind: 'set', name: 'lanes4', key: ['mark', 'ifname', 'ipv4_addr'], counter: true },
  lanes6: { kind: 'set', name: 'lanes6', key: ['mark', 'ifname', 'ipv6_addr'], counter: true },
  local: { kind: 'set', name: 'local', key: ['fib_addrtype'] },
  cluster4: {
    kind: 'set',
    name: 'cluster4',
    key: ['ipv4_addr'],
    intervals: ['10.0.0.0/16', '10.1.0.0/24', '10.96.0.0/12', '192.0.2.7/32'],
  },
  cluster6: { kind: 'set', name: 'cluster6', key: ['ipv6_addr'], intervals: ['fd00::/64', 'ff00::/8'] },
  everything4: { kind: 'set', name: 'everything4', key: ['ipv4_addr'], intervals: ['0.0.0.0/0'] },
  served: { kind: 'set', name: 'served', key: ['mark'], value: 'verdict' },
  tunnels: { kind: 'set', name: 'tunnels', key: ['mark'] },
  sources4: { kind: 'set', name: 'sources4', key: ['ipv4_addr'] },
  sources6: { kind: 'set', name: 'sources6', key: ['ipv6_addr'] },
  egress4: { kind: 'set', name: 'egress4', key: ['ipv4_addr'] },
  egress6: { kind: 'set', name: 'egress6', key: ['ipv6_addr'] },
  ports: { kind: 'set', name: 'ports', key: ['inet_service'], intervals: ['25', '5060-5061', '65535'] },
  lowPorts: { kind: 'set', name: 'lowPorts', key: ['inet_service'], intervals: ['0-1023', '8080'] },
  spread: { kind: 'set', name: 'spread', key: ['mark', 'ifname'], value: 'verdict' },
  slots4: { kind: 'set', name: 'slots4', key: ['ipv4_addr'], value: 'ipv4_addr' },
  slots6: { kind: 'set', name: 'slots6', key: ['ipv6_addr'], value: 'ipv6_addr' },
  flows4: { kind: 'set', name: 'flows4', key: ['inet_service'], value: 'ipv4_addr' },
  flows6: { kind: 'set', name: 'flows6', key: ['inet_service'], value: 'ipv6_addr' },
  blocks4: { kind: 'set', name: 'blocks4', key: ['mark', 'ipv4_addr'], value: 'verdict' },
  blocks6: { kind: 'set', name: 'blocks6', key: ['mark', 'ipv6_addr'], value: 'verdict' },
} as const satisfies Record<string, NftSet>;

const rule = (statements: readonly Statement[], comment?: string): Rule => ({
  statements,
  ...(comment !== undefined && { comment }),
});
const returns = verdict({ code: 'return' });
const drop = verdict({ code: 'drop' });
const block = { first: 1024, last: 2047 };

export const chains = {
  exit: {
    kind: 'chain',
    name: 'exit-7',
    rules: [rule([counter, setMark(flag | idMask, flag | 7)], 'internet'), rule([counter, drop])],
  },
  program: {
    kind: 'chain',
    name: 'program-a',
    rules: [
      rule([destinationIn(4, 'cluster4', { first: true }), returns]),
      rule([
        destinationIn(4, 'everything4', { first: true }),
        destinationIn(4, 'cluster4', { first: false, not: true }),
        tcpPort443,
        verdict({ code: 'goto', chain: 'exit-7' }),
      ]),
      rule([destinationIn(6, 'cluster6', { first: true }), verdict({ code: 'jump', chain: 'exit-7' })]),
      rule([arrivesNotBy(tunnel), verdict({ code: 'accept' })]),
    ],
  },
  ports: {
    kind: 'chain',
    name: 'program-b',
    rules: [
      rule([family(4), destinationPortIn('tcp', 'ports'), returns]),
      rule([destinationIn(4, 'everything4', { first: true }), icmpOfConnectionTo('tcp', 4, 'ports'), returns]),
      rule([destinationIn(6, 'cluster6', { first: true }), destinationPortIn('sctp', 'lowPorts'), returns]),
      rule([destinationIn(6, 'cluster6', { first: true }), icmpOfConnectionTo('sctp', 6, 'lowPorts'), returns]),
      rule([family(6), isProtocol('udp'), returns]),
      rule([destinationIn(6, 'cluster6', { first: true, not: true }), icmpOfConnection('udp', 6), returns]),
      rule([destinationIn(4, 'cluster4', { first: true }), icmpOfConnection('icmp', 4), drop]),
      rule([destinationIn(6, 'cluster6', { first: true, not: true }), icmpOfConnection('icmp', 6), drop]),
    ],
  },
  classify: {
    kind: 'chain',
    name: 'classify',
    hook: { type: 'filter', hook: 'prerouting', priority: -90 },
    rules: [
      rule([isReply, returns]),
      rule([destinationTypeIn('local'), returns]),
      rule([sourceVerdict(4, 'pods4')]),
      rule([sourceVerdict(6, 'pods6')]),
    ],
  },
  nat: {
    kind: 'chain',
    name: 'nat',
    hook: { type: 'nat', hook: 'postrouting', priority: 95 },
    rules: [
      rule([markWithout(flag), returns]),
      rule([leavesBy(tunnel), snatToSource(4)]),
      rule([leavesBy(tunnel), snatToSource(6)]),
      rule([snatByMarkAndDevice(4, idMask, 'snat4')]),
      rule([snatByMarkAndDevice(6, idMask, 'snat6')]),
      rule([masquerade]),
    ],
  },
  guard: {
    kind: 'chain',
    name: 'guard',
    hook: { type: 'filter', hook: 'postrouting', priority: 101 },
    rules: [
      rule([sourceIsLocal, markDeviceSourceIn(4, idMask, 'lanes4'), returns]),
      rule([sourceIsLocal, markDeviceSourceIn(6, idMask, 'lanes6'), returns]),
      rule([family(4), counter, drop]),
    ],
  },
  untracked: {
    kind: 'chain',
    name: 'untracked',
    hook: { type: 'filter', hook: 'prerouting', priority: -300 },
    rules: [
      rule([arrivesNotBy(tunnel), udpDestinationPort(tunnelPort), notrack]),
      rule([arrivesNotBy(tunnel), markVerdict('served')]),
      rule([arrivesBy(tunnel), isNotProtocol(4), sourceIn(4, 'sources4', { first: true, not: true }), drop]),
    ],
  },
  untrackedOutput: {
    kind: 'chain',
    name: 'untracked-output',
    hook: { type: 'filter', hook: 'output', priority: -300 },
    rules: [rule([udpDestinationPort(tunnelPort), notrack])],
  },
  tunnelInput: {
    kind: 'chain',
    name: 'tunnel-input',
    hook: { type: 'filter', hook: 'input', priority: 0 },
    rules: [
      rule([udpDestinationPort(tunnelPort), sourceIn(4, 'sources4', { first: true }), returns]),
      rule([udpDestinationPort(tunnelPort), sourceIn(6, 'sources6', { first: true }), returns]),
      rule([udpDestinationPort(tunnelPort), counter, drop]),
    ],
  },
  forward: {
    kind: 'chain',
    name: 'forward',
    hook: { type: 'filter', hook: 'forward', priority: -150 },
    rules: [
      rule([leavesBy(tunnel), isSyn, clampToRoute]),
      rule([
        isReply,
        replyDestinationIn(4, 'egress4'),
        destinationIn(4, 'cluster4', { first: true }),
        setMark(flag | idMask, flag | 7),
      ]),
      rule([
        isReply,
        replyDestinationIn(6, 'egress6'),
        destinationIn(6, 'cluster6', { first: true }),
        setMark(flag | idMask, flag | 7),
      ]),
      rule([markIn(idMask, 'tunnels'), keepMark(idMask)]),
    ],
  },
  addresses: {
    kind: 'chain',
    name: 'exit-7-snat',
    rules: [
      rule([snatBySource(4, 63, 'slots4')]),
      rule([snatBySource(6, 63, 'slots6')]),
      rule([snatBySourcePort(4, 63, 'flows4')]),
      rule([snatBySourcePort(6, 63, 'flows6')]),
    ],
  },
  block: {
    kind: 'chain',
    name: 'ports-7-10.0.0.174',
    rules: [
      rule([leavesBy('eth1'), isProtocol('tcp'), snatToPorts(4, '192.168.0.245', block)], 'net/abc/eth0'),
      rule([leavesBy('eth1'), isProtocol('udp'), snatToPorts(6, 'fd00:168::245', block)]),
      rule([leavesBy(tunnel), isProtocol('icmp', 4), snatToPorts(4, undefined, block)]),
      rule([leavesBy(tunnel), isProtocol('icmp', 6), snatToPorts(6, undefined, block)]),
    ],
  },
  spread: {
    kind: 'chain',
    name: 'spread',
    hook: { type: 'nat', hook: 'postrouting', priority: 94 },
    rules: [
      rule([markSourceVerdict(4, idMask, 'blocks4')]),
      rule([markSourceVerdict(6, idMask, 'blocks6')]),
      rule([markDeviceVerdict(idMask, 'spread')]),
    ],
  },
} as const satisfies Record<string, Chain>;

export const elements = {
  pod4: {
    kind: 'element',
    set: 'pods4',
    key: '0a0000ae',
    verdict: { code: 'goto', chain: 'program-a' },
    comment: 'net/abc/eth0',
  },
  drop4: { kind: 'element', set: 'pods4', key: '0a0000af', verdict: { code: 'drop' } },
  pod6: {
    kind: 'element',
    set: 'pods6',
    key: 'fd0000000000000000000000000000ae',
    verdict: { code: 'goto', chain: 'program-a' },
    comment: 'net/abc/eth0',
  },
  snat4: { kind: 'element', set: 'snat4', key: '0700000065746831000000000000000000000000', value: 'ac120021' },
  snat6: {
    kind: 'element',
    set: 'snat6',
    key: '0700000065746831000000000000000000000000',
    value: 'fd000000000000000000000000000033',
  },
  lane4: { kind: 'element', set: 'lanes4', key: '0700000065746831000000000000000000000000ac120021' },
  lane6: {
    kind: 'element',
    set: 'lanes6',
    key: '0700000065746831000000000000000000000000fd000000000000000000000000000033',
  },
  local: { kind: 'element', set: 'local', key: '02000000' },
  multicast: { kind: 'element', set: 'local', key: '05000000' },
  served: { kind: 'element', set: 'served', key: '07000000', verdict: { code: 'goto', chain: 'program-a' } },
  tunnel: { kind: 'element', set: 'tunnels', key: '07000000' },
  source4: { kind: 'element', set: 'sources4', key: 'ac120022' },
  source6: { kind: 'element', set: 'sources6', key: 'fd000000000000000000000000000034' },
  egress4: { kind: 'element', set: 'egress4', key: 'ac120021' },
  spread: {
    kind: 'element',
    set: 'spread',
    key: '0700000065746831000000000000000000000000',
    verdict: { code: 'jump', chain: 'exit-7-snat' },
  },
  block4: {
    kind: 'element',
    set: 'blocks4',
    key: '070000000a0000ae',
    verdict: { code: 'jump', chain: 'ports-7-10.0.0.174' },
    comment: 'net/abc/eth0',
  },
  block6: {
    kind: 'element',
    set: 'blocks6',
    key: '07000000fd0000000000000000000000000000ae',
    verdict: { code: 'jump', chain: 'ports-7-10.0.0.174' },
  },
  slot4: { kind: 'element', set: 'slots4', key: '0000003f', value: 'ac120021' },
  slot6: {
    kind: 'element',
    set: 'slots6',
    key: '0000000000000000000000000000003f',
    value: 'fd000000000000000000000000000033',
  },
  flow4: { kind: 'element', set: 'flows4', key: '003f', value: 'ac120021' },
  flow6: { kind: 'element', set: 'flows6', key: '0000', value: 'fd000000000000000000000000000033' },
  egress6: { kind: 'element', set: 'egress6', key: 'fd000000000000000000000000000033' },
} as const satisfies Record<string, Element>;

/** Objects in the table of the family netdev, in an order that the kernel takes. */
export const counting = {
  table: { kind: 'table', family: 'netdev' },
  set: { kind: 'set', family: 'netdev', name: 'sent', key: ['mark', 'ifname'], counter: true },
  chain: {
    kind: 'chain',
    family: 'netdev',
    name: 'sent-lo',
    hook: { type: 'filter', hook: 'egress', device: 'lo', priority: 0 },
    rules: [rule([laterFragment(4), returns]), rule([laterFragment(6), returns]), rule([markDeviceIn(idMask, 'sent')])],
  },
  element: { kind: 'element', family: 'netdev', set: 'sent', key: '070000006c6f0000000000000000000000000000' },
} as const satisfies Record<string, Table | NftObject>;

/** Both tables, in an order that the kernel takes: what is named comes before what names it. */
export const everything: readonly Operation[] = [
  { verb: 'add', object: { kind: 'table' } },
  ...[...Object.values(sets), ...Object.values(chains), ...Object.values(elements)].map(
    (object): Operation => ({ verb: 'add', object }),
  ),
  ...Object.values(counting).map((object): Operation => ({ verb: 'add', object })),
];

/** Takes away what {@link everything} made, piece by piece. */
export const removal: readonly Operation[] = [
  { verb: 'flush', object: chains.guard },
  { verb: 'delete', object: elements.pod4 },
  { verb: 'delete', object: elements.lane6 },
  { verb: 'delete', object: chains.guard },
  { verb: 'delete', object: sets.lanes4 },
  { verb: 'delete', object: { kind: 'table' } },
  { verb: 'delete', object: counting.element },
  { verb: 'flush', object: counting.chain },
  { verb: 'delete', object: counting.chain },
  { verb: 'delete', object: counting.set },
  { verb: 'delete', object: counting.table },
];
