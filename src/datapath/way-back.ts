import { familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import * as say from '../nftables/statement.ts';
import type { Gateway } from './attachment.ts';
import type { Change } from './difference.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject, PolicyRule, Route, Sysctl } from './objects.ts';
import { validMarkName } from './reverse-path.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * On a node without a default route even a loose reverse path filter drops answers that come in by an exit's interface.
 * No route leads back to their source (__fib_validate_source in net/ipv4/fib_frontend.c). With `src_valid_mark` the
 * filter asks with the packet's mark. So answers get the exit's id there, without the bit that says "ours", and behind
 * all routes of the node a rule leads the id to the exit's table. The answers themselves never come to that rule: only
 * those get the id to which the node has a route. IPv6 has no such filter.
 */

/** Behind the tables `main` (32766) and `default` (32767). */
export const wayBackPriority = 33_000;

/**
 * The objects for answers by an exit on a node without a default route; none for an exit that leaves from another node.
 */
export function desiredWayBack(node: layout.NodeNumbers, exit: ResolvedExit): HostObject[] {
  const { id, device, ways, gateway } = exit;
  if (gateway !== undefined || !ways.some(({ family }) => family === 4)) return [];
  return [
    { kind: 'sysctl', name: validMarkName(device), value: '1' },
    {
      kind: 'rule',
      family: 4,
      priority: wayBackPriority,
      action: { lookup: node.routeTable + id },
      fwmark: { value: id, mask: layout.markMask(node.fwmark) },
    },
    answersChain(node.fwmark, exit),
  ];
}

/**
 * Behind the chain that marks answers into the tunnel. These keep their mark, and {@link tunnelWayBack} is for them.
 */
const answersChain = (fwmark: number, { id, device }: ResolvedExit) =>
  chain(
    layout.chainNames.exitBack(id),
    [
      rule(
        say.arrivesBy(device),
        say.family(4),
        say.isReply,
        say.isSourceTranslated,
        say.markWithout(fwmark),
        say.destinationHasRoute,
        say.setMark(layout.exitIdMask, id),
      ),
    ],
    { type: 'filter', hook: 'prerouting', priority: -88 },
  );

/**
 * The same for a gateway that sends answers through the tunnel: they have the mark of its table already. A loose filter
 * is content with any route, so the tunnel's device will do, which is there as long as they are. It leads to nobody.
 * Packets of pods elsewhere come out of the tunnel with the mark of an exit, and its table is a way back to them as
 * well.
 */
export function tunnelWayBack(node: layout.NodeNumbers, gateway: Gateway): (Route | Sysctl)[] {
  if (!gateway.replies.some(({ destination }) => familyOf(destination) === 4)) return [];
  const table = node.routeTable + layout.replyId;
  return [
    { kind: 'sysctl', name: validMarkName(tunnelDevice), value: '1' },
    { kind: 'route', family: 4, table, type: 'unicast', device: tunnelDevice, metric: layout.exitMetric },
  ];
}

/** Whether a change removes an object for answers because the node has a default route again: that is no fault. */
export function isSpareWayBack({ verb, object }: Change): boolean {
  if (verb !== 'remove') return false;
  if (object.kind === 'chain') return layout.isBackChain(object.name);
  if (object.kind === 'rule') return isWayBackRule(object);
  return object.kind === 'route' && object.device === tunnelDevice && !object.via && !object.destination;
}

const isWayBackRule = ({ priority }: PolicyRule) => priority === wayBackPriority;
