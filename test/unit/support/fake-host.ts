import assert from 'node:assert/strict';
import { type Address, contains, type Family, families, familyOf, parsePrefix } from '../../../src/base/address.ts';
import type { NodeState } from '../../../src/datapath/attachment.ts';
import type { Change } from '../../../src/datapath/difference.ts';
import type { Filter } from '../../../src/datapath/filter.ts';
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
  LinkAddress,
  Observed,
  OwnState,
  PassingPacket,
  RouteTaken,
} from '../../../src/datapath/host.ts';
import { indexOfKept, type Kept, keptMaps } from '../../../src/datapath/kept.ts';
import { chainNames, entryOf, podKey, podOfBlockKey, podSets, setNames } from '../../../src/datapath/layout.ts';
import type { Needs } from '../../../src/datapath/needs.ts';
import {
  type HostObject,
  isOutside,
  type Link,
  type NodeRoute,
  type NodeRule,
  type Other,
} from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import type { OurState } from '../../../src/datapath/release.ts';
import type { Element, NftSet, Table } from '../../../src/nftables/object.ts';
import { FakeKernel } from './fake-kernel.ts';

const podSetNames = families.flatMap(podSets).map(({ name }) => name);

/** A node in memory. What a test may change is a field; what a test wants to know was written down in another. */
export class FakeHost implements Host, Disposable {
  readonly kernel = new FakeKernel();
  readonly links = new Map<string, Link>();
  /** By the name of the interface. */
  readonly linkAddresses = new Map<string, readonly LinkAddress[]>();
  readonly defaultRoutes = new Map<Family, DefaultRoute>();
  readonly foreignRules: NodeRule[] = [];
  /** Routes of others in tables of exits. */
  readonly foreignRoutes: NodeRoute[] = [];
  /** What of others carries our number or our name. */
  readonly others: Other[] = [];
  /** The connections that conntrack knows. */
  readonly flows: Flow[] = [];
  /** Addresses that the node reaches through another host. */
  readonly remote = new Set<Address>();
  /** Base chains of others. */
  readonly filters: Filter[] = [];
  /** Tables of the older iptables. */
  readonly legacyTables = new Map<Family, readonly string[]>();
  counters: Counters | undefined;
  /** Next hops, by address, in the kernel's words. */
  readonly neighbours = new Map<Address, string>();

  /** What tells this kernel from others. */
  placeName: string | undefined = 'here';

  /** How many times somebody else will change the ruleset between a look and a change. */
  interferences = 0;
  /** Whether the kernel can count behind neighbour resolution. */
  egressHook = true;
  /** How often it was asked for that. */
  egressHookQuestions = 0;
  /** Whether rules can give connections labels. */
  labels = true;
  /** How often it was asked for that. */
  labelQuestions = 0;
  /** What the kernel will answer to transactions. */
  refusal: Error | undefined;

  /** Who waits for changes of the kernel's. */
  readonly watchers = new Set<Changed>();

  /** All changes that were carried out. */
  readonly applied: Change[] = [];
  /** Addresses whose connections were to be forgotten, all of them. */
  readonly forgottenFlows: Address[] = [];
  /** Those of {@link flows} that were picked out to be forgotten. */
  readonly pickedFlows: Flow[] = [];
  /** Addresses whose answers' connections were to be forgotten. */
  readonly forgottenFlowsTo: Address[] = [];
  /** What neighbours were told: interface and addresses. */
  readonly announced: (readonly [device: string, addresses: readonly Address[]])[] = [];
  /** How which connections were introduced. */
  readonly primed: (Introduction & { flows: readonly Flow[] })[] = [];
  /** Names of the calls that others notice, in their order. */
  readonly calls: string[] = [];
  readonly setDownLinks: string[] = [];
  #heardFrom = Number.POSITIVE_INFINITY;

  constructor() {
    this.kernel.outside.hasDevice = (name) => this.links.has(name);
  }

  [Symbol.dispose](): void {}

  besideOthers(): Disposable {
    this.#heardFrom = this.kernel.generation;
    return {
      [Symbol.dispose]: () => {
        this.#heardFrom = Number.POSITIVE_INFINITY;
      },
    };
  }

