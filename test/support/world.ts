import { addressBytes } from '../../src/base/address.ts';
import type { Namespace } from './namespace.ts';
import { program, tool } from './tools.ts';

/**
 * The world around the nodes, in the addresses of the documents that the project started from. `front` is the network
 * that nodes have their default route on; `back` is one that only nodes with a second uplink reach. The outside host of
 * each answers for all of `outside`, so one destination shows by which network, and from which address, it was reached.
 */
export const world = {
  front: { interface: 'eth0', gateway: ['172.18.0.1', 'fd00:172::1'], host: ['172.18.0.100', 'fd00:172::100'] },
  back: { interface: 'eth1', gateway: ['192.168.0.1', 'fd00:168::1'], host: ['192.168.0.1', 'fd00:168::1'] },
  outside: ['203.0.113.0/24', '2001:db8::/32'],
  /** Two addresses of `outside`, for when any will do. */
  service: ['203.0.113.9', '2001:db8::9'],
  /** Two more, in the part of `outside` that policies with an exception leave alone. */
  excepted: ['203.0.113.200', '2001:db8:8000::9'],
  exceptions: ['203.0.113.128/25', '2001:db8:8000::/33'],
  cluster: ['10.0.0.0/16', '10.96.0.0/12', 'fd00:10::/48', 'fd00:96::/112'],
  /** The source address that the exit of the lab gives. */
  exitAddress: ['192.168.0.245', 'fd00:168::245'],
} as const;

/** A network outside of the nodes. */
export type FabricName = 'front' | 'back';

/** The MAC address that {@link Fabric.plug} gives, made from the IPv4 address as in `02:00:ac:12:00:05`. */
export function hardwareAddress([first = '']: readonly string[]): string {
  const bytes = addressBytes(first.replace(/\/.*/, ''));
  return ['02', '00', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** The outside host is also the router that nodes send to. */
const hostAddresses = {
  front: ['172.18.0.1/16', 'fd00:172::1/64', '172.18.0.100/16', 'fd00:172::100/64'],
  back: ['192.168.0.1/24', 'fd00:168::1/64'],
} as const;

/** A switch in a namespace of its own, and the outside host on it. Captures are made at the ports of the switch. */
export class Fabric {
  readonly name: FabricName;
  readonly namespace: Namespace;
  readonly host: Namespace;

  private constructor(name: FabricName, namespace: Namespace, host: Namespace) {
    this.name = name;
    this.namespace = namespace;
    this.host = host;
  }

  /** Makes the switch in one namespace, and of another the outside host, which serves all of `world.outside`. */
  static async create(name: FabricName, namespace: Namespace, host: Namespace): Promise<Fabric> {
    await namespace.ip('link add switch type bridge', 'link set switch up');
    const fabric = new Fabric(name, namespace, host);
    await fabric.plug(host, 'outside', 'eth0', hostAddresses[name]);
    await host.ip(...world.outside.map((prefix) => `route add local ${prefix} dev lo`));
    await serve(host);
    return fabric;
  }

  /** Plugs a machine in: gives it an interface with addresses, whose other end is the switch's port `port`. */
  async plug(machine: Namespace, port: string, device: string, addresses: readonly string[]): Promise<void> {
    const peer = `address ${hardwareAddress(addresses)} netns ${machine.name}`;
    await this.namespace.ip(
      `link add ${port} type veth peer name ${device} ${peer}`,
      `link set ${port} master switch up`,
    );
    const adding = addresses.map((address) => `address add ${address} dev ${device}`);
    await machine.ip(`link set ${device} up`, ...adding);
    await machine.sysctl({ [`net.ipv4.conf.${device}.rp_filter`]: 1 });
  }
}

/** Starts the service that answers with the address that it was asked from; see programs/echo.py. */
export async function serve(machine: Namespace): Promise<void> {
  await machine.start([tool('python3'), program('echo.py')], 'ready');
}
