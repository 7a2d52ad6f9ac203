import assert from 'node:assert/strict';
import { canonicalJson } from '../../../src/base/canonical.ts';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { exitsOf } from '../../../src/datapath/desired.ts';
import { type Change, keyOf } from '../../../src/datapath/difference.ts';
import * as layout from '../../../src/datapath/layout.ts';
import type { HostObject, PolicyRule, Route, Sysctl } from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import type { OurState } from '../../../src/datapath/release.ts';
import { mergePrefixes, printRange } from '../../../src/nftables/interval.ts';
import type { Chain, Element, InTable, NftObject, NftSet, Operation, Table } from '../../../src/nftables/object.ts';

type Objects = Map<string, Table | NftObject>;

/** An object as it is listed: a rule has lost its words, ranges are merged. */
export function asListed(object: HostObject): HostObject {
  if (object.kind === 'set' && object.intervals !== undefined) {
    return { ...object, intervals: mergePrefixes(object.intervals).map(printRange) };
  }
  if (object.kind !== 'chain') return object;
  const rules = object.rules.map((rule) => ({
    ...rule,
    statements: [{ text: '', expressions: rule.statements.flatMap((statement) => statement.expressions) }],
  }));
  return { ...object, rules };
}

/**
 * The kernel of a node as plain data: our tables, our policy rules and routes, and the kernel parameters. It refuses what
 * the real one refuses: to name what is not there, to delete what is not there or still in use, to add an element twice.
 */
export class FakeKernel {
  /** Counts the changes of the ruleset. */
  generation = 1;
  readonly sysctls = new Map<string, string>();
  #nftables: Objects = new Map();
  readonly #outside = new Map<string, PolicyRule | Route>();

  get hasTable(): boolean {
    return this.#nftables.has('table');
  }

  /** Somebody deletes our tables. */
  deleteTables(): void {
    this.#nftables = new Map();
    this.generation++;
  }

