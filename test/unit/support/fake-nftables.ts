import { constants } from 'node:os';
import { canonicalJson, isEqual } from '../../../src/base/canonical.ts';
import { keyOf } from '../../../src/datapath/difference.ts';
import { KernelError } from '../../../src/kernel/netlink/socket.ts';
import type { Chain, Element, InTable, NftObject, NftSet, Operation, Table } from '../../../src/nftables/object.ts';

/** What is in our tables, by {@link keyOf}. */
export type Objects = Map<string, Table | NftObject>;

type Code = 'ENOENT' | 'EBUSY' | 'EEXIST' | 'EINVAL';

/** Refuses as the kernel does, with the fake's reason. */
function require(condition: boolean, code: Code, reason: string): void {
  if (!condition) throw new KernelError(constants.errno[code], 0, reason);
}

/** One operation of a transaction; throws KernelError where the kernel refuses it. */
export function perform(objects: Objects, { verb, object }: Operation): void {
  if (object.kind !== 'table') require(objects.has(named(object, 'table')), 'ENOENT', `no table for ${keyOf(object)}`);
  if (verb === 'add') add(objects, object);
  else takeAway(objects, verb, object);
}

function add(objects: Objects, object: Table | NftObject): void {
  if (object.kind === 'element') addElement(objects, object);
  else addOrExtend(objects, object);
}

function takeAway(objects: Objects, verb: 'delete' | 'flush', object: Table | NftObject): void {
  require(objects.has(keyOf(object)), 'ENOENT', `${keyOf(object)} is not there to ${verb}`);
  if (object.kind === 'table') {
    for (const [key, other] of objects) if (inTableOf(object)(other)) objects.delete(key);
  } else if (verb === 'flush') flush(objects, object);
  else {
    objects.delete(keyOf(object));
    const users = object.kind === 'element' ? [] : usersOf(objects, object);
    require(users.length === 0, 'EBUSY', `${keyOf(object)} is in use by ${users}`);
    if (object.kind === 'set') removeElements(objects, object);
  }
}

function addElement(objects: Objects, element: Element): void {
  requireNamed(objects, element);
  require(!objects.has(keyOf(element)), 'EEXIST', `${keyOf(element)} is there already`);
  objects.set(keyOf(element), element);
}

/** A chain that is there gets the rules behind its own, a set the ranges beside its own. */
function addOrExtend(objects: Objects, object: Table | Chain | NftSet): void {
  const old = objects.get(keyOf(object));
  requireNamed(objects, object);
  if (object.kind === 'chain' && old?.kind === 'chain') {
    require(isEqual(old.hook, object.hook), 'EEXIST', `another hook of ${object.name}`);
    objects.set(keyOf(object), { ...object, rules: [...old.rules, ...object.rules] });
  } else if (object.kind === 'set' && old?.kind === 'set') {
    const intervals = [...(old.intervals ?? []), ...(object.intervals ?? [])];
    require(shapeOf(old) === shapeOf(object), 'EEXIST', `another type of ${object.name}`);
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

/** What {@link namesIn} has found: an object does not change, and is asked again with each change of another. */
const found = new WeakMap<Table | NftObject, readonly string[]>();

/** The keys of the chain and the sets that a rule or element leads to, and of the set that an element is in. */
function namesIn(object: Table | NftObject): readonly string[] {
  const names = found.get(object) ?? findNames(object);
  found.set(object, names);
  return names;
}

function findNames(object: Table | NftObject): readonly string[] {
  if (object.kind === 'element') {
    const { set, verdict } = object;
    return [named(object, `set ${set}`), ...(verdict && 'chain' in verdict ? [`chain ${verdict.chain}`] : [])];
  }
  if (object.kind !== 'chain') return [];
  return object.rules
    .flatMap(({ statements }) => statements.flatMap(({ expressions }) => expressions))
    .flatMap((expression) => {
      if (expression.name === 'lookup') return [named(object, `set ${expression.set}`)];
      const verdict = expression.name === 'immediate' && 'verdict' in expression ? expression.verdict : undefined;
      return verdict && 'chain' in verdict ? [named(object, `chain ${verdict.chain}`)] : [];
    });
}

function requireNamed(objects: Objects, object: Table | NftObject): void {
  for (const name of namesIn(object))
    require(objects.has(name), 'ENOENT', `${keyOf(object)} names ${name}, which is not there`);
}

/** What keeps a chain or set from being deleted. Its own elements do not keep a set. */
const usersOf = (objects: Objects, object: Chain | NftSet): string[] =>
  [...objects.values()]
    .filter((user) => object.kind === 'chain' || user.kind === 'chain')
    .filter((user) => namesIn(user).includes(keyOf(object)))
    .map(keyOf);

/** How many rules and elements lead to a chain. */
export const references = (objects: Objects, chain: Chain): number =>
  [...objects.values()].flatMap(namesIn).filter((name) => name === keyOf(chain)).length;
