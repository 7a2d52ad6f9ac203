import { type Address, familyOf } from '../base/address.ts';
import { isEqual } from '../base/canonical.ts';
import { asEgressError, type EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Gateway } from '../datapath/attachment.ts';
import { type Change, keyOf } from '../datapath/difference.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { type Needs, needsOfNode } from '../datapath/needs.ts';
import { differenceNow } from '../node/difference-now.ts';
import { gatewayOf, resolveOnNode } from '../node/exits.ts';
import { keepingChanges, overwrittenBy } from '../node/kept.ts';
import { exitsOf, listLiving } from '../node/living.ts';
import type { Machine } from '../node/machine.ts';
import { nextNode } from '../node/node.ts';
import { findOwnEnd, type OwnEnd } from '../node/own-end.ts';
import { remark } from '../node/remark.ts';
import { planRepairPods, type Repair, repairPods } from '../node/repair.ts';
import { attainable, settle, steeredOf } from '../node/set-up.ts';
import { settled } from '../node/settled.ts';
import { planReleaseServed, releaseServed } from '../node/tear-down.ts';
import { type Exit, movingAddresses } from '../policy/exit.ts';
import type { ElectionRecord, MovesRecord, NodeRecord } from '../store/record.ts';
import { followFlows, forgetBefore } from './flows.ts';
import { forgetOtherAddresses } from './other-addresses.ts';

/** What a node shall be. */
export interface Wanted {
  /** Whether it serves an exit that it is the gateway of. */
  serves(exit: Exit): boolean;
  readonly moves: MovesRecord['gateways'];
  /** Name of the exit that it is all about: when that one cannot be as it should, nothing is done. */
  readonly required?: string;
  /** What the node's pods have is taken to be right: only what they share is looked at, and nothing is released. */
  readonly podsAreRight?: true;
}

/** The changes, done or planned. */
export interface Outcome {
  /** The node as it is now; undefined when nothing of ours is left on it. */
  readonly node: NodeRecord | undefined;
  readonly changes: readonly Change[];
  /** Why exits and pods of this node are left as they were; the others are as they should be. */
  readonly failures: readonly EgressError[];
}

/**
 * Makes the node's exits as the configuration says now. Exits of its pods lead to their present gateways; exits with
 * this gateway are served to others. All is one step: the serving side is there before the egress addresses are
 * announced, and stale objects go last. The node's own pods get lost objects back first, or the kernel would say that
 * nobody uses their exits. Connections go on where they can. An exit that fails stops no other. When it throws, all is
 * as before. Needs the store's lock.
 */
export async function reconcile(machine: Machine, configuration: Configuration, wanted: Wanted): Promise<Outcome> {
  const { store } = machine;
  const previous = store.loadNode();
  const { next, failures } = await wantedNode(machine, configuration, previous, wanted);
  const changes = next.exits.length > 0 ? await setUp(machine, previous, next) : [];
  const keepsPods = wanted.podsAreRight === true;
  const pods = next.exits.length > 0 && !keepsPods ? await repairPods(machine, next) : noRepair;
  const released = keepsPods ? [] : await releaseOthers(machine, next);
  await followFlows(machine, previous, next);
  await forgetOtherAddresses(machine, configuration, next, changes);
  await announceNew(machine, changes);
  return {
    node: store.loadNode(),
    changes: [...changes, ...pods.changes, ...released],
    failures: [...failures, ...pods.failures.map(({ error }) => error)],
  };
}

const noRepair: Repair = { changes: [], failures: [] };

async function setUp(machine: Machine, previous: NodeRecord | undefined, next: NodeRecord): Promise<readonly Change[]> {
  const { store } = machine;
  await remark(machine, next);
  if (!isEqual(previous, next)) store.saveNode(next);
  await forgetBefore(machine, next);
  try {
    return await settle(machine, next, needsOn(machine, next), true);
  } catch (error) {
    // The addresses that were given before it failed are remembered in the record: release, then go back.
    await releaseOthers(machine, previous);
    if (previous !== undefined) store.saveNode(previous);
    throw error;
  }
}

const needsOn = ({ store }: Machine, node: NodeRecord): Needs => needsOfNode(node, store.list().map(steeredOf));

/** Takes down exits that the node serves no more, and the objects that only they need. */
function releaseOthers(machine: Machine, node: NodeRecord | undefined): Promise<readonly Change[]> {
  const served = new Set(node?.gateway?.served);
  return releaseServed(machine, (id) => !served.has(id));
}

