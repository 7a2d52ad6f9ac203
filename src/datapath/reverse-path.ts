import type { Sysctl } from './objects.ts';

/** The kernel parameter that holds an interface's reverse path filter. `all` applies to every interface as well. */
export const reversePathName = (device: string): string => `net/ipv4/conf/${device}/rp_filter`;

/** Values of rp_filter (kernel documentation, ip-sysctl); the kernel takes the larger of `all` and the interface's. */
const strict = 1;
/** Any way back will do. */
export const loose = '2';

/**
 * What the filter of an exit's interface must be. Strict filtering drops the answers that come in by it, because the
 * node's own route to the world is another interface. `undefined` when nothing need be said: it does not filter.
 */
export function looseReversePath(device: string, all: string | undefined, own: string | undefined): Sysctl | undefined {
  if (own === undefined || Math.max(Number(all ?? 0), Number(own)) < strict) return undefined;
  return { kind: 'sysctl', name: reversePathName(device), value: loose };
}
