import fc from 'fast-check';
import { parseAddress, parsePrefix } from '../../../src/base/address.ts';
import { recordVersion } from '../../../src/store/migration.ts';
import type { AttachmentRecord, NodeRecord } from '../../../src/store/record.ts';

/** A record as a bridge network on Kubernetes gives it. */
export const sample = (changes: Partial<AttachmentRecord> = {}): AttachmentRecord => ({
  version: recordVersion,
  network: 'pods',
  containerId: '5f1c0d',
  ifname: 'eth0',
  pod: { namespace: 'default', name: 'web-0', uid: '0b1c' },
  addresses: ['10.0.0.174', 'fd00::ae'],
  subnets: ['10.0.0.0/24', 'fd00::/64'],
  links: [{ name: 'veth5f1c', index: 7 }],
  program: 'program-5f1c',
  outline: [
    { policy: 'partners', family: 4, destinations: ['203.0.113.0/24'], except: ['203.0.113.9/32'], exit: 'partners' },
  ],
  ...changes,
});

export const sampleNode: NodeRecord = {
  version: recordVersion,
  fwmark: 0x100000,
  routeTable: 14000,
  rulePriority: 1000,
  inside: ['10.0.0.0/16'],
  clusterCIDRs: ['10.0.0.0/16'],
  exits: [
    {
      name: 'partners',
      id: 7,
      device: 'eth1',
      ways: [{ family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1' }],
    },
  ],
  sysctls: { 'net/ipv4/conf/eth1/rp_filter': '1' },
  addresses: [],
};

/** As JSON.parse makes objects, not without a prototype. */
const plain = { noNullPrototype: true };

const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/);
const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text) ?? '');
const prefix = fc.tuple(address, fc.nat(32)).map(([text, length]) => parsePrefix(`${text}/${length}`) ?? '');
const family = fc.constantFrom(4 as const, 6 as const);
const version = fc.constant(recordVersion);

const match = fc.record(
  {
    policy: name,
    family,
    destinations: fc.array(prefix, { minLength: 1 }),
    except: fc.array(prefix),
    exit: name,
  },
  plain,
);

const exit = fc.record(
  {
    name,
    id: fc.integer({ min: 1, max: 16383 }),
    device: name,
    ways: fc.array(
      fc.record(
        { family, addresses: fc.array(address, { minLength: 1 }), via: address, networks: fc.array(prefix) },
        { requiredKeys: ['family', 'addresses'], ...plain },
      ),
    ),
    gateway: address,
    onUnavailable: fc.constant('node' as const),
  },
  { requiredKeys: ['name', 'id', 'device', 'ways'], ...plain },
);

const tunnel = fc.record(
  {
    ...{ vni: fc.nat(0xffffff), port: fc.nat(0xffff), local: address, mtu: fc.nat(0xffff) },
    ...{ families: fc.subarray([4, 6] as const), senders: fc.array(prefix), peers: fc.array(address) },
  },
  plain,
);

const held = fc.array(fc.record({ device: name, address }, plain));

const gateway = fc.record(
  {
    served: fc.array(fc.integer({ min: 1, max: 16383 })),
    owned: held,
    replies: fc.array(fc.record({ destination: prefix, node: address }, plain)),
  },
  plain,
);

/** Any record of an attachment that can be. */
export const anyRecord: fc.Arbitrary<AttachmentRecord> = fc.record(
  {
    version,
    network: name,
    containerId: name,
    ifname: fc.stringMatching(/^[!-.0-9;-~]{1,15}$/),
    pod: fc.record({ namespace: fc.string(), name: fc.string(), uid: fc.string() }, { requiredKeys: [], ...plain }),
    addresses: fc.array(address),
    subnets: fc.array(prefix),
    links: fc.array(fc.record({ name, index: fc.nat() }, plain)),
    cluster: fc.array(prefix),
    program: fc.stringMatching(/^program-[0-9a-f]{1,24}$/),
    outline: fc.array(match),
  },
  {
    requiredKeys: [
      ...(['version', 'network', 'containerId', 'ifname', 'pod', 'addresses', 'subnets', 'links'] as const),
      ...(['program', 'outline'] as const),
    ],
    ...plain,
  },
);

/** Any record of a node that can be. */
export const anyNodeRecord: fc.Arbitrary<NodeRecord> = fc.record(
  {
    version,
    fwmark: fc.nat(0xffffffff),
    routeTable: fc.nat(0xffffffff),
    rulePriority: fc.nat(0xffffffff),
    inside: fc.array(prefix),
    clusterCIDRs: fc.array(prefix),
    exits: fc.array(exit),
    tunnel,
    gateway,
    sysctls: fc.dictionary(name, fc.string(), plain),
    addresses: held,
  },
  {
    requiredKeys: ['version', 'fwmark', 'routeTable', 'rulePriority', 'exits', 'sysctls', 'addresses'],
    ...plain,
  },
);