/** The changes that {@link reconcile} would make. Changes nothing. Waits for a call that is changing something. */
export const planReconcile = async (
  machine: Machine,
  configuration: Configuration,
  wanted: Wanted,
): Promise<readonly Change[]> =>
  (
    await settled(
      machine,
      () => lookAtNode(machine, configuration, wanted),
      ({ changes }) => changes.length === 0,
    )
  ).changes;

/** The changes and failures of {@link reconcile}, by one look: another call may be at work. */
export async function lookAtNode(
  machine: Machine,
  configuration: Configuration,
  wanted: Wanted,
): Promise<Omit<Outcome, 'node'>> {
  const { next, failures } = await wantedNode(machine, configuration, machine.store.loadNode(), wanted);
  const served = new Set(next.gateway?.served);
  const released = await planReleaseServed(machine, (id) => !served.has(id));
  if (next.exits.length === 0) return { changes: released, failures };
  const needs = needsOn(machine, next);
  const { state } = await machine.host.observe(next, needs, { contents: true });
  const changes = await differenceNow(machine, next, needs, state);
  const known = new Set(changes.map(({ object }) => keyOf(object)));
  const pods = wanted.podsAreRight ? noRepair : await planRepairPods(machine, next);
  const ofPods = pods.changes.filter(({ object }) => !known.has(keyOf(object)));
  const keeping = await keepingChanges(machine, overwrittenBy(machine, changes), changes);
  return {
    changes: [...(await attainable(machine, needs, [...changes, ...keeping, ...ofPods])), ...released],
    failures: [...failures, ...pods.failures.map(({ error }) => error)],
  };
}

async function wantedNode(
  machine: Machine,
  configuration: Configuration,
  previous: NodeRecord | undefined,
  { serves, moves, required, podsAreRight }: Wanted,
): Promise<{ next: NodeRecord; failures: EgressError[] }> {
  const { host, store } = machine;
  const ownEnd = await findOwnEnd(host, configuration);
  const used = exitsOf(machine, podsAreRight ? store.list() : await listLiving(machine));
  const gateways = inForce(configuration, ownEnd?.address, used, moves, store.agent.loadElections());
  const [exits, served, failures]: [ResolvedExit[], ResolvedExit[], EgressError[]] = [[], [], []];
  for (const exit of configuration.exits) {
    const before = previous?.exits.find(({ name }) => name === exit.name);
    const isServed = ownEnd !== undefined && gatewayOf(exit, gateways) === ownEnd.address && serves(exit);
    if (!isServed && before === undefined && !used.has(exit.name)) continue;
    const now = await resolveOnNode(host, exit, ownEnd, gateways).catch((error) => {
      if (exit.name === required) throw error;
      failures.push(asEgressError(error));
      return before;
    });
    if (now !== undefined) exits.push(now);
    if (now !== undefined && isServed && now.gateway === undefined) served.push(now);
  }
  const ready = ownEnd === undefined ? [] : await readyOnes(machine, configuration, ownEnd, served);
  const known = previous?.addresses ?? [];
  const isGateway = served.length + ready.length > 0;
  const gateway =
    ownEnd && isGateway ? await gatewayOn(machine, configuration, ownEnd, { served, ready, known }) : undefined;
  const next = await nextNode(machine, configuration, previous, { exits, ownEnd, gateway });
  return { next: withElected(next), failures };
}

/**
 * Exits whose addresses this node may be given at any moment, though pods here use another gateway of theirs now. It is deaf
 * on the addresses from before.
 */
async function readyOnes(
  { host, store }: Machine,
  { exits }: Configuration,
  own: OwnEnd,
  served: readonly ResolvedExit[],
): Promise<readonly ResolvedExit[]> {
  const elections = store.agent.loadElections();
  const ready: ResolvedExit[] = [];
  for (const exit of exits) {
    if (elections[exit.name]?.by !== 'vrrp' || served.some(({ name }) => name === exit.name)) continue;
    const here = await resolveOnNode(host, exit, own, { [exit.name]: own.address }).catch(() => undefined);
    if (here !== undefined && here.gateway === undefined) ready.push(here);
  }
  return ready;
}

/**
 * The gateways of exits at this node. One that it does not hold now, but may at any moment, is made ready as if it did,
 * unless pods of the node use it: they have to reach the one that does. What comes for it meanwhile the guard drops,
 * since the addresses are not here.
 */
