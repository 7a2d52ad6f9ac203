import fc from 'fast-check';
import { type Address, familyOf, parseAddress } from '../../../src/base/address.ts';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import type { HostObject, PolicyRule } from '../../../src/datapath/objects.ts';
import { tunnelDevice } from '../../../src/datapath/tunnel.ts';
import type { Rule } from '../../../src/nftables/object.ts';
import * as say from '../../../src/nftables/statement.ts';
import type { Match, Program } from '../../../src/policy/match.ts';
import { programDigest, programName } from '../../../src/policy/program.ts';
import { node as sampleNode, tunnel } from './samples.ts';

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

type Members<K> = Omit<Extract<HostObject, { kind: K }>, 'kind'>;

/** An object of one kind, without the keys whose value is undefined. */
const object = <K extends HostObject['kind']>(
  kind: K,
  members: { readonly [M in keyof Members<K>]?: fc.Arbitrary<Members<K>[M] | undefined> },
): fc.Arbitrary<HostObject> =>
  fc.record(members as Record<string, fc.Arbitrary<unknown>>).map((values) => {
    const present = Object.entries(values).filter(([, value]) => value !== undefined);
    return { kind, ...Object.fromEntries(present) } as HostObject;
  });

// Few names and few contents, so that two lists have objects in common: the same ones, and ones that differ.

const family = fc.constantFrom(4 as const, 6 as const);

const statement = fc.constantFrom(
  ...[say.counter, say.isReply, say.markWithout(0x100000)],
  ...[say.verdict({ code: 'drop' }), say.verdict({ code: 'goto', chain: 'exit-7' })],
);

const rule: fc.Arbitrary<Rule> = fc
  .tuple(fc.array(statement, { minLength: 1, maxLength: 2 }), maybe(fc.constantFrom('a', 'b')))
  .map(([statements, comment]) => ({ statements, ...(comment && { comment }) }));

const hook = fc
  .tuple(fc.constantFrom('prerouting' as const, 'postrouting' as const), fc.constantFrom(-90, 101))
  .map(([hook, priority]) => ({ type: 'filter' as const, hook, priority }));

const deviceHook = fc
  .constantFrom('eth1', 'eth2')
  .map((device) => ({ type: 'filter' as const, hook: 'egress' as const, device, priority: 0 }));

/** The other table has objects of the same names. */
const inTable = fc.constantFrom(undefined, 'netdev' as const);

/** Objects of each kind, likely to be about the same thing as others of it. */
const objects: { readonly [K in HostObject['kind']]: fc.Arbitrary<HostObject> } = {
  table: object('table', { family: inTable }),
  set: fc.oneof(
    object('set', {
      name: fc.constantFrom('ranges-a', 'ranges-b'),
      key: fc.constant(['ipv4_addr']),
      intervals: fc.subarray(['10.0.0.0/25', '10.0.0.128/25', '10.0.1.0/24', '192.0.2.7/32']),
    }),
    object('set', {
      family: inTable,
      name: fc.constantFrom('map-a', 'map-b'),
      key: fc.constantFrom(['ipv4_addr'], ['mark', 'ifname']),
      value: fc.constantFrom(undefined, 'verdict', 'ipv6_addr'),
      counter: fc.constantFrom(undefined, true),
    }),
  ),
  chain: fc.oneof(
    object('chain', {
      name: fc.constantFrom('one', 'two', 'three'),
      rules: fc.array(rule, { maxLength: 3 }),
      hook: maybe(hook),
    }),
    object('chain', {
      family: fc.constant('netdev' as const),
      name: fc.constantFrom('one', 'two'),
      rules: fc.array(rule, { maxLength: 1 }),
      hook: deviceHook,
    }),
  ),
  element: object('element', {
    family: inTable,
    set: fc.constantFrom('pods4', 'snat4'),
    key: fc.constantFrom('0a000001', '0a000002'),
    value: fc.constantFrom(undefined, '0a000001', '0a000002'),
    comment: fc.constantFrom(undefined, 'a', 'b'),
  }),
  rule: object('rule', {
    family,
    priority: fc.constantFrom(700, 701),
    action: fc.constantFrom<PolicyRule['action']>('nop', { goto: 702 }, { lookup: 500007 }),
    fwmark: fc.constantFrom(undefined, { value: 7, mask: 0x3fff }),
    input: fc.constantFrom(undefined, 'egress0'),
    invert: fc.constantFrom(undefined, true),
  }),
  route: object('route', {
    family,
    table: fc.constantFrom(500007, 500008),
    type: fc.constantFrom('unicast', 'unreachable'),
    destination: fc.constantFrom(undefined, '192.0.2.0/24'),
    device: fc.constantFrom(undefined, 'eth1', 'eth2'),
    onlink: fc.constantFrom(undefined, true),
    metric: fc.constantFrom(1024, 1),
  }),
  tunnel: object('tunnel', {
    ...{ name: fc.constant('egress0'), vni: fc.constantFrom(1, 2), port: fc.constant(4788) },
    ...{ local: fc.constant('172.18.0.5'), mac: fc.constant('02:e6:ac:12:00:05'), mtu: fc.constantFrom(1450, 1430) },
    ...{ groupPolicy: fc.boolean(), learning: fc.boolean(), up: fc.boolean() },
  }),
  address: object('address', {
    device: fc.constantFrom('eth1', 'egress0'),
    address: fc.constantFrom('172.18.0.5', '192.0.2.50'),
    prefixLength: fc.constant(32),
    scope: fc.constantFrom('global', 'link'),
  }),
  neighbour: object('neighbour', {
    device: fc.constant('egress0'),
    address: fc.constantFrom('172.18.0.6', '172.18.0.7'),
    mac: fc.constantFrom('02:e6:ac:12:00:06', '02:e6:ac:12:00:07'),
  }),
  forwarding: object('forwarding', {
    device: fc.constant('egress0'),
    mac: fc.constantFrom('02:e6:ac:12:00:06', '02:e6:ac:12:00:07'),
    remote: fc.constantFrom('172.18.0.6', '172.18.0.7'),
  }),
  sysctl: object('sysctl', { name: fc.constantFrom('net/a', 'net/b'), value: fc.constantFrom('0', '1', '2') }),
  ingressMark: object('ingressMark', {
    device: fc.constantFrom('veth1', 'veth2'),
    value: fc.constantFrom(0x40003fff, 0x20003fff),
    mask: fc.constantFrom(0x40003fff, 0x20003fff),
  }),
  behind: object('behind', {
    device: fc.constantFrom('lo', 'eth2'),
    address: fc.constantFrom('192.0.2.50', '192.0.2.51'),
  }),
};

