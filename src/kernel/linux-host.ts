import { readFileSync } from 'node:fs';
import type { Address, Family } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { NodeState } from '../datapath/attachment.ts';
import type { Change } from '../datapath/difference.ts';
import type { Filter } from '../datapath/filter.ts';
import type {
  Asker,
  AskerEars,
  Changed,
  Counters,
  DefaultRoute,
  Flow,
  HeldAddress,
  Host,
  Introduction,
  Observed,
  OwnState,
  PassingPacket,
  RouteTaken,
} from '../datapath/host.ts';
import type { Kept } from '../datapath/kept.ts';
import { heldMap, servedMap } from '../datapath/layout.ts';
import type { Needs } from '../datapath/needs.ts';
import type { HostObject, Link, NodeRoute, NodeRule, Other } from '../datapath/objects.ts';
import { planOf } from '../datapath/operations.ts';
import type { OurState } from '../datapath/release.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Element, NftSet, Operation, Table } from '../nftables/object.ts';
import { applyEach, applyOutside, removeOutside } from './apply.ts';
import {
  deleteChosenFlows,
  deleteFlows,
  deleteFlowsOfAny,
  deleteFlowsTo,
  listConnections,
  listFlows,
  listFlowsFrom,
} from './conntrack/flows.ts';
import { restoreFlows } from './conntrack/restore.ts';
import { readCounters } from './counters.ts';
import { observeOutside } from './kinds.ts';
import { listLegacyTables } from './legacy-tables.ts';
import { listen } from './netlink/notifications.ts';
import { isKernelError, NetlinkSocket, protocols } from './netlink/socket.ts';
import { listFilters } from './nftables/foreign.ts';
import { HeardGenerations } from './nftables/generations.ts';
import { countReferences, readTable } from './nftables/read.ts';
import { canHook, canLabel, readGeneration, runTransaction } from './nftables/transaction.ts';
import { observeNetdev, observeTable, readSets } from './observe.ts';
import { listKept } from './observe-kept.ts';
import { observeBesideNoted, observeOwn } from './observe-noted.ts';
import { listOthers, listOthersTables, observeOurs } from './observe-ours.ts';
import { findElements, listSet } from './observe-pods.ts';
import { announcement } from './packet/announcement.ts';
import { EchoAsker } from './packet/asker.ts';
import { primerFrames, primerPackets } from './packet/primer.ts';
import { sendFrames, sendPackets } from './packet/socket.ts';
import { listAddresses, listAllAddresses } from './rtnetlink/address.ts';
import { defaultRoute } from './rtnetlink/default-route.ts';
import { readLink, setLinkDown } from './rtnetlink/link.ts';
import { firstHolder } from './rtnetlink/local-route.ts';
import { readNeighbour } from './rtnetlink/neighbour.ts';
import { listNodeRoutes } from './rtnetlink/route.ts';
import { lookupRoute, type RouteLookup } from './rtnetlink/route-lookup.ts';
import { listRules } from './rtnetlink/rule.ts';
import { readSysctl } from './sysctl.ts';

type OpenSocket = (
  protocol: (typeof protocols)[keyof typeof protocols],
  options?: { readonly remembers: boolean },
) => NetlinkSocket;

/** The Linux kernel of the network namespace that this process is in. Sockets are opened on first use. */
export class LinuxHost implements Host, Disposable {
  readonly #open: OpenSocket;
  #routeSocket: NetlinkSocket | undefined;
  #netfilterSocket: NetlinkSocket | undefined;
  #heard: HeardGenerations | undefined;

  /** @param open how sockets are opened: the real ones, but for the build, which has no kernel to speak to */
  constructor(open: OpenSocket = (protocol, options) => new NetlinkSocket(protocol, options)) {
    this.#open = open;
  }

  [Symbol.dispose](): void {
    this.#routeSocket?.close();
    this.#netfilterSocket?.close();
    this.#heard?.[Symbol.dispose]();
  }