  /** Everything of ours, as it is listed, in no particular order. */
  contents(): HostObject[] {
    return [...this.#nftables.values(), ...this.#outside.values()].map(asListed);
  }

  /** Carries changes out, in the order of {@link planOf}. A refused transaction changes nothing, but what comes before it stays. */
  apply(changes: readonly Change[]): void {
    const { before, transaction, after } = planOf(changes);
    this.setUpOutside(before);
    this.transact(transaction);
    for (const object of after) {
      if (object.kind === 'sysctl') this.sysctls.set(object.name, object.value);
      else this.#outside.delete(keyOf(object));
    }
  }

  setUpOutside(objects: readonly (Sysctl | Route | PolicyRule)[]): void {
    for (const object of objects) {
      if (object.kind === 'sysctl') this.sysctls.set(object.name, object.value);
      else this.#outside.set(keyOf(object), object);
    }
  }

  /** All operations or none. */
  transact(operations: readonly Operation[]): void {
    if (operations.length === 0) return;
    const next: Objects = new Map(this.#nftables);
    for (const operation of operations) perform(next, operation);
    this.#nftables = next;
    this.generation++;
  }

  /** What is there of what one attachment needs. */
  observe(node: NodeState, attachment: SteeredAttachment, contents: boolean): HostObject[] {
    const exits = exitsOf(node, attachment);
    return this.contents()
      .filter((object) => concerns(object, node, attachment, exits))
      .map((object) => (contents ? object : withoutProgramRanges(object)));
  }

  /** What is there of ours, with the routes in the tables that our rules lead to and in `tables`. */
  ourState(tables: readonly number[]): OurState {
    const all = this.contents();
    const rules = all.filter((object) => object.kind === 'rule');
    const listed = new Set([...tables, ...rules.map(tableOf)]);
    return {
      table: this.hasTable,
      chains: all
        .filter((object) => object.kind === 'chain' && object.family === undefined)
        .map((chain) => ({ ...(chain as Chain), references: references(this.#nftables, chain as Chain) })),
      sets: all.filter((object) => object.kind === 'set' && object.family === undefined) as NftSet[],
      ...(this.#nftables.has(keyOf(layout.sentTable)) && {
        sent: all.filter((object) => object.kind === 'chain' && object.family !== undefined) as Chain[],
      }),
      exitElements: all.filter((object) => object.kind === 'element' && isOfExit(object)) as Element[],
      rules,
      routes: all.filter((object) => object.kind === 'route').filter(({ table }) => listed.has(table)),
    };
  }

  /** The elements of the pods' maps. */
  podElements(): Element[] {
    return this.contents().filter((object) => object.kind === 'element' && object.set.startsWith('pods')) as Element[];
  }
}

const isOfExit = ({ set }: Element) => /^(snat|lanes|sent)/.test(set);

const tableOf = ({ action }: PolicyRule) =>
  typeof action === 'object' && 'lookup' in action ? action.lookup : undefined;

function concerns(
  object: HostObject,
  node: NodeState,
  { addresses, program }: SteeredAttachment,
  exits: NodeState['exits'],
): boolean {
  const isTheirTable = (table: number) => exits.some(({ id }) => node.routeTable + id === table);
  if ('family' in object && object.family === 'netdev' && exits.length === 0) return false;
  switch (object.kind) {
    case 'set':
      return !layout.isProgramChain(object.name) || object.name.startsWith(`${program}-`);
    case 'chain':
      if (layout.isProgramChain(object.name)) return object.name === program;
      if (object.family !== undefined)
        return exits.some(({ device }) => layout.chainNames.sent(device) === object.name);
      return exits.some(({ id }) => layout.chainNames.exit(id) === object.name) || !/^exit-\d/.test(object.name);
    case 'element':
      if (isOfExit(object)) return exits.some(({ id }) => id === layout.exitIdOfKey(object.key));
      return object.set === layout.setNames.own || addresses.map(layout.addressHex).includes(object.key);
    case 'rule': {
      const table = tableOf(object);
      const isTheirFamily = exits.some(({ ways }) => ways.some(({ family }) => family === object.family));
      return isTheirFamily && (table === undefined || isTheirTable(table));
    }
    case 'route':
      return isTheirTable(object.table);
    default:
      return true;
  }
}

function withoutProgramRanges(object: HostObject): HostObject {
  if (object.kind !== 'set' || !layout.isProgramChain(object.name)) return object;
  const { intervals: _, ...set } = object;
  return set;
}

function perform(objects: Objects, { verb, object }: Operation): void {
  if (object.kind !== 'table') assert.ok(objects.has(named(object, 'table')), `no table for ${keyOf(object)}`);
  if (verb === 'add') add(objects, object);
  else takeAway(objects, verb, object);
}

function add(objects: Objects, object: Table | NftObject): void {
  if (object.kind === 'element') addElement(objects, object);
  else addOrExtend(objects, object);
}

function takeAway(objects: Objects, verb: 'delete' | 'flush', object: Table | NftObject): void {
  assert.ok(objects.has(keyOf(object)), `${keyOf(object)} is not there to ${verb}`);
  if (object.kind === 'table') {
    for (const [key, other] of objects) if (inTableOf(object)(other)) objects.delete(key);
  } else if (verb === 'flush') flush(objects, object);
  else {
    objects.delete(keyOf(object));
    const users = object.kind === 'element' ? [] : usersOf(objects, object);
    assert.deepEqual(users, [], `${keyOf(object)} is in use`);
    if (object.kind === 'set') removeElements(objects, object);
  }
}

function addElement(objects: Objects, element: Element): void {
  assert.ok(!objects.has(keyOf(element)), `${keyOf(element)} is there already`);
  requireNamed(objects, element);
  objects.set(keyOf(element), element);
}

/** A chain that is there gets the rules behind its own, a set the ranges beside its own. */
function addOrExtend(objects: Objects, object: Table | Chain | NftSet): void {
  const old = objects.get(keyOf(object));
  requireNamed(objects, object);
  if (object.kind === 'chain' && old?.kind === 'chain') {
    assert.equal(canonicalJson(old.hook ?? null), canonicalJson(object.hook ?? null), `another hook of ${object.name}`);
    objects.set(keyOf(object), { ...object, rules: [...old.rules, ...object.rules] });
  } else if (object.kind === 'set' && old?.kind === 'set') {
    const intervals = [...(old.intervals ?? []), ...(object.intervals ?? [])];
    assert.equal(shapeOf(old), shapeOf(object), `another type of ${object.name}`);
    objects.set(keyOf(object), object.intervals === undefined ? object : { ...object, intervals });
  } else objects.set(keyOf(object), object);
}

const shapeOf = (set: NftSet) => canonicalJson({ ...set, intervals: set.intervals && [] });

function flush(objects: Objects, object: NftObject): void {
  if (object.kind === 'chain') objects.set(keyOf(object), { ...(objects.get(keyOf(object)) as Chain), rules: [] });
  if (object.kind !== 'set') return;
  if (object.intervals !== undefined) objects.set(keyOf(object), { ...object, intervals: [] });
  removeElements(objects, object);
}

function removeElements(objects: Objects, set: NftSet): void {
  for (const [key, other] of objects) {
    if (other.kind === 'element' && other.set === set.name && inTableOf(set)(other)) objects.delete(key);
  }
}

const inTableOf =
  ({ family }: InTable) =>
  (other: InTable) =>
    other.family === family;

/** What {@link keyOf} says of something in the same table. */
const named = ({ family }: InTable, name: string) => (family === undefined ? name : `${family} ${name}`);

/** The keys of the chain and the sets that a rule or element leads to, and of the set that an element is in. */
function namesIn(object: Table | NftObject): string[] {
  if (object.kind === 'element') {
    const { set, verdict } = object;
    return [named(object, `set ${set}`), ...(verdict && 'chain' in verdict ? [`chain ${verdict.chain}`] : [])];
  }
  if (object.kind !== 'chain') return [];
  return object.rules
    .flatMap(({ statements }) => statements.flatMap(({ expressions }) => expressions))
    .flatMap((expression) => {
      if (expression.name === 'lookup') return [named(object, `set ${expression.set}`)];
      const leadsOn = expression.name === 'immediate' && 'chain' in expression.verdict;
      return leadsOn ? [named(object, `chain ${expression.verdict.chain}`)] : [];
    });
}

function requireNamed(objects: Objects, object: Table | NftObject): void {
  for (const name of namesIn(object))
    assert.ok(objects.has(name), `${keyOf(object)} names ${name}, which is not there`);
}

/** What keeps a chain or set from being deleted. Its own elements do not keep a set. */
const usersOf = (objects: Objects, object: Chain | NftSet): string[] =>
  [...objects.values()]
    .filter((user) => object.kind === 'chain' || user.kind === 'chain')
    .filter((user) => namesIn(user).includes(keyOf(object)))
    .map(keyOf);

/** How many rules and elements lead to a chain. */
const references = (objects: Objects, chain: Chain): number =>
  [...objects.values()].flatMap(namesIn).filter((name) => name === keyOf(chain)).length;
