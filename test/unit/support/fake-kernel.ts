import { families, familyOf } from '../../../src/base/address.ts';
import { EgressError } from '../../../src/base/errors.ts';
import { concernsAnswers } from '../../../src/datapath/answers.ts';
import type { NodeState } from '../../../src/datapath/attachment.ts';
import { type Change, keyOf } from '../../../src/datapath/difference.ts';
import { needsEgressHook } from '../../../src/datapath/egress-counters.ts';
import { isFastJudge } from '../../../src/datapath/fast-path.ts';
import { isKeeping } from '../../../src/datapath/kept.ts';
import * as layout from '../../../src/datapath/layout.ts';
import { isLeftElsewhere } from '../../../src/datapath/left-elsewhere.ts';
import type { Needs } from '../../../src/datapath/needs.ts';
import type { HostObject, OutsideObject, PolicyRule } from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import type { OurState } from '../../../src/datapath/release.ts';
import { hasTable, lookupOf, tablesOf } from '../../../src/datapath/tables.ts';
import { tunnelDevice, tunnelRules } from '../../../src/datapath/tunnel.ts';
import { noneListed } from '../../../src/kernel/kind.ts';
import { kernelKindOf } from '../../../src/kernel/kinds.ts';
import { KernelError } from '../../../src/kernel/netlink/socket.ts';
import { mergeIntervals, printRange } from '../../../src/nftables/interval.ts';
import type { Chain, Element, NftSet, Operation } from '../../../src/nftables/object.ts';
import { deviceHex } from '../../../src/nftables/statement.ts';
import { type Objects, perform, references } from './fake-nftables.ts';
import { FakeOutside } from './fake-outside.ts';

/** An object as it is listed: a rule has lost its words, ranges are merged. */
export function asListed(object: HostObject): HostObject {
  if (object.kind === 'set' && object.intervals !== undefined) {
    return { ...object, intervals: mergeIntervals(object.intervals).map(printRange) };
  }
  if (object.kind !== 'chain') return object;
  const rules = object.rules.map((rule) => ({
    ...rule,
    statements: [{ text: '', expressions: rule.statements.flatMap((statement) => statement.expressions) }],
  }));
  return { ...object, rules };
}

/** What the host makes of the kernel's refusal. */
function performed(objects: Objects, operation: Operation): void {
  try {
    perform(objects, operation);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new EgressError('kernel-refused', `${operation.verb} ${keyOf(operation.object)}: ${error.message}`, {
      cause: error,
    });
  }
}

/** An address on an interface, as a list of ours names it. */
type Holder = { readonly device: string; readonly address?: string };

const podSetNames = families.flatMap((family) => layout.podSets(family).map(({ name }) => name));

/**
 * The kernel of a node as plain data: our tables, what we set up outside of them, and the kernel parameters. It refuses
 * what the real one refuses: to name what is not there, to delete what is not there or still in use, to add an element
 * twice.
 */
export class FakeKernel {
  /** Counts the changes of the ruleset. */
  generation = 1;
  /** In which of them our tables were changed last. */
  changedAt = 1;
  readonly outside = new FakeOutside();
  /** Whether it has no filters at interfaces. */
  refusesMarks = false;
  #nftables: Objects = new Map();

  get hasTable(): boolean {
    return this.#nftables.has('table');
  }

  get sysctls(): Map<string, string> {
    return this.outside.sysctls;
  }

  /** Somebody deletes our tables. */
  deleteTables(): void {
    this.#nftables = new Map();
    this.changedAt = ++this.generation;
  }

