import { canonicalJson } from '../base/canonical.ts';
import type { NftSet, Operation } from '../nftables/object.ts';
import { type Change, isOfFlags } from './difference.ts';
import { keptMaps } from './kept.ts';
import { addressMaps, exitIdOfPart, nodeSets } from './layout.ts';
import {
  type HostObject,
  isOutside,
  nftKinds,
  type OutsideObject,
  outsideKindOf,
  outsideKinds,
  type TunnelLink,
} from './objects.ts';
import { isSameTunnel } from './tunnel.ts';

/**
 * Changes in the order of making them. Devices, routes and rules go up before the chains that send packets to them, and
 * come down after. The tunnel's device lets packets in. Nothing may come out of it before its chains and rules are
 * there, nor after they are gone, even when the process is killed on the way.
 */
export interface Plan {
  /** The tunnel's device when it goes: set down before anything else, so that nothing is on its way any more. */
  readonly shut: readonly TunnelLink[];
  /**
   * Objects to take down first: rules and filters that stand in the way of a change of the mark, egress addresses, and
   * parameters to put back.
   * The table still holds the parameters' values, should the process be killed.
   */
  readonly first: readonly OutsideObject[];
  /** Devices, addresses, parameters, routes and rules to set up, before the transaction; a new device of a tunnel is down. */
  readonly before: readonly OutsideObject[];
  /**
   * A transaction before the other: new sets and chains to which nothing leads yet, where new sets of ranges are among them.
   * What is in a new set of ranges is found only at the end of a commit, when elements and rules of the same transaction lead
   * there already (seen with Linux 6.18). Empty where no new ranges are looked into, or nothing leads there yet.
   */
  readonly ahead: readonly Operation[];
  /** One nftables transaction. */
  readonly transaction: readonly Operation[];
  /** Existing sets of elements in the transaction: their types give the bytes of an element their meaning. */
  readonly sets: readonly NftSet[];
  /**
   * Set up after the transaction: the tunnel's device, neighbours on it and routes by it. The kernel refuses or forgets
   * these while the device is down.
   */
  readonly open: readonly OutsideObject[];
  /** Taken down after the transaction: kinds of `before` without parameters. Objects on a device go with it. */
  readonly after: readonly OutsideObject[];
  /** Rules to set up when all else is there, in the place of the first. */
  readonly last: readonly OutsideObject[];
  /**
   * Behind even these, what marks packets that the chains then judge (another mark's filter was among the first), and egress
   * addresses, for which the chains keep the node from answering. Nothing waits for them, so a kernel that refuses them
   * keeps nothing else from being there.
   */
  readonly closing: readonly OutsideObject[];
}

const isTunnel = (object: HostObject): object is TunnelLink => object.kind === 'tunnel';
const goesFirst = (object: OutsideObject): boolean => outsideKindOf(object).goes(object) === 'first';
const comesLast = (object: OutsideObject): boolean => outsideKindOf(object).comes?.(object) === 'last';
const setUpOrder = Object.keys(outsideKinds);
const order = (a: OutsideObject, b: OutsideObject) => setUpOrder.indexOf(a.kind) - setUpOrder.indexOf(b.kind);

/** Puts changes in such an order that no packet takes a way that is not there yet, or not there any more. */
export function planOf(changes: readonly Change[]): Plan {
  const skips = exchangedSkips(changes);
  const others = changes.filter((change) => !skips.includes(change));
  const gone = others.filter(({ verb }) => verb === 'remove');
  const kept = others.filter(({ verb }) => verb !== 'remove');
  const objects = (changes: readonly Change[]) => changes.map(({ object }) => object).filter(isOutside);
  const shut = objects(gone)
    .filter(isTunnel)
    .map((tunnel) => ({ ...tunnel, up: false }));
  const ahead = aheadOf(kept);
  const closed = kept.flatMap(closedTunnel);
  const isClosed = ({ name, up }: TunnelLink) => up && closed.some((one) => one.name === name);
  const isOpenedLater = (object: OutsideObject) =>
    closed.some(({ name }) => name === outsideKindOf(object).needsUp(object));
  const isOnGone = (object: OutsideObject) => 'device' in object && shut.some(({ name }) => name === object.device);
  return {
    shut,
    first: [
      ...objects(skips.filter(({ verb }) => verb === 'remove')),
      ...[...objects(gone), ...replaced(kept).filter(comesLast)].filter(goesFirst),
    ],
    before: objects(kept)
      .filter((object) => !comesLast(object) && !isOpenedLater(object))
      .map((object) => (isTunnel(object) ? (closed.find(({ name }) => name === object.name) ?? object) : object))
      .sort(order),
    ahead: ahead.flatMap(operationsOf),
    transaction: [...kept.filter((change) => !ahead.includes(change)), ...gone.sort(removeFirst)].flatMap(operationsOf),
    sets: [...nodeSets, ...keptMaps, ...addressMapsOf(changes)],
    open: [...objects(kept).filter(isTunnel).filter(isClosed), ...objects(kept).filter(isOpenedLater).sort(order)],
    after: objects(gone)
      .filter((object) => !isOnGone(object) && !goesFirst(object))
      .sort((a, b) => order(b, a)),
    last: objects(skips.filter(({ verb }) => verb !== 'remove')),
    closing: objects(kept).filter(comesLast),
  };
}