/** An object of any kind. */
export const anyObject: fc.Arbitrary<HostObject> = fc.oneof(...Object.values(objects));

/** A node and attachments to it. Programs and exits are shared, and exits share interfaces. */
export interface Situation {
  readonly node: NodeState;
  readonly attachments: readonly SteeredAttachment[];
}

const numbered = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

const anyExit = (id: number): fc.Arbitrary<ResolvedExit> =>
  fc
    .record({
      device: fc.constantFrom('eth1', 'eth2'),
      isDual: fc.boolean(),
      via: maybe(fc.constant('192.0.2.1')),
      hasNetworks: fc.boolean(),
      onUnavailable: maybe(fc.constant('node' as const)),
      gateway: maybe(fc.constantFrom(...tunnel.peers)),
      counts: fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2)),
      addressPerFlow: maybe(fc.constant(true as const)),
    })
    .map(({ device, isDual, via, hasNetworks, onUnavailable, gateway, counts, addressPerFlow }) => ({
      name: `exit${id}`,
      id,
      device: gateway === undefined ? device : tunnelDevice,
      ...(gateway && { gateway }),
      ...(onUnavailable && { onUnavailable }),
      ...(addressPerFlow && { addressPerFlow }),
      ways: [
        {
          ...{ family: 4 as const, addresses: numbered(counts[0]).map((i) => `192.0.2.${10 * i + id}`) },
          ...(!gateway && via && { via, ...(hasNetworks && { networks: ['192.0.2.0/24'] }) }),
        },
        ...(isDual ? [{ family: 6 as const, addresses: numbered(counts[1]).map((i) => `2001:db8::${i}:${id}`) }] : []),
      ],
    }));

const anyMatches = (exits: readonly string[]): fc.Arbitrary<Match[]> =>
  fc
    .record({
      exit: fc.constantFrom('node', 'drop', ...exits),
      destinations4: fc.constantFrom(['0.0.0.0/0'], ['203.0.113.0/24', '198.51.100.7/32']),
      except4: fc.constantFrom([], ['203.0.113.128/25']),
      destinations6: fc.constantFrom([], ['::/0'], ['2001:db8:1::/48']),
    })
    .map(({ exit, destinations4, except4, destinations6 }) => [
      { policy: 'p', family: 4 as const, destinations: destinations4, except: except4, exit },
      ...(destinations6.length > 0
        ? [{ policy: 'p', family: 6 as const, destinations: destinations6, except: [], exit }]
        : []),
    ]);

const anyProgram = (exits: readonly string[]): fc.Arbitrary<Program> =>
  fc.array(anyMatches(exits), { minLength: 1, maxLength: 3 }).map((matches) => matches.flat());

const anyAddresses: fc.Arbitrary<Address[]> = fc
  .tuple(fc.ipV4(), maybe(fc.ipV6()))
  .map((texts) => texts.flatMap((text) => (text && parseAddress(text)) ?? []))
  .filter(([four, six]) => four !== undefined && (six === undefined || familyOf(six) === 6));

/**
 * One to six attachments that have one of three programs each, which lead to some of four exits. Exits and programs all
 * have IPv4: an exit that a program names, but cannot lead to for want of the family, would not stay for its sake.
 */
export const anySituation: fc.Arbitrary<Situation> = fc
  .tuple(...[1, 2, 3, 4].map(anyExit))
  .chain((exits) => {
    const programs = fc.array(anyProgram(exits.map(({ name }) => name)), { minLength: 3, maxLength: 3 });
    const pods = fc.uniqueArray(
      fc.record({ addresses: anyAddresses, program: fc.nat(2), hasSubnet: fc.boolean(), isOld: fc.boolean() }),
      {
        minLength: 1,
        maxLength: 6,
        comparator: (a, b) => a.addresses.some((address) => b.addresses.includes(address)),
      },
    );
    return fc.tuple(fc.constant(exits), programs, pods);
  })
  .map(([exits, programs, pods]) => ({
    node: { ...sampleNode, exits, tunnel },
    attachments: pods.map(({ addresses, program, hasSubnet, isOld }, i) => {
      const [matches, subnets] = [programs[program] ?? [], hasSubnet ? ['192.168.7.0/24'] : []];
      const cluster = isOld ? undefined : ['10.0.0.0/16', 'fd00::/16'];
      return {
        ...(cluster && { cluster }),
        mark: `pods/c${i}/eth0`,
        addresses,
        subnets,
        matches,
        program: programName(programDigest(matches), subnets, cluster),
      };
    }),
  }));
