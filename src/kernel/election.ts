import { type Address, contains, type Family, familyOf } from '../base/address.ts';
import type { HeldAddress } from '../datapath/host.ts';
import type { InterfaceAddress } from '../datapath/objects.ts';
import type { HintTargets } from '../election/plan.ts';
import type { Listener, Place, Segment, Surroundings } from '../election/surroundings.ts';
import { deleteFlowsToAny } from './conntrack/flows.ts';
import { listen } from './netlink/notifications.ts';
import { NetlinkSocket, protocols } from './netlink/socket.ts';
import { sendHints } from './packet/hint.ts';
import { NeighbourSocket } from './packet/neighbour-socket.ts';
import { ReadableSockets } from './packet/readable.ts';
import { VrrpSocket } from './packet/vrrp-socket.ts';
import { addAddress, deleteAddress, listAddresses } from './rtnetlink/address.ts';
import { isLinkRunning, readLink } from './rtnetlink/link.ts';

/** What elections ask of Linux: sockets on segments, addresses on interfaces, timers. */
export class LinuxElection implements Surroundings, Disposable {
  readonly #route = new NetlinkSocket(protocols.route);
  readonly #sockets = new ReadableSockets();
  #netfilter: NetlinkSocket | undefined;
  readonly #changed: () => void;
  #hints: HintTargets | undefined;
  #isHinting = false;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** From now on hints go to these nodes, and to no others. */
  hintTo(targets: HintTargets | undefined): void {
    this.#hints = targets;
  }

  hint(): void {
    if (this.#hints === undefined || this.#isHinting) return;
    const targets = this.#hints;
    this.#isHinting = true; // all routers of a node that move at once make one hint
    setImmediate(() => {
      this.#isHinting = false;
      sendHints(targets);
    });
  }

  changed(): void {
    this.#changed();
  }

  now(): number {
    return performance.now();
  }

  date(): string {
    return new Date().toISOString();
  }

  at(time: number, call: () => void): Disposable {
    const timer = setTimeout(call, Math.max(0, time - this.now()));
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  }

  async find(device: string, family: Family): Promise<Place | string> {
    const link = await readLink(this.#route, device);
    if (link === undefined) return `there is no interface ${device}`;
    if (!(await isLinkRunning(this.#route, device))) return `interface ${device} is down or has no carrier`;
    if (link.mac === undefined) return `interface ${device} has no stations with MAC addresses`;
    const addresses = await listAddresses(this.#route, link.index);
    const source = (family === 4 ? primary4 : primary6)(addresses.filter((held) => held.family === family));
    if (source === undefined)
      return `interface ${device} has no ${family === 4 ? 'IPv4 address of its own' : 'link-local IPv6 address in use'}`;
    const { name, index, mac } = link;
    return { name, index, mac, source, held: addresses.map(({ address }) => address) };
  }

  isRunning(device: string): Promise<boolean> {
    return isLinkRunning(this.#route, device);
  }

  open({ name, index, mac, source }: Place, family: Family, listener: Listener): Segment {
    const place = { family, device: { name, index }, mac, source };
    const listen = () => new VrrpSocket(this.#sockets, place, (said, from) => listener.heard(said, from));
    const routers = listen();
    try {
      const stations = new NeighbourSocket(this.#sockets, place, (claim) => listener.claimed(claim));
      return segmentOf(source, { routers, listen }, stations);
    } catch (error) {
      routers[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * What conntrack knows of an address that comes is outdated if it was here before: it would call packets of connections invalid
   * that went on elsewhere. The agent may not have come to forget it. As soon as the address is here they are introduced anew.
   */
  async give(device: string, addresses: readonly Address[]): Promise<void> {
    const index = await this.#indexOf(device);
    const here = new Set((await listAddresses(this.#route, index)).map(({ address }) => address));
    await this.#forget(addresses.filter((address) => !here.has(address)));
    for (const address of addresses) await addAddress(this.#route, objectOf(device, address), index);
  }

  /** A kernel that refuses keeps nobody from serving. */
  async #forget(addresses: readonly Address[]): Promise<void> {
    try {
      this.#netfilter ??= new NetlinkSocket(protocols.netfilter);
      await deleteFlowsToAny(this.#netfilter, addresses);
    } catch {
      this.#netfilter?.close(); // a socket that had an error is of no use any more
      this.#netfilter = undefined;
    }
  }

  async take(device: string, addresses: readonly Address[]): Promise<void> {
    const index = await this.#indexOf(device);
    for (const address of addresses) await deleteAddress(this.#route, objectOf(device, address), index);
  }

  async #indexOf(device: string): Promise<number> {
    const link = await readLink(this.#route, device);
    if (link === undefined) throw new Error(`There is no interface ${device}`);
    return link.index;
  }

  /** Calls back after changes of interfaces, addresses and routes, until disposed of. */
  watch(changed: () => void): Disposable {
    return listen(changed);
  }

  [Symbol.dispose](): void {
    this.#sockets[Symbol.dispose]();
    this.#route.close();
    this.#netfilter?.close();
  }
}

function segmentOf(
  source: Address,
  { routers: first, listen }: { readonly routers: VrrpSocket; readonly listen: () => VrrpSocket },
  stations: NeighbourSocket,
): Segment {
  let routers = first;
  return {
    source,
    advertise: (advertisement) => routers.send(advertisement),
    ask: (address) => stations.ask(address),
    listenAnew: () => {
      const before = routers;
      try {
        routers = listen();
        before[Symbol.dispose]();
      } catch {
        // The interface is going: it is looked at anyway.
      }
    },
    announce: (addresses) => {
      for (const address of addresses) stations.announce(address);
    },
    [Symbol.dispose]: () => {
      routers[Symbol.dispose]();
      stations[Symbol.dispose]();
    },
  };
}

/** The same object as the gateway's own, for it has to find and remove it. */
const objectOf = (device: string, address: Address): InterfaceAddress => ({
  ...{ kind: 'address', device, address, scope: 'global' },
  prefixLength: familyOf(address) === 4 ? 32 : 128,
});

/** RT_SCOPE_UNIVERSE. */
const globalScope = 0;

/** An address with a network before one without: before Linux 5.18 the kernel does not tell ours from those of others. */
function primary4(addresses: readonly HeldAddress[]): Address | undefined {
  const own = addresses.filter(({ ours, usable, scope }) => !ours && usable && scope === globalScope);
  return (own.find(({ prefixLength }) => prefixLength < 32) ?? own[0])?.address;
}

const primary6 = (addresses: readonly HeldAddress[]): Address | undefined =>
  addresses.find(({ address, usable }) => usable && contains('fe80::/10', address))?.address;