  onceEach(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  look(): this {
    return this;
  }

  async readLink(nameOrIndex: string | number): Promise<Link | undefined> {
    return [...this.links.values()].find(({ name, index }) => name === nameOrIndex || index === nameOrIndex);
  }

  async listAddresses({ index }: Link): Promise<readonly HeldAddress[]> {
    return this.#held().filter(({ deviceIndex }) => deviceIndex === index);
  }

  async listAllAddresses(): Promise<readonly HeldAddress[]> {
    return this.#held();
  }

  #held(): HeldAddress[] {
    const given = [...this.linkAddresses].flatMap(([device, addresses]) => {
      const { index = 0 } = this.links.get(device) ?? {};
      return addresses.map((address) => ({ ...address, deviceIndex: index, ours: false }));
    });
    return [...given, ...this.#ownAddresses()];
  }

  /** Those that we made: only newer kernels know that. */
  #ownAddresses(): HeldAddress[] {
    const { outside } = this.kernel;
    return outside
      .list()
      .filter((object) => object.kind === 'address')
      .map(({ device, address, prefixLength, scope }) => ({
        ...{ address, prefixLength, usable: true, ours: outside.tellsWhoseAddresses },
        ...{ family: familyOf(address), scope: scope === 'link' ? 253 : 0 },
        deviceIndex: this.links.get(device)?.index ?? 1000,
      }));
  }

  async firstHolder(address: Address): Promise<{ readonly device: string; readonly behind: boolean } | undefined> {
    if (familyOf(address) !== 4) return undefined;
    const isBehind = (device: string) =>
      this.kernel.outside
        .list()
        .some((object) => object.kind === 'behind' && object.device === device && object.address === address);
    const given = [...this.linkAddresses].filter(([, held]) => held.some((own) => own.address === address));
    const made = this.kernel.outside
      .list()
      .flatMap((object) => (object.kind === 'address' && object.address === address ? [object.device] : []));
    const devices = [...given.map(([device]) => device), ...made];
    const device = devices.find((name) => !isBehind(name)) ?? devices[0];
    return device === undefined ? undefined : { device, behind: isBehind(device) };
  }

  async defaultRoute(family: Family): Promise<DefaultRoute | undefined> {
    return this.defaultRoutes.get(family);
  }

  async isOnLink(address: Address): Promise<boolean> {
    return !this.remote.has(address);
  }

  async routeTo(address: Address, mark = 0): Promise<RouteTaken | undefined> {
    if ((await this.listAllAddresses()).some((held) => held.address === address)) return { type: 'local' };
    const route = this.kernel.outside.routeFor(address, mark);
    if (route !== undefined) return route;
    const [near] =
      [...this.linkAddresses].find(
        ([device, held]) => device !== 'lo' && held.some((own) => isNeighbour(own, address)),
      ) ?? [];
    if (near !== undefined) return { type: 'unicast', device: near };
    const { device, via } = this.defaultRoutes.get(familyOf(address)) ?? {};
    return device && { type: 'unicast', device: device.name, ...(via && { via }) };
  }

  async wayOf({ destination, mark }: PassingPacket): Promise<RouteTaken | undefined> {
    return this.routeTo(destination, mark);
  }

  async listRules(): Promise<readonly NodeRule[]> {
    return [...this.foreignRules, ...this.kernel.outside.list().filter((object) => object.kind === 'rule')];
  }

  async listRoutes(family: Family, table: number): Promise<readonly NodeRoute[]> {
    const own = this.kernel.outside.list().filter((object) => object.kind === 'route');
    return [...this.foreignRoutes, ...own].filter((route) => route.family === family && route.table === table);
  }

  async listOthersTables(): Promise<readonly Table[]> {
    return this.others.filter((object) => object.kind === 'table');
  }

  async listOthers(): Promise<readonly Other[]> {
    return this.others;
  }

  async listFilters(): Promise<readonly Filter[]> {
    return this.filters;
  }

  listLegacyTables(family: Family): readonly string[] {
    return this.legacyTables.get(family) ?? [];
  }

  readSysctl(name: string): string | undefined {
    return this.kernel.sysctls.get(name);
  }

  async listKept(): Promise<readonly Kept[]> {
    const elements = this.kernel.elements().filter(({ set }) => keptMaps.some(({ name }) => name === set));
    return elements.map((element) => {
      const link = [...this.links.values()].find(({ index }) => index === indexOfKept(element));
      return { element, ...(link && { device: link.name }) };
    });
  }

  async observe(node: NodeState, needs: Needs, { contents }: { contents: boolean }): Promise<Observed<HostObject[]>> {
    return { state: this.kernel.observe(node, needs, contents), generation: this.kernel.generation };
  }

