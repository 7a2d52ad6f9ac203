import assert from 'node:assert/strict';
import { type Address, contains, familyOf, prefixLength } from '../../../src/base/address.ts';
import { EgressError } from '../../../src/base/errors.ts';
import { keyOf } from '../../../src/datapath/difference.ts';
import type { RouteTaken } from '../../../src/datapath/host.ts';
import type { InterfaceAddress, OutsideObject, Route, Sysctl, TunnelLink } from '../../../src/datapath/objects.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import { tunnelDevice } from '../../../src/datapath/tunnel.ts';

type Kept = Exclude<OutsideObject, Sysctl>;

/** What of ours is not in nftables. What hangs on the tunnel's device comes after it and goes with it. */
export class FakeOutside {
  /** All kernel parameters of the node: there are no others. */
  readonly sysctls = new Map<string, string>();
  /** Whether addresses keep who made them (Linux 5.18). */
  tellsWhoseAddresses = true;
  /** Whether there is an interface of a name, but for the tunnel's; without it there are all. */
  hasDevice: (name: string) => boolean = () => true;
  #tunnel: TunnelLink | undefined;
  readonly #kept = new Map<string, Kept>();

  get tunnel(): TunnelLink | undefined {
    return this.#tunnel;
  }

  /** All but the parameters. */
  list(): Kept[] {
    return [...this.#kept.values()];
  }

  setUp(object: OutsideObject): void {
    if (object.kind === 'sysctl') this.#setSysctl(object);
    else {
      if (object.kind === 'tunnel') this.#setTunnel(object);
      const device = 'device' in object ? object.device : undefined;
      if (device !== undefined && device !== tunnelDevice && !this.hasDevice(device)) {
        if (object.kind === 'ingressMark') return;
        throw new EgressError('kernel-refused', `Setting up ${keyOf(object)}: there is no interface ${device}`);
      }
      assert.ok(device !== tunnelDevice || this.#tunnel, `${keyOf(object)} needs the tunnel's device`);
      assert.ok(
        device !== tunnelDevice || !['route', 'neighbour'].includes(object.kind) || this.#tunnel?.up,
        `${keyOf(object)} needs the device up`,
      );
      this.#kept.set(keyOf(object), object);
    }
  }

  /** That it is gone already is no error. */
  takeDown(object: OutsideObject): void {
    if (object.kind === 'sysctl') this.#setSysctl(object);
    else if (object.kind === 'tunnel') this.#deleteTunnel();
    else this.#kept.delete(keyOf(object));
  }

  /** Those of a list, and on their interfaces those that the kernel knows; without a list those that it knows anywhere. */
  ourAddresses(known?: readonly { readonly device: string; readonly address?: string }[]): InterfaceAddress[] {
    const isListed = ({ device, address }: InterfaceAddress) =>
      known?.some((one) => one.device === device && (this.tellsWhoseAddresses || (one.address ?? address) === address));
    return this.list()
      .filter((object) => object.kind === 'address')
      .filter((object) => isListed(object) ?? this.tellsWhoseAddresses);
  }

  /** The way that our rules and routes give a packet with a mark; `undefined` when they say nothing about it. */
  routeFor(to: Address, mark: number): RouteTaken | undefined {
    const family = familyOf(to);
    const rule = this.list()
      .filter((object) => object.kind === 'rule')
      .find(({ family: of, fwmark, invert }) => {
        return of === family && fwmark && !invert && (mark & fwmark.mask) >>> 0 === fwmark.value;
      });
    const table = rule && typeof rule.action === 'object' && 'lookup' in rule.action ? rule.action.lookup : undefined;
    const lengthOf = ({ destination }: Route) => (destination ? prefixLength(destination) : -1);
    const [route] = this.list()
      .filter((object) => object.kind === 'route')
      .filter((each) => each.table === table && each.family === family)
      .filter(({ destination }) => destination === undefined || contains(destination, to))
      .sort((a, b) => lengthOf(b) - lengthOf(a) || a.metric - b.metric);
    return (
      route && {
        type: route.type,
        table: route.table,
        ...(route.device && { device: route.device }),
        ...(route.via && { via: route.via }),
      }
    );
  }

  #setSysctl({ name, value }: Sysctl): void {
    if (this.sysctls.has(name)) this.sysctls.set(name, value);
  }

  #setTunnel(tunnel: TunnelLink): void {
    if (this.#tunnel !== undefined && fixed(this.#tunnel) !== fixed(tunnel)) this.#deleteTunnel();
    this.#tunnel = tunnel;
    const filter = reversePathName(tunnel.name);
    if (!this.sysctls.has(filter)) this.sysctls.set(filter, '1');
  }

  #deleteTunnel(): void {
    const name = this.#tunnel?.name;
    if (name === undefined) return;
    for (const [key, object] of this.#kept) {
      if (('device' in object && object.device === name) || object.kind === 'tunnel') this.#kept.delete(key);
    }
    this.sysctls.delete(reversePathName(name));
    this.#tunnel = undefined;
  }
}

/** What cannot be changed of a device while it is there. */
const fixed = ({ vni, port, local, groupPolicy, learning }: TunnelLink): string =>
  JSON.stringify([vni, port, local, groupPolicy, learning]);