function inForce(
  { exits }: Configuration,
  own: Address | undefined,
  used: ReadonlySet<string>,
  moves: MovesRecord['gateways'],
  elected: ElectionRecord['exits'],
): MovesRecord['gateways'] {
  const gateways = { ...moves };
  for (const { name, gateways: all } of exits) {
    const now = elected[name];
    if (now === undefined || own === undefined || !all.includes(own)) continue;
    gateways[name] = now.holds || !used.has(name) ? own : now.gateway;
  }
  return gateways;
}

/** Before Linux 5.18 the kernel does not tell whose an address is: those that elections put there are remembered. */
function withElected(node: NodeRecord): NodeRecord {
  const elected = (node.gateway?.owned ?? []).filter((owned) => owned.elected);
  const isKnown = ({ device, address }: NodeRecord['addresses'][number]) =>
    node.addresses.some((known) => known.device === device && known.address === address);
  const more = elected.filter((owned) => !isKnown(owned)).map(({ device, address }) => ({ device, address }));
  return more.length === 0 ? node : { ...node, addresses: [...node.addresses, ...more] };
}

/** Exits that are served, or may be at any moment, and addresses that we put on interfaces before. */
interface Exits {
  readonly served: readonly ResolvedExit[];
  readonly ready: readonly ResolvedExit[];
  readonly known: NodeRecord['addresses'];
}

async function gatewayOn(
  machine: Machine,
  { nodes, tunnel, exits }: Configuration,
  own: OwnEnd,
  { served, ready, known }: Exits,
): Promise<Gateway> {
  const elsewhere = new Set(exits.flatMap(({ name, announce }) => (announce === 'elsewhere' ? [name] : [])));
  const ours = [...served, ...ready].filter(({ name }) => !elsewhere.has(name));
  const others = nodes.filter(({ address }) => address !== own.address && familyOf(address) === familyOf(own.address));
  const replies = others.flatMap(({ address, podCIDRs }) =>
    podCIDRs.map((destination) => ({ destination, node: address })),
  );
  const moving = movingAddresses(exits, own.address);
  return {
    served: served.map(({ id }) => id),
    owned: await ownedAddresses(machine, ours, known),
    ...(moving.length > 0 && { moving }),
    replies: tunnel.replyPath === 'tunnel' ? replies : [],
  };
}

/**
 * Egress addresses that nobody else put on the interface of their exit, or on one that the exit names; `shared`
 * addresses are on interfaces of others as well.
 */
async function ownedAddresses(
  { host, store }: Machine,
  served: readonly ResolvedExit[],
  known: NodeRecord['addresses'],
): Promise<Gateway['owned']> {
  const elections = store.agent.loadElections();
  const wanted = new Set(served.flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses)));
  const foreign = await foreignAddresses(host, known, wanted);
  const owned: Gateway['owned'][number][] = [];
  for (const { name, device, addressesOn = [], ways } of served) {
    const isElected = elections[name]?.by === 'vrrp';
    for (const address of ways.flatMap(({ addresses }) => addresses)) {
      const holders = foreign.get(address) ?? [];
      if (holders.some((holder) => holder === device || addressesOn.includes(holder))) continue;
      owned.push({
        ...{ device, address },
        ...(holders.length > 0 && { shared: true }),
        ...(isElected && { elected: true }),
      });
    }
  }
  return owned;
}

/** The wanted addresses that others put on interfaces, with the names of the interfaces. */
async function foreignAddresses(
  host: Machine['host'],
  known: NodeRecord['addresses'],
  wanted: ReadonlySet<Address>,
): Promise<ReadonlyMap<Address, readonly string[]>> {
  const ourselves = new Set(known.map(({ device, address }) => `${device} ${address}`));
  const foreign = new Map<Address, string[]>();
  for (const { address, deviceIndex } of (await host.listAllAddresses()).filter(({ ours }) => !ours)) {
    if (!wanted.has(address)) continue;
    const name = (await host.readLink(deviceIndex))?.name ?? '';
    if (!ourselves.has(`${name} ${address}`)) foreign.set(address, [...(foreign.get(address) ?? []), name]);
  }
  return foreign;
}

/** Until then the neighbours send to the address's earlier place. */
export async function announceNew({ host }: Machine, changes: readonly Change[]): Promise<void> {
  const added = changes.flatMap(({ verb, object }) =>
    verb !== 'remove' && object.kind === 'address' && object.scope === 'global' ? [object] : [],
  );
  for (const [device, addresses] of Map.groupBy(added, ({ device }) => device)) {
    await host.announce(
      device,
      addresses.map(({ address }): Address => address),
    );
  }
}
