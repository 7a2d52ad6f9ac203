import { rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { ResolvedExit } from './exit.ts';
import { type AroundFast, desiredFastCounters, fastRulesAt, intoTunnel, isFastJudge } from './fast-path.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';

/**
 * The counters of packets that leave by exits: a chain at each of their interfaces. All that can lose a packet before
 * it is handed to its interface lies before this hook, neighbours that do not answer included.
 */
export function desiredEgressCounters(node: AroundFast, exits: readonly ResolvedExit[]): HostObject[] {
  if (exits.length === 0) return [];
  return [
    layout.sentSet,
    ...exits.flatMap((exit) => sentElements(node.fwmark, exit)),
    ...desiredFastCounters(node),
    ...sentChains(node, exits),
  ];
}

/** The chains alone: each goes with its interface. */
export function sentChains(node: AroundFast, exits: readonly Pick<ResolvedExit, 'device'>[]): Chain[] {
  const devices = [...new Set(exits.map(({ device }) => device))];
  return devices.map((device) => sentChain(node, device));
}

/** Into the tunnel what a flowtable took has our bit yet, and is counted apart. */
function sentElements(fwmark: number, exit: ResolvedExit): Element[] {
  const { id } = exit;
  const marks = exit.fastPath && intoTunnel(exit) ? [id, layout.idMark(fwmark, id).value] : [id];
  return marks.map((mark) => ({
    kind: 'element',
    family: 'netdev',
    set: layout.setNames.sent,
    key: layout.exitDeviceKey(mark, exit.device),
  }));
}

const done = say.verdict({ code: 'return' });

const counted = say.markDeviceIn(layout.exitIdMask, layout.setNames.sent);

/**
 * Of a packet that was cut up on its way the first fragment counts. One that passes a bridge or a VLAN passes the
 * interface below as well: there its exit is not in the set, though another may be. In the tunnel the id is all that is left of
 * the mark, and nothing else goes there.
 */
const sentChain = (node: AroundFast, device: string): Chain => ({
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.sent(device),
  rules: [
    ...fastRulesAt(node, device),
    rule(say.wholeOrFirst, counted, done),
    rule(say.laterFragment(6), done),
    rule(say.frameFamily(6), counted),
  ],
  hook: { type: 'filter', hook: 'egress', device, priority: 0 },
});

/** Whether only a kernel with the egress hook of netdev can have the object: one from 5.16, unless built without it. */
export function needsEgressHook(object: HostObject): boolean {
  if (isFastJudge(object)) return true;
  if (!('family' in object) || object.family !== 'netdev') return false;
  if (object.kind === 'chain') return object.hook?.hook === 'egress' || object.name === layout.chainNames.fastServed;
  return object.kind === 'set' ? countingSets.includes(object.name) : object.kind === 'element';
}

const countingSets: readonly string[] = [layout.sentSet, ...layout.fastSets].map(({ name }) => name);

/** The objects for a kernel without the egress hook. There the lanes count packets that may leave. */
export const withoutEgressHook = (objects: readonly HostObject[]): HostObject[] =>
  objects.filter((object) => !needsEgressHook(object));