/** What is there in the place of other objects outside of nftables. */
const replaced = (kept: readonly Change[]): OutsideObject[] =>
  kept.flatMap((change) => (change.verb === 'replace' && isOutside(change.observed) ? [change.observed] : []));

/**
 * Rules that jump over all exits for packets without our mark, while rules of another mark come or go: they would keep
 * packets with the other mark from their exits. Without them packets only look at more rules, so the old one goes before
 * anything else changes, and the new one comes when everything has.
 */
function exchangedSkips(changes: readonly Change[]): readonly Change[] {
  const rules = changes.flatMap((change) =>
    change.object.kind === 'rule' && change.object.fwmark !== undefined ? [{ change, rule: change.object }] : [],
  );
  const isOpposite = (a: Change, b: Change) => (a.verb === 'remove') !== (b.verb === 'remove');
  return rules
    .filter(({ rule }) => rule.invert)
    .filter(({ change, rule }) =>
      rules.some((other) => other.rule.family === rule.family && isOpposite(other.change, change)),
    )
    .map(({ change }) => change);
}

/** The device down, as it is made or made anew, until all is there; none when it is up, and can stay so. */
function closedTunnel(change: Change): TunnelLink[] {
  const { object } = change;
  if (!isTunnel(object)) return [];
  const { observed } = change.verb === 'replace' ? change : {};
  const staysUp = observed !== undefined && isTunnel(observed) && observed.up && isSameTunnel(observed, object);
  return staysUp ? [] : [{ ...object, up: false }];
}

/** Objects go before the objects that they point to: elements before chains, rules before sets. */
const removal = Object.keys(nftKinds);
const removeFirst = (a: Change, b: Change) => removal.indexOf(a.object.kind) - removal.indexOf(b.object.kind);

const addressMapsOf = (changes: readonly Change[]): readonly NftSet[] => {
  const ids = changes.flatMap(({ object }) => (object.kind === 'element' ? (exitIdOfPart(object.set) ?? []) : []));
  return [...new Set(ids)].flatMap(addressMaps);
};

function aheadOf(kept: readonly Change[]): readonly Change[] {
  return kept.some(isNewRanges) && kept.some(leadsOn) ? kept.filter(isNotLedTo) : [];
}

const isNewRanges = ({ verb, object }: Change): boolean =>
  verb === 'add' && object.kind === 'set' && object.intervals !== undefined;

/** By an element with a verdict, and by a chain that was there before, packets come to what is new. */
const leadsOn = ({ verb, object }: Change): boolean =>
  object.kind === 'element' ? object.verdict !== undefined : verb === 'replace' && object.kind === 'chain';

/** Tables, sets without their elements, and chains at no hook. */
const isNotLedTo = ({ verb, object }: Change): boolean =>
  verb === 'add' &&
  (object.kind === 'table' || object.kind === 'set' || (object.kind === 'chain' && object.hook === undefined));

function operationsOf(change: Change): Operation[] {
  const { object } = change;
  if (isOutside(object)) return [];
  if (change.verb === 'add') return [{ verb: 'add', object }];
  if (change.verb === 'remove') return [{ verb: 'delete', object }];
  if (object.kind === 'table' && isOfFlags(change)) return [{ verb: 'add', object }]; // what is in it stays
  return replacing(object, change.observed);
}

/** Sets and chains keep their identity, others lead to them; only their content is written anew. */
function replacing(object: Exclude<HostObject, OutsideObject>, observed: HostObject): Operation[] {
  const asNew = [
    { verb: 'delete', object },
    { verb: 'add', object },
  ] as const;
  if (object.kind === 'table' || object.kind === 'element') return [...asNew];
  const sameShape = canonicalJson(shapeOf(object)) === canonicalJson(shapeOf(observed));
  return sameShape
    ? [
        { verb: 'flush', object },
        { verb: 'add', object },
      ]
    : [...asNew];
}

/** The parts of a set or chain that cannot be changed while it exists. */
function shapeOf(object: HostObject): unknown {
  if (object.kind === 'chain') return object.hook;
  if (object.kind === 'set') return { ...object, intervals: undefined };
  return undefined;
}
