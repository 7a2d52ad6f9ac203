import type { Gateway, NodeState, SteeredAttachment, Tunnel } from '../../../src/datapath/attachment.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';

/** Two families, each through a router. */
export const partners: ResolvedExit = {
  name: 'partners',
  id: 7,
  device: 'eth1',
  ways: [
    { family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1' },
    { family: 6, addresses: ['fd00:168::245'], via: 'fd00:168::1' },
  ],
};

/** IPv4 alone, to neighbours on the interface. */
export const backup: ResolvedExit = {
  name: 'backup',
  id: 300,
  device: 'eth2',
  ways: [{ family: 4, addresses: ['172.19.0.5'] }],
};

/** Two families, through the tunnel. */
export const remote: ResolvedExit = {
  name: 'remote',
  id: 9,
  device: 'egress0',
  gateway: '172.18.0.6',
  ways: [
    { family: 4, addresses: ['192.0.2.50'] },
    { family: 6, addresses: ['2001:db8:50::1'] },
  ],
};

/** This node's end of a tunnel between IPv4 addresses. */
export const tunnel: Tunnel = {
  ...{ vni: 14597, port: 4788, local: '172.18.0.5', mtu: 1450, families: [4, 6] },
  senders: ['172.18.0.5/32', '172.18.0.6/31'],
  peers: ['172.18.0.6', '172.18.0.7'],
};

/** Serves `partners` to others; one of its addresses was given to the interface by us. */
export const gateway: Gateway = {
  served: [partners.id],
  owned: [{ device: partners.device, address: '192.168.0.245' }],
  moving: ['192.168.0.245', 'fd00:168::245'],
  replies: [
    { destination: '10.0.1.0/24', node: '172.18.0.6' },
    { destination: 'fd00:0:0:1::/64', node: '172.18.0.6' },
    { destination: '10.0.2.0/24', node: '172.18.0.7' },
  ],
};

export const node: NodeState = {
  fwmark: 0x100000,
  inside: ['10.0.0.0/16', '10.96.0.0/12', '169.254.0.0/16', 'fe80::/10'],
  routeTable: 500000,
  rulePriority: 700,
  exits: [partners, backup],
};

/** A pod of both families with one match for each, by the exit `partners`. */
export const attachment = (changes: Partial<SteeredAttachment> = {}): SteeredAttachment => ({
  mark: 'pods/5f1c0d/eth0',
  addresses: ['10.0.0.174', 'fd00::ae'],
  subnets: [],
  cluster: ['10.0.0.0/16', '10.96.0.0/12', '169.254.0.0/16', 'fe80::/10'],
  program: 'program-5f1c',
  matches: [
    { policy: 'p', family: 4, destinations: ['203.0.113.0/24'], except: [], exit: 'partners' },
    { policy: 'p', family: 6, destinations: ['2001:db8::/32'], except: [], exit: 'partners' },
  ],
  ...changes,
});
