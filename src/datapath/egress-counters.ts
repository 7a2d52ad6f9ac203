import { rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { ResolvedExit } from './exit.ts';
import { isFastJudge } from './fast-path.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * The counters of packets that leave by exits: a chain at each of their interfaces. All that can lose a packet before
 * it is handed to its interface lies before this hook, neighbours that do not answer included.
 */
export function desiredEgressCounters(fwmark: number, exits: readonly ResolvedExit[]): HostObject[] {
  if (exits.length === 0) return [];
  return [layout.sentSet, ...exits.map(sentElement), ...sentChains(fwmark, exits)];
}

/** The chains alone: each goes with its interface. */
export function sentChains(fwmark: number, exits: readonly Pick<ResolvedExit, 'device'>[]): Chain[] {
  const devices = [...new Set(exits.map(({ device }) => device))];
  return devices.map((device) => sentChain(fwmark, device));
}

const sentElement = ({ id, device }: ResolvedExit): Element => ({
  kind: 'element',
  family: 'netdev',
  set: layout.setNames.sent,
  key: layout.exitDeviceKey(id, device),
});

const done = say.verdict({ code: 'return' });

const counted = say.markDeviceIn(layout.exitIdMask, layout.setNames.sent);

/**
 * Of a packet that was cut up on its way the first fragment counts. One that passes a bridge or a VLAN passes the
 * interface below as well: there its exit is not in the set, though another may be. In the tunnel the id is all that is left of
 * the mark, and nothing else goes there.
 */
const sentChain = (fwmark: number, device: string): Chain => ({
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.sent(device),
  rules: [
    ...(device === tunnelDevice ? [] : [rule(say.markWithout(fwmark), done)]),
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
  if (object.kind === 'chain') return object.hook?.hook === 'egress';
  return object.kind === 'set' ? object.name === layout.setNames.sent : object.kind === 'element';
}

/** The objects for a kernel without the egress hook. There the lanes count packets that may leave. */
export const withoutEgressHook = (objects: readonly HostObject[]): HostObject[] =>
  objects.filter((object) => !needsEgressHook(object));