  look(): LinuxHost {
    return new LinuxHost((protocol) => this.#open(protocol, { remembers: true }));
  }

  onceEach(): Disposable {
    this.#route.remember();
    return { [Symbol.dispose]: () => this.#route.forget() };
  }

  besideOthers(): Disposable {
    if (this.#heard !== undefined) return { [Symbol.dispose]: () => {} };
    this.#heard = new HeardGenerations(this.#open(protocols.netfilter));
    return {
      [Symbol.dispose]: () => {
        this.#heard?.[Symbol.dispose]();
        this.#heard = undefined;
      },
    };
  }

  get #route(): NetlinkSocket {
    this.#routeSocket ??= this.#open(protocols.route);
    return this.#routeSocket;
  }

  get #netfilter(): NetlinkSocket {
    this.#netfilterSocket ??= this.#open(protocols.netfilter);
    return this.#netfilterSocket;
  }

  readLink(nameOrIndex: string | number): Promise<Link | undefined> {
    return readLink(this.#route, nameOrIndex);
  }

  listAddresses(link: Link): Promise<readonly HeldAddress[]> {
    return listAddresses(this.#route, link.index);
  }

  listAllAddresses(): Promise<readonly HeldAddress[]> {
    return listAllAddresses(this.#route);
  }

  async firstHolder(address: Address): Promise<{ readonly device: string; readonly behind: boolean } | undefined> {
    const holder = await firstHolder(this.#route, address);
    const device = holder && (await this.readLink(holder.deviceIndex))?.name;
    return device === undefined ? undefined : { device, behind: holder?.behind === true };
  }

  async defaultRoute(family: Family, preferred?: Link): Promise<DefaultRoute | undefined> {
    const route = await defaultRoute(this.#route, family, preferred?.index);
    const device = route && (await this.readLink(route.deviceIndex));
    if (device === undefined) return undefined;
    const { via, onlink } = route ?? {};
    return { device, ...(via && { via }), ...(onlink && { onlink }) };
  }

  async isOnLink(address: Address): Promise<boolean> {
    const route = await lookupRoute(this.#route, address);
    return route?.type === 'unicast' && route.via === undefined;
  }

  async routeTo(address: Address, mark?: number): Promise<RouteTaken | undefined> {
    return this.#taken(await lookupRoute(this.#route, address, mark));
  }

  async wayOf({ destination, mark, sender }: PassingPacket): Promise<RouteTaken | undefined> {
    const input = sender && (await this.readLink(sender.input));
    if (sender !== undefined && input === undefined) return undefined;
    const from = sender && input && { source: sender.address, inputIndex: input.index };
    return this.#taken(await lookupRoute(this.#route, destination, mark, from));
  }

  async #taken(route: RouteLookup | undefined): Promise<RouteTaken | undefined> {
    if (route === undefined) return undefined;
    const { deviceIndex, ...taken } = route;
    const device = deviceIndex === undefined ? undefined : (await this.readLink(deviceIndex))?.name;
    return { ...taken, ...(device && { device }) };
  }

  async listRules(): Promise<readonly NodeRule[]> {
    return [...(await listRules(this.#route, 4)), ...(await listRules(this.#route, 6))];
  }

  listRoutes(family: Family, table: number): Promise<readonly NodeRoute[]> {
    return listNodeRoutes(this.#route, family, { table });
  }

  listOthers(node: NodeState | undefined): Promise<readonly Other[]> {
    return listOthers(this.#netfilter, this.#route, node);
  }

  listFilters(): Promise<readonly Filter[]> {
    return listFilters(this.#netfilter);
  }

  listLegacyTables(family: Family): readonly string[] {
    return listLegacyTables(family);
  }

  readSysctl(name: string): string | undefined {
    return readSysctl(name);
  }

  listKept(): Promise<readonly Kept[]> {
    return listKept(this.#netfilter, this.#route);
  }

  async observe(node: NodeState, needs: Needs, { contents }: { contents: boolean }): Promise<Observed<HostObject[]>> {
    const generation = await this.generation();
    const found = await this.#table();
    const table: HostObject[] = found ? [found, ...(await observeTable(this.#netfilter, node, needs, contents))] : [];
    const netdev = await observeNetdev(this.#netfilter, node, needs);
    return { state: [...table, ...netdev, ...(await observeOutside(this.#route, node, needs))], generation };
  }

  async observeBesideNoted(node: NodeState, needs: Needs, generation: number): Promise<HostObject[] | undefined> {
    if ((await this.generation()) !== generation) return undefined;
    return await observeBesideNoted(this.#netfilter, this.#route, node, needs);
  }

  readRanges(sets: readonly NftSet[]): Promise<readonly NftSet[]> {
    return readSets(this.#netfilter, sets, true);
  }

  async observeOwn(attachment: Parameters<Host['observeOwn']>[0], generation: number): Promise<OwnState | undefined> {
    return (await this.generation()) === generation ? await observeOwn(this.#netfilter, attachment) : undefined;
  }

  async generation(): Promise<number> {
    const generation = await readGeneration(this.#netfilter);
    this.#heard?.read(generation);
    return generation;
  }

  place(): string | undefined {
    const namespace = this.#netfilter.namespace;
    return namespace && `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${namespace}`;
  }

  async observeOurs(node: NodeState | undefined): Promise<Observed<OurState>> {
    const generation = await this.generation();
    return { state: await observeOurs(this.#netfilter, this.#route, node), generation };
  }

  watch(changed: Changed): Disposable {
    return listen(changed);
  }

  findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]> {
    return findElements(this.#netfilter, mark, addresses);
  }

  listHeld(): Promise<readonly Element[]> {
    return listSet(this.#netfilter, heldMap);
  }

  countReferences(chain: string): Promise<number> {
    return countReferences(this.#netfilter, chain);
  }

  listServed(): Promise<readonly Element[]> {
    return listSet(this.#netfilter, servedMap);
  }

  listOthersTables(): Promise<readonly Table[]> {
    return listOthersTables(this.#netfilter);
  }

  /** Also the question whether we can work here at all: no other is cheaper. Throws `unavailable` that names the feature. */
  async hasTable(): Promise<boolean> {
    return (await this.#table()) !== undefined;
  }

  async #table(): Promise<Table | undefined> {
    try {
      return await readTable(this.#netfilter);
    } catch (error) {
      throw isKernelError(error, 'EPERM', 'EACCES')
        ? new EgressError('unavailable', 'The kernel lets this process not use nf_tables: it needs CAP_NET_ADMIN', {
            cause: error,
          })
        : new EgressError(
            'unavailable',
            `The kernel has no nf_tables (CONFIG_NF_TABLES): ${(error as Error).message}`,
            { cause: error },
          );
    }
  }

  hasEgressHook(): Promise<boolean> {
    return canHook(this.#netfilter, { type: 'filter', hook: 'egress', device: 'lo', priority: 0 });
  }

  hasLabels(): Promise<boolean> {
    return canLabel(this.#netfilter);
  }

  async apply(changes: readonly Change[], generation: number): Promise<number | undefined> {
    this.#routeSocket?.forget(); // whoever looks again sees what is there then
    const { shut, first, before, ahead, transaction, sets, open, after, last, closing } = planOf(changes);
    await applyOutside(this.#route, shut);
    await removeOutside(this.#route, first);
    await applyOutside(this.#route, before);
    let made = generation;
    try {
      for (const operations of [ahead, transaction]) made = await this.#run(operations, made, sets);
    } catch (error) {
      if (isKernelError(error, 'ERESTART')) return undefined;
      throw error;
    }
    await applyOutside(this.#route, open);
    await removeOutside(this.#route, after);
    await applyOutside(this.#route, last);
    await applyEach(this.#route, closing);
    return (made - generation) >>> 0;
  }

  /** Returns the generation that it makes. What others do in their own tables does not matter while it is heard. */
  async #run(operations: readonly Operation[], generation: number, sets: readonly NftSet[]): Promise<number> {
    if (operations.length === 0) return generation;
    const newestLike = (known: number) => this.#heard?.newestLike(known);
    const done = await runTransaction(this.#netfilter, operations, generation, sets, newestLike);
    return ((done ?? generation) + 1) >>> 0;
  }

  async setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void> {
    for (const { name, index } of links) {
      const link = await this.readLink(name);
      if (link?.index === index) await setLinkDown(this.#route, index);
    }
  }

  deleteFlows(address: Address, only?: (flow: Flow) => boolean): Promise<void> {
    return deleteFlows(this.#netfilter, address, only && { only });
  }

  deleteFlowsOfAny(addresses: readonly Address[], only: (flow: Flow) => boolean): Promise<void> {
    return deleteFlowsOfAny(this.#netfilter, addresses, only);
  }

  deleteFlowsTo(address: Address, only?: (flow: Flow) => boolean): Promise<void> {
    return deleteFlowsTo(this.#netfilter, address, { only });
  }

  forgetFlows(family: Family, choose: (all: readonly Flow[]) => Promise<ReadonlySet<Flow>>): Promise<void> {
    return deleteChosenFlows(this.#netfilter, family, choose);
  }

  listConnections(family: Family): Promise<readonly number[]> {
    return listConnections(this.#netfilter, family);
  }

  listFlows(sources: readonly Address[]): Promise<readonly Flow[]> {
    return listFlowsFrom(this.#netfilter, sources);
  }

  listFlowsTo(address: Address): Promise<readonly Flow[]> {
    return listFlows(this.#netfilter, address, 'replyDestination');
  }

  restoreFlows(flows: readonly Flow[], source: Address): Promise<void> {
    return restoreFlows(this.#netfilter, flows, source);
  }

  async announce(device: string, addresses: readonly Address[]): Promise<void> {
    const link = await this.readLink(device);
    if (link?.mac === undefined) return;
    const { index, mac } = link;
    sendFrames(
      index,
      addresses.flatMap((address) => announcement(mac, address)),
    );
  }

  async primeFlows({ mark, hops, ends }: Introduction, flows: readonly Flow[]): Promise<void> {
    if (ends === undefined) return sendPackets(primerPackets(hops, flows), mark);
    const link = await this.readLink(tunnelDevice);
    if (link !== undefined) sendFrames(link.index, primerFrames(ends, hops, flows), mark);
  }

  openAsker(underlay: Link, ears: AskerEars): Asker {
    return new EchoAsker({
      ...{ underlay, ears },
      tunnel: async () => (await this.readLink(tunnelDevice))?.index,
      stationOf: async (address) => (await readNeighbour(this.#route, underlay.index, address))?.mac,
    });
  }

  readCounters(): Promise<Counters> {
    return readCounters(this.#netfilter);
  }

  async readNeighbour(device: string, address: Address): Promise<string | undefined> {
    const link = await this.readLink(device);
    return link && (await readNeighbour(this.#route, link.index, address))?.state;
  }
}