  async observeBesideNoted(node: NodeState, needs: Needs, generation: number): Promise<HostObject[] | undefined> {
    if (generation !== this.kernel.generation) return undefined;
    const isBeside = (object: HostObject) =>
      isOutside(object) ||
      (object.kind === 'chain' && object.hook !== undefined && 'device' in object.hook) ||
      (object.kind === 'element' && podSetNames.includes(object.set));
    return this.kernel.observe(node, needs, false).filter(isBeside);
  }

  async observeOwn(
    { addresses, sources, program }: Parameters<Host['observeOwn']>[0],
    generation: number,
  ): Promise<OwnState | undefined> {
    if (generation !== this.kernel.generation) return undefined;
    const { chains, sent = [] } = this.kernel.ourState([]);
    const devices = (sources?.devices ?? []).map(chainNames.from);
    const used = chains.filter(({ name }) => [program, entryOf(program)].includes(name));
    return {
      elements: (await this.findElements('', addresses)).filter(({ set }) => podSetNames.includes(set)),
      chains: sent.filter(({ name }) => devices.includes(name)),
      references: new Map(used.map(({ name, references }) => [name, references])),
    };
  }

  async readRanges(sets: readonly NftSet[]): Promise<readonly NftSet[]> {
    const names = new Set(sets.map(({ name }) => name));
    return this.kernel.ourState([]).sets.filter(({ name }) => names.has(name));
  }

  async generation(): Promise<number> {
    return this.kernel.generation;
  }

  place(): string | undefined {
    return this.placeName;
  }

  async observeOurs(node: NodeState | undefined): Promise<Observed<OurState>> {
    const tables = (node?.exits ?? []).map(({ id }) => (node?.routeTable ?? 0) + id);
    const state = { ...this.kernel.ourState(tables, node?.addresses), kept: await this.listKept() };
    return { state, generation: this.kernel.generation };
  }

  watch(changed: Changed): Disposable {
    this.watchers.add(changed);
    return { [Symbol.dispose]: () => this.watchers.delete(changed) };
  }

  async readCounters(): Promise<Counters> {
    assert.ok(this.counters, 'nobody was expected to read the counters');
    return this.counters;
  }

  async readNeighbour(_device: string, address: Address): Promise<string | undefined> {
    return this.neighbours.get(address);
  }