  /** Everything of ours, as it is listed, in no particular order. */
  contents(): HostObject[] {
    return [...this.#nftables.values(), ...this.outside.list()].map(asListed);
  }

  /** Carries changes out, in the order of {@link planOf}. A refused transaction changes nothing, but what comes before it stays. */
  apply(changes: readonly Change[]): void {
    const { ahead, transaction, open, after, last, closing } = planOf(changes);
    this.beginOutside(changes);
    this.transact(ahead);
    this.transact(transaction);
    this.setUpOutside(open);
    for (const object of after) this.outside.takeDown(object);
    this.setUpOutside(last);
    this.setUpOutside(closing.filter(({ kind }) => kind !== 'ingressMark' || !this.refusesMarks));
    if (this.refusesMarks && closing.some(({ kind }) => kind === 'ingressMark'))
      throw new EgressError('cannot-mark', 'bpf: EPERM');
  }

  /** Carries out what comes before the transaction. */
  beginOutside(changes: readonly Change[]): void {
    const { shut, first, before } = planOf(changes);
    for (const object of first) this.outside.takeDown(object);
    this.setUpOutside([...shut, ...before]);
  }

  setUpOutside(objects: readonly OutsideObject[]): void {
    for (const object of objects) this.outside.setUp(object);
  }

  /** All operations or none. */
  transact(operations: readonly Operation[]): void {
    if (operations.length === 0) return;
    const next: Objects = new Map(this.#nftables);
    for (const operation of operations) performed(next, operation);
    this.#nftables = next;
    this.changedAt = ++this.generation;
  }

  /** What is there of what is needed. */
  observe(node: NodeState, needs: Needs, contents: boolean): HostObject[] {
    const { gateway } = needs;
    const known: Holder[] = [
      ...(gateway ? [...(node.addresses ?? []), ...gateway.owned] : []),
      { device: tunnelDevice },
    ];
    const addresses = new Set(this.outside.ourAddresses(known).map(keyOf));
    const all = this.contents();
    const ofTunnel = new Set<HostObject>(tunnelRules(all.filter((object) => object.kind === 'rule')));
    return all
      .filter((object) => (ofTunnel.has(object) ? needs.tunnel !== undefined : concerns(object, node, needs)))
      .filter((object) => object.kind !== 'address' || addresses.has(keyOf(object)))
      .map((object) => (contents ? object : withoutProgramRanges(object)));
  }

  /**
   * What is there of ours, with the routes in the tables that our rules lead to and in `tables`, and with `addresses` and
   * those that the kernel knows as ours on their interfaces; with `undefined` on any.
   */
  ourState(tables: readonly number[], addresses?: readonly Holder[]): OurState {
    const all = this.contents();
    const rules = all.filter((object) => object.kind === 'rule');
    const listed = new Set([...tables, ...rules.map(lookupOf)]);
    const known = this.outside.ourAddresses(addresses);
    return {
      table: this.hasTable,
      chains: all
        .filter((object) => object.kind === 'chain' && object.family === undefined)
        .map((chain) => ({ ...(chain as Chain), references: references(this.#nftables, chain as Chain) })),
      sets: all.filter((object) => object.kind === 'set' && object.family === undefined) as NftSet[],
      ...(this.#nftables.has(keyOf(layout.netdevTable)) && {
        sent: all.filter((object) => object.kind === 'chain' && object.family !== undefined) as Chain[],
      }),
      fast: all.filter((object) =>
        object.kind === 'set' ? layout.isFastSet(object.name) : isOfFast(object),
      ) as OurState['fast'],
      uplinks: all.filter((object) => object.kind === 'element' && object.set === layout.setNames.uplinks) as Element[],
      exitElements: all.filter(
        (object) => object.kind === 'element' && (isOfExit(object) || isServed(object)),
      ) as Element[],
      kept: [], // by a kernel without interfaces: see FakeHost
      outside: this.outside.list().filter((object) => {
        if (kernelKindOf(object).list === noneListed) return false; // goes with its device, or is asked for by name
        if (object.kind === 'address') return object.device !== tunnelDevice && known.includes(object);
        return object.kind !== 'route' || listed.has(object.table);
      }),
      others: [],
    };
  }

  /** The elements of the pods' maps, and those that lead to their ports. */
  podElements(): Element[] {
    return this.elements().filter(
      (element) => podSetNames.includes(element.set) || isBlock(element) || element.set === layout.setNames.held,
    );
  }

  /** The elements by which connections stay with the exit that they began with. */
  heldElements(): Element[] {
    return this.elements().filter(({ set }) => set === layout.setNames.held);
  }

  /** The elements by which exits are served to others. */
  servedElements(): Element[] {
    return this.elements().filter(isServed);
  }

  elements(): Element[] {
    return this.contents().filter((object) => object.kind === 'element') as Element[];
  }
}

const isOfExit = ({ set }: Element) => /^(snat|lanes|sent$|tunnels|fallback|elsewhere|spread|returns|locals)/.test(set);
const isOfFast = (object: HostObject) => object.kind === 'element' && layout.isFastSet(object.set);
const isBlock = ({ set }: Element) => families.some((family) => set === layout.setNames.blocks(family));
const isServed = ({ set }: Element) => set === layout.setNames.served;

/** Whether an object is looked for: what `src/kernel/observe.ts` lists. */
function concerns(object: HostObject, node: NodeState, needs: Needs): boolean {
  const { exits, tunnel, gateway, checked = [] } = needs;
  if (needsEgressHook(object) && !isFastJudge(object) && exits.length === 0) return false;
  if (isKeeping({ verb: 'add', object })) return false; // asked for by itself: listKept
  if (object.kind === 'table' && object.family === 'netdev')
    return exits.length > 0 || checked.some(({ sources }) => sources !== undefined);
  switch (object.kind) {
    case 'set':
    case 'chain':
      return object.family === undefined ? isNamed(object, node, needs) : isAtInterface(object, node, needs);
    case 'element':
      return concernsElement(object, node, needs);
    case 'rule':
      return concernsRule(object, node, needs);
    case 'route':
      return hasTable(tablesOf(node, needs), object.family, object.table);
    case 'address':
      return tunnel !== undefined && (object.device === tunnelDevice || gateway !== undefined);
    case 'tunnel':
    case 'neighbour':
    case 'forwarding':
      return tunnel !== undefined;
    case 'ingressMark':
      return checked.some(({ sources }) => sources?.devices.includes(object.device));
    case 'behind': // asked for by address: firstHolder
      return false;
    default:
      return true;
  }
}

function isAtInterface(object: Chain | NftSet, node: NodeState, { exits, checked = [] }: Needs): boolean {
  const { kind, name } = object;
  const devices = checked.flatMap(({ sources }) => sources?.devices ?? []);
  const isOfSources = devices.length > 0 && name === layout.chainNames.unowned;
  const isFrom = devices.some((device) => layout.chainNames.from(device) === name);
  if (kind === 'set' || name === layout.chainNames.fastServed) return true;
  const isOfExit = exits.some(({ device }) => layout.chainNames.sent(device) === name);
  return isOfSources || isFrom || isOfExit || isLeftElsewhere(node, exits, object);
}

function isNamed(
  { kind, name }: Chain | NftSet,
  { tunnel, gateway }: NodeState,
  { exits, attachment, ports }: Needs,
): boolean {
  const has = (parts: { readonly chains: readonly string[]; readonly sets: readonly string[] }) =>
    parts[`${kind}s`].includes(name);
  if (has(layout.tunnelParts)) return tunnel !== undefined;
  if (has(layout.gatewayParts)) return gateway !== undefined;
  if (layout.isPortsChain(name)) return ports.some(({ id, address }) => name === layout.chainNames.ports(id, address));
  if (layout.isProgramChain(name)) return name === attachment?.program || isOfProgram(name, attachment?.program);
  const isShared = families.some((family) => name === layout.setNames.cluster(family));
  if (isShared) return attachment !== undefined && attachment.cluster === undefined;
  const exit = layout.exitIdOfChain(name) ?? layout.exitIdOfPart(name);
  return exit === undefined || exits.some(({ id }) => id === exit);
}

const isOfProgram = (name: string, program: string | undefined) =>
  program !== undefined && name.startsWith(`${program}-`);

function concernsElement(
  element: Element,
  node: NodeState,
  { exits, gateway, attachment, fellows = [], ports }: Needs,
): boolean {
  if (layout.isAnswersSet(element.set)) return concernsAnswers(element, node, new Set(exits.map(({ id }) => id)));
  if (isOfFast(element)) return exits.length > 0;
  if (isServed(element)) return gateway !== undefined;
  if (isBlock(element)) return ports.some(({ id, address }) => element.key === layout.exitAddressKey(id, address));
  if (isOfExit(element)) {
    const id = layout.exitIdOfKey(element.key);
    return exits.some((exit) => exit.id === id) || (id === layout.replyId && gateway !== undefined);
  }
  const exit = layout.exitIdOfPart(element.set);
  if (exit !== undefined) return exits.some(({ id }) => id === exit);
  const pods = [...(attachment ? [attachment] : []), ...fellows];
  const keys = pods.flatMap(({ addresses }) =>
    addresses.flatMap((one) => layout.podSets(familyOf(one)).map((set) => layout.podKey(set, one))),
  );
  if (element.set === layout.setNames.uplinks) {
    return [tunnelDevice, ...exits.map(({ device }) => device)].map(deviceHex).includes(element.key);
  }
  return element.set === layout.setNames.own || keys.includes(element.key);
}

function concernsRule(rule: PolicyRule, node: NodeState, needs: Needs): boolean {
  const { closed = [], exits, gateway } = needs;
  const inUse = gateway ? families : [...closed, ...exits.flatMap(({ ways }) => ways.map(({ family }) => family))];
  const table = lookupOf(rule);
  return inUse.includes(rule.family) && (table === undefined || hasTable(tablesOf(node, needs), rule.family, table));
}

function withoutProgramRanges(object: HostObject): HostObject {
  if (object.kind !== 'set' || !layout.isProgramChain(object.name)) return object;
  const { intervals: _, ...set } = object;
  return set;
}
