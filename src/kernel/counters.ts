import { families } from '../base/address.ts';
import type { Counters } from '../datapath/host.ts';
import * as layout from '../datapath/layout.ts';
import type { Counter, ObservedElement } from '../nftables/observed.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { listChains, listElements, listRules, listSets } from './nftables/read.ts';

const none: Counter = { packets: 0n, bytes: 0n };

const add = (a: Counter, b: Counter): Counter => ({ packets: a.packets + b.packets, bytes: a.bytes + b.bytes });

/** The counters of our rules and elements. */
export async function readCounters(socket: NetlinkSocket): Promise<Counters> {
  const [steered, left, served] = [new Map<number, Counter>(), new Map<number, Counter>(), new Map<number, Counter>()];
  const pods = new Map<string, Counter>();
  const ofChain = new Map<string, Counter>();
  for (const { chain, counter = none } of await listRules(socket))
    ofChain.set(chain, add(ofChain.get(chain) ?? none, counter));
  for (const [chain, counter] of ofChain) {
    const id = layout.exitIdOfChain(chain);
    if (id !== undefined) steered.set(id, counter);
  }
  const sent = await listLeft(socket);
  for (const { key, counter = none } of sent) {
    const id = layout.exitIdOfKey(key);
    left.set(id, add(left.get(id) ?? none, counter));
  }
  for (const { key, counter = none } of await listElements(socket, layout.servedMap))
    served.set(layout.exitIdOfKey(key), counter);
  const fast = await readFast(socket, sent);
  for (const { id, counter, way } of fast.took) {
    // The flowtable takes none that does not leave: what it took was steered, too. What goes into the tunnel `sent` has counted.
    const counts = { in: [steered], through: [steered, left], out: [steered, left, served] }[way];
    for (const each of counts) if (each.has(id)) each.set(id, add(each.get(id) ?? none, counter));
  }
  for (const family of families) {
    for (const { comment = '', counter = none } of await listElements(socket, layout.podsMap(family))) {
      pods.set(comment, add(pods.get(comment) ?? none, counter));
    }
  }
  for (const { chain, counter = none } of await listRules(socket, layout.chainNames.unowned, layout.netdevTable))
    ofChain.set(chain, add(ofChain.get(chain) ?? none, counter));
  const countedIn = (chain: string) => ofChain.get(chain) ?? none;
  return {
    ...{ steered, left, served, pods },
    dropped: countedIn(layout.chainNames.drop),
    guarded: [countedIn(layout.chainNames.judge), countedIn(layout.chainNames.held), fast.crossed].reduce(add),
    unmarked: add(countedIn(layout.chainNames.unmarked), countedIn(layout.chainNames.stray)),
    forged: add(countedIn(layout.chainNames.forged), countedIn(layout.chainNames.unowned)),
    unserved: countedIn(layout.chainNames.arrive),
    strangers: add(countedIn(layout.chainNames.senders), countedIn(layout.chainNames.forward)),
  };
}

/**
 * Elements that count leaving packets. Without the egress hook of netdev these are the lanes, which do not see a next
 * hop fail.
 */
async function listLeft(socket: NetlinkSocket): Promise<ObservedElement[]> {
  const chains = (await listChains(socket, layout.netdevTable)).map(({ name }) => name);
  const hasTable = (await listSets(socket, layout.netdevTable)).length > 0;
  // An interface takes its chain along when it goes. Then nobody knows what left.
  const isFed = ({ family, key }: ObservedElement) =>
    family === undefined || chains.includes(layout.chainNames.sent(layout.deviceOfKey(key)));
  const sets = hasTable ? [layout.sentSet] : [layout.tunnelsSet, ...families.map(layout.lanesSet)];
  const elements: ObservedElement[] = [];
  for (const set of sets) elements.push(...(await listElements(socket, set)));
  return elements.filter(isFed);
}

/** What a flowtable took of an exit: into the tunnel, out of it, or without one. */
interface Took {
  readonly id: number;
  readonly counter: Counter;
  readonly way: 'in' | 'out' | 'through';
}

/** Packets that left by a flowtable, and those that were dropped behind it. `sent` are elements that count leaving packets. */
async function readFast(
  socket: NetlinkSocket,
  sent: readonly ObservedElement[],
): Promise<{ readonly took: readonly Took[]; readonly crossed: Counter }> {
  const took: Took[] = [];
  let crossed = none;
  for (const { key, counter = none, family } of sent)
    if (family !== undefined && layout.markOfKey(key) > layout.exitIdMask)
      took.push({ id: layout.exitIdOfKey(key), counter, way: 'in' });
  for (const family of families) {
    for (const { counter = none, comment } of await listElements(socket, layout.fastSet(family)))
      took.push({ id: Number(comment), counter, way: 'through' });
    for (const { key, counter = none } of await listElements(socket, layout.takenSet(family)))
      took.push({ id: layout.exitIdOfKey(key), counter, way: 'out' });
    for (const { counter = none } of await listElements(socket, layout.crossedSet(family)))
      crossed = add(crossed, counter);
  }
  return { took, crossed };
}