  async findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]> {
    const keys = addresses?.flatMap((one) => podSets(familyOf(one)).map((set) => podKey(set, one)));
    return this.kernel
      .podElements()
      .filter(({ comment = '' }) => comment.startsWith(mark))
      .filter(
        ({ key, set }) =>
          keys === undefined || set === setNames.held || keys.includes(key) || keys.includes(podOfBlockKey(key)),
      );
  }

  async listHeld(): Promise<readonly Element[]> {
    return this.kernel.heldElements();
  }

  async countReferences(chain: string): Promise<number> {
    return this.kernel.ourState([]).chains.find(({ name }) => name === chain)?.references ?? 0;
  }

  async listServed(): Promise<readonly Element[]> {
    return this.kernel.servedElements();
  }

  async hasTable(): Promise<boolean> {
    return this.kernel.hasTable;
  }

  async hasEgressHook(): Promise<boolean> {
    this.egressHookQuestions++;
    return this.egressHook;
  }

  async hasLabels(): Promise<boolean> {
    this.labelQuestions++;
    return this.labels;
  }

  async apply(changes: readonly Change[], generation: number): Promise<number | undefined> {
    if (this.interferences > 0) {
      this.interferences--;
      this.kernel.changedAt = ++this.kernel.generation;
    }
    const { ahead, transaction } = planOf(changes);
    if (transaction.length > 0 && !this.#isOfNow(generation)) {
      this.kernel.beginOutside(changes);
      return undefined;
    }
    if (transaction.length > 0 && this.refusal !== undefined) {
      this.kernel.beginOutside(changes);
      throw this.refusal;
    }
    this.applied.push(...changes);
    if (changes.length > 0) this.calls.push('apply');
    const others = transaction.length > 0 ? this.kernel.generation - generation : 0;
    this.kernel.apply(changes);
    return others + [ahead, transaction].filter(({ length }) => length > 0).length;
  }

  #isOfNow(generation: number): boolean {
    const { changedAt, generation: now } = this.kernel;
    return generation === now || generation >= Math.max(changedAt, this.#heardFrom);
  }

  async setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void> {
    this.setDownLinks.push(
      ...links.filter(({ name, index }) => this.links.get(name)?.index === index).map((l) => l.name),
    );
  }

  async deleteFlows(address: Address, only?: (flow: Flow) => boolean): Promise<void> {
    this.calls.push(`deleteFlows ${address}`);
    const gone = this.#dropFlows(
      (flow) => (flow.source === address || flow.replySource === address) && (only?.(flow) ?? true),
    );
    if (only === undefined) this.forgottenFlows.push(address);
    else this.pickedFlows.push(...gone);
  }

  async deleteFlowsOfAny(addresses: readonly Address[], only: (flow: Flow) => boolean): Promise<void> {
    this.calls.push(`deleteFlows ${addresses.join(' ')}`);
    const isOfAny = ({ source, replySource }: Flow) => addresses.includes(source) || addresses.includes(replySource);
    this.pickedFlows.push(...this.#dropFlows((flow) => isOfAny(flow) && only(flow)));
  }

  async deleteFlowsTo(address: Address, only: (flow: Flow) => boolean = () => true): Promise<void> {
    this.calls.push(`deleteFlowsTo ${address}`);
    const isTo = ({ replyDestination, destination, replySource }: Flow) =>
      replyDestination === address || (destination === address && replySource === address);
    this.#dropFlows((flow) => isTo(flow) && only(flow));
    this.forgottenFlowsTo.push(address);
  }

  async listConnections(family: Family): Promise<readonly number[]> {
    return this.flows.flatMap((flow) => (flow.family === family ? (flow.id ?? []) : []));
  }

  async forgetFlows(family: Family, choose: (all: readonly Flow[]) => Promise<ReadonlySet<Flow>>): Promise<void> {
    const chosen = await choose(this.flows.filter((flow) => flow.family === family));
    this.pickedFlows.push(...this.#dropFlows((flow) => chosen.has(flow)));
  }

  #dropFlows(isGone: (flow: Flow) => boolean): readonly Flow[] {
    const gone = this.flows.filter(isGone);
    this.flows.splice(0, this.flows.length, ...this.flows.filter((flow) => !gone.includes(flow)));
    return gone;
  }

  async listFlows(sources: readonly Address[]): Promise<readonly Flow[]> {
    return this.flows.filter(({ source }) => sources.includes(source));
  }

  async listFlowsTo(address: Address): Promise<readonly Flow[]> {
    return this.flows.filter((flow) => flow.replyDestination === address);
  }

  async restoreFlows(flows: readonly Flow[], source: Address): Promise<void> {
    const ports = flows.map(({ replyDestinationPort }) => replyDestinationPort);
    if (ports.length > 0) this.calls.push(`restoreFlows ${source}:${ports}`);
  }

  /** Each question, as `address at gateway`, is answered when it is among these. */
  readonly answeringGateways = new Set<string>();

  /** The data of answers that nobody asked for. */
  readonly strayAnswers: Buffer[] = [];

  /** How often somebody looked for answers. */
  looksForAnswers = 0;

  /** Takes the MAC address of a gateway that hints, while somebody listens. */
  hinted: (from: string) => void = () => {};

  openAsker(_underlay: Link, ears: AskerEars): Asker {
    const answers: Buffer[] = [];
    let isListening = false;
    this.hinted = (from) => ears.hinted(from);
    return {
      ask: async (_own, questions) => {
        this.calls.push(`ask ${questions.map(({ address, gateway }) => `${address} at ${gateway}`).join(', ')}`);
        const own = questions.filter(({ address, gateway }) => this.answeringGateways.has(`${address} at ${gateway}`));
        answers.push(...own.map(({ data }) => data));
        if (isListening && own.length > 0) setImmediate(() => ears.answered());
      },
      answers: () => {
        this.looksForAnswers++;
        return [...answers.splice(0), ...this.strayAnswers.splice(0)];
      },
      listen: (isWanted) => {
        isListening = isWanted;
      },
      [Symbol.dispose]: () => {},
    };
  }

  async announce(device: string, addresses: readonly Address[]): Promise<void> {
    this.calls.push(`announce ${addresses.join(' ')}`);
    this.announced.push([device, addresses]);
  }

  async primeFlows(introduction: Introduction, flows: readonly Flow[]): Promise<void> {
    this.calls.push(`primeFlows ${introduction.mark}`);
    this.primed.push({ ...introduction, flows });
  }
}

/** Whether the other address is in the network that an interface is in by its own. */
const isNeighbour = ({ address: own, prefixLength }: LinkAddress, other: Address): boolean => {
  const network = parsePrefix(`${own}/${prefixLength}`);
  return network !== undefined && contains(network, other);
};
