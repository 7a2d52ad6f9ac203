import type { Address, Family, Prefix } from '../../base/address.ts';
import type { InUse } from '../release.ts';
import { routeText } from '../routing-words.ts';
import { type OutsideKind, ofKind, replaceOr } from './kind.ts';
import { isTableInUse } from './rule.ts';

/** A route in a table of ours. */
export interface Route {
  readonly kind: 'route';
  readonly family: Family;
  readonly table: number;
  /** Absent: everything, the default route. */
  readonly destination?: Prefix;
  /**
   * `unreachable` stands behind every exit: what cannot leave by it is dropped, and the pod is told. `throw` leads back to
   * the rules behind the one that led to the table.
   */
  readonly type: 'unicast' | 'unreachable' | 'throw';
  /** Name of the interface; of `unicast` alone. */
  readonly device?: string;
  /** The next hop; one of IPv6 may stand in a route of IPv4 (RTA_VIA, Linux 5.2). */
  readonly via?: Address;
  /** The next hop is on the interface, whatever the interface's own addresses say (RTNH_F_ONLINK). */
  readonly onlink?: true;
  /** Lower wins. 0 is the kernel's default for IPv4; for IPv6 the kernel makes 1024 of it, so we always say which. */
  readonly metric: number;
}

/** A route of the node, whoever made it. */
export interface NodeRoute extends Omit<Route, 'type'> {
  /** Name of RTN_* of linux/rtnetlink.h, in lower case: `unicast`, `blackhole`, … */
  readonly type: string;
  /** Who made it (RTPROT_* of linux/rtnetlink.h). Absent: it has our number. */
  readonly protocol?: number;
  /** Several next hops, which are not told here. */
  readonly several?: true;
  /** It is for fewer packets than is told here: those of a type of service, or of IPv6 from some sources. */
  readonly narrower?: true;
}

/** A route goes with the exit whose table it is in; one that opens a range for a gateway's answers, with the gateway. */
export const route: OutsideKind<Route> = {
  key: ({ family, table, destination = 'default', type }) => `route ${family} ${table} ${destination} ${type}`,
  text: routeText,
  command: (object, verb) => routeText(object).replace(' route ', ` route ${replaceOr(verb)} `),
  needsUp: ({ device }) => device,
  hasMark: false,
  goes: () => 'last',
  released: (state, inUse) => {
    const isUsed = isTableInUse(state, inUse);
    const isForGateway = opensForGateway(inUse);
    return ofKind(state.outside, 'route').filter((one) => !isUsed(one.table) || isForGateway(one));
  },
};

/** Of a node that is no gateway any more. Without a record nobody knows whose ranges they are. */
function opensForGateway({ served, remembered: { spared } }: InUse): (route: Route) => boolean {
  return ({ type, destination = '' }) =>
    type === 'throw' && served.size === 0 && spared !== undefined && !spared.includes(destination);
}
