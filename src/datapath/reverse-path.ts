import { families } from '../base/address.ts';
import type { ResolvedExit } from './exit.ts';
import type { Sysctl } from './objects.ts';

/** The kernel parameter that holds an interface's reverse path filter. `all` applies to every interface as well. */
export const reversePathName = (device: string): string => `net/ipv4/conf/${device}/rp_filter`;

/** Values of rp_filter (kernel documentation, ip-sysctl); the kernel takes the larger of `all` and the interface's. */
const strict = 1;
/** Any way back will do. */
export const loose = '2';

/**
 * The value that the filter of an exit's interface must have. Strict filtering drops the answers that come in by it,
 * because the node's own route to the world is another interface. `undefined` when nothing need be said: it does not
 * filter.
 */
export function looseReversePath(device: string, all: string | undefined, own: string | undefined): Sysctl | undefined {
  if (own === undefined || Math.max(Number(all ?? 0), Number(own)) < strict) return undefined;
  return { kind: 'sysctl', name: reversePathName(device), value: loose };
}

const carrierSuffix = '/ignore_routes_with_linkdown';

/**
 * Parameters by which the kernel skips an exit's routes while its interface has no carrier. Without them packets that
 * may leave with the node's address would wait for a dead link. None for other exits: their packets shall wait.
 */
export const carrierNames = ({ device, onUnavailable }: Pick<ResolvedExit, 'device' | 'onUnavailable'>): string[] =>
  onUnavailable === 'node' ? families.map((family) => `net/ipv${family}/conf/${device}${carrierSuffix}`) : [];

const validMarkSuffix = '/src_valid_mark';

/** The kernel parameter that has an interface's reverse path filter ask with the packet's mark. */
export const validMarkName = (device: string): string => `net/ipv4/conf/${device}${validMarkSuffix}`;

/** All parameters that an exit may want to have another value. */
export const parameterNames = (exit: ResolvedExit): string[] => [
  reversePathName(exit.device),
  validMarkName(exit.device),
  ...carrierNames(exit),
];

/** The value that we give to one of {@link parameterNames}. */
export const parameterValue = (name: string): string =>
  name.endsWith(carrierSuffix) || name.endsWith(validMarkSuffix) ? '1' : loose;
