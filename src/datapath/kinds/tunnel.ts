import type { Address } from '../../base/address.ts';
import type { Mac } from '../link.ts';
import { noInterface, type OutsideKind, ofKind } from './kind.ts';

/** Our tunnel device: VXLAN with group policy, without any default remote. */
export interface TunnelLink {
  readonly kind: 'tunnel';
  readonly name: string;
  /** VXLAN network identifier: 1…16777215. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Underlay address that packets are sent from. */
  readonly local: Address;
  readonly mac: Mac;
  /** Bytes of an inner IP packet. */
  readonly mtu: number;
  /** The low 16 bits of the packet mark travel in the header (IFLA_VXLAN_GBP). */
  readonly groupPolicy: boolean;
  /** The device learns forwarding entries from incoming packets (IFLA_VXLAN_LEARNING): never ours. */
  readonly learning: boolean;
  /** Administratively up. */
  readonly up: boolean;
}

/** It lets packets in, so it is opened after the transaction, and set down before all else: see `operations.ts`. */
export const tunnel: OutsideKind<TunnelLink> = {
  key: ({ name }) => `tunnel ${name}`,
  text: ({ name }) => `tunnel device ${name}`,
  describe: describeTunnel,
  command: (link, verb) => (verb === 'add' ? addTunnel(link) : `ip link del ${link.name}`),
  needsUp: noInterface,
  hasMark: false,
  goes: () => 'last',
  released: ({ outside }, { hasTunnel }) => (hasTunnel ? [] : ofKind(outside, 'tunnel')),
};

const words = {
  vni: 'VNI',
  port: 'port',
  local: 'local address',
  mac: 'MAC address',
  mtu: 'MTU',
  groupPolicy: 'group policy',
  learning: 'learning',
  up: 'up',
} as const satisfies Record<keyof Omit<TunnelLink, 'kind' | 'name'>, string>;

function describeTunnel(desired: TunnelLink, observed: TunnelLink): string[] {
  const properties = Object.keys(words) as (keyof typeof words)[];
  return properties
    .filter((property) => desired[property] !== observed[property])
    .map(
      (property) =>
        `tunnel device ${desired.name}: ${words[property]} is ${observed[property]}, expected ${desired[property]}`,
    );
}

/** The command that takes the device up or down. */
export const setTunnelUp = ({ name, up }: TunnelLink): string => `ip link set ${name} ${up ? 'up' : 'down'}`;

function addTunnel(tunnel: TunnelLink): string {
  const { name, vni, port, local, mac, mtu, groupPolicy, learning, up } = tunnel;
  return [
    `ip link add ${name} address ${mac} mtu ${mtu} group 230 type vxlan id ${vni} dstport ${port} local ${local}`,
    learning ? 'learning' : 'nolearning',
    ...(groupPolicy ? ['gbp'] : []),
    `&& ip link set ${name} addrgenmode none`,
    ...(up ? [`&& ${setTunnelUp(tunnel)}`] : []),
  ].join(' ');
}
