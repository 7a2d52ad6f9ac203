import { type Address, families } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { NodeState, SteeredAttachment } from '../datapath/attachment.ts';
import { exitsOf } from '../datapath/desired.ts';
import type { Change } from '../datapath/difference.ts';
import type { Counters, Host, LinkAddress, Observed } from '../datapath/host.ts';
import { nodeSets, podsMap } from '../datapath/layout.ts';
import type { HostObject, Link, PolicyRule } from '../datapath/objects.ts';
import { planOf } from '../datapath/operations.ts';
import type { OurState } from '../datapath/release.ts';
import type { Element } from '../nftables/object.ts';
import { applyOutside, removeOutside } from './apply.ts';
import { deleteFlows } from './conntrack/flows.ts';
import { readCounters } from './counters.ts';
import { isKernelError, NetlinkSocket, protocols } from './netlink/socket.ts';
import { findElementsByComment, tableExists } from './nftables/read.ts';
import { canHook, readGeneration, runTransaction } from './nftables/transaction.ts';
import { findPods, observeOurs, observeRouting, observeSent, observeTable } from './observe.ts';
import { listAddresses } from './rtnetlink/address.ts';
import { readLink, setLinkDown } from './rtnetlink/link.ts';
import { readNeighbour } from './rtnetlink/neighbour.ts';
import { routeProtocol } from './rtnetlink/protocol.ts';
import { lookupRoute } from './rtnetlink/route.ts';
import { listRules } from './rtnetlink/rule.ts';
import { readSysctl } from './sysctl.ts';

type OpenSocket = (protocol: (typeof protocols)[keyof typeof protocols]) => NetlinkSocket;

/** The Linux kernel of the network namespace that this process is in. Sockets are opened on first use. */
export class LinuxHost implements Host, Disposable {
  readonly #open: OpenSocket;
  #routeSocket: NetlinkSocket | undefined;
  #netfilterSocket: NetlinkSocket | undefined;

  /** @param open how sockets are opened: the real ones, but for the build, which has no kernel to speak to */
  constructor(open: OpenSocket = (protocol) => new NetlinkSocket(protocol)) {
    this.#open = open;
  }

  [Symbol.dispose](): void {
    this.#routeSocket?.close();
    this.#netfilterSocket?.close();
  }

  get #route(): NetlinkSocket {
    this.#routeSocket ??= this.#open(protocols.route);
    return this.#routeSocket;
  }

  get #netfilter(): NetlinkSocket {
    this.#netfilterSocket ??= this.#open(protocols.netfilter);
    return this.#netfilterSocket;
  }

  readLink(name: string): Promise<Link | undefined> {
    return readLink(this.#route, name);
  }

  listAddresses(link: Link): Promise<readonly LinkAddress[]> {
    return listAddresses(this.#route, link.index);
  }

  async isOnLink(address: Address): Promise<boolean> {
    const route = await lookupRoute(this.#route, address);
    return route?.type === 'unicast' && route.via === undefined;
  }

  async listForeignRules(): Promise<readonly PolicyRule[]> {
    const rules: PolicyRule[] = [];
    for (const family of families) {
      const foreign = (await listRules(this.#route, family)).filter(({ protocol }) => protocol !== routeProtocol);
      rules.push(...(foreign as readonly PolicyRule[] & typeof foreign));
    }
    return rules;
  }

  readSysctl(name: string): string | undefined {
    return readSysctl(name);
  }

  async observe(
    node: NodeState,
    attachment: SteeredAttachment,
    { contents }: { contents: boolean },
  ): Promise<Observed<HostObject[]>> {
    const generation = await readGeneration(this.#netfilter);
    const table: HostObject[] = (await this.hasTable())
      ? [{ kind: 'table' }, ...(await observeTable(this.#netfilter, node, attachment, contents))]
      : [];
    const exits = exitsOf(node, attachment);
    const sent = await observeSent(this.#netfilter, exits);
    return { state: [...table, ...sent, ...(await observeRouting(this.#route, node, exits))], generation };
  }

  async observeOurs(tables: readonly number[]): Promise<Observed<OurState>> {
    const generation = await readGeneration(this.#netfilter);
    return { state: await observeOurs(this.#netfilter, this.#route, tables), generation };
  }

  async findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]> {
    if (addresses !== undefined) {
      return (await findPods(this.#netfilter, addresses)).filter(({ comment = '' }) => comment.startsWith(mark));
    }
    const elements: Element[] = [];
    for (const family of families)
      elements.push(...(await findElementsByComment(this.#netfilter, podsMap(family), mark)));
    return elements;
  }

  /** Also the question whether we can work here at all: no other is cheaper. Throws `unavailable` that names the feature. */
  async hasTable(): Promise<boolean> {
    try {
      return await tableExists(this.#netfilter);
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

  async apply(changes: readonly Change[], generation: number): Promise<boolean> {
    const { before, transaction, after } = planOf(changes);
    await applyOutside(this.#route, before);
    try {
      await runTransaction(this.#netfilter, transaction, generation, nodeSets);
    } catch (error) {
      if (isKernelError(error, 'ERESTART')) return false;
      throw error;
    }
    await removeOutside(this.#route, after);
    return true;
  }

  async setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void> {
    for (const { name, index } of links) {
      const link = await this.readLink(name);
      if (link?.index === index) await setLinkDown(this.#route, index);
    }
  }

  deleteFlows(address: Address): Promise<void> {
    return deleteFlows(this.#netfilter, address);
  }

  readCounters(): Promise<Counters> {
    return readCounters(this.#netfilter);
  }

  async readNeighbour(device: string, address: Address): Promise<string | undefined> {
    const link = await this.readLink(device);
    return link && (await readNeighbour(this.#route, link.index, address))?.state;
  }
}
