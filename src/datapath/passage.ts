import type { Family } from '../base/address.ts';
import type { Sysctl } from './objects.ts';
import { reversePathName } from './reverse-path.ts';

/** The way of packets through the node: in by one interface, out by another. */
export interface Passage {
  readonly family: Family;
  /** The interface that packets come in by: for pods the one that the node's route to them leads to. */
  readonly input: string;
  /** The interface that packets leave by, and answers come in by. */
  readonly output: string;
}

/** Reads a kernel parameter by its path below /proc/sys; undefined when there is none of that name. */
export type ReadSysctl = (name: string) => string | undefined;

/**
 * Why the node does not forward packets that come in by an interface, with the remedy; undefined when it does.
 * IPv4 asks the interface (IN_DEV_FORWARD in net/ipv4/route.c); IPv6 asks `all`, and from Linux 6.17 on also the
 * interface's `force_forwarding` (net/ipv6/ip6_output.c, ip6_forward).
 */
export function whyNotForwarded(family: Family, input: string, read: ReadSysctl): string | undefined {
  return family === 4 ? whyNotForwarded4(input, read) : whyNotForwarded6(input, read);
}

function whyNotForwarded4(input: string, read: ReadSysctl): string | undefined {
  const name = `net/ipv4/conf/${input}/forwarding`;
  if (read(name) !== '0') return undefined;
  return read('net/ipv4/ip_forward') === '0'
    ? 'net.ipv4.ip_forward is 0, so the node forwards nothing: set it to 1'
    : `${name} is 0, so the node forwards nothing that comes in by ${input}: set it to 1`;
}

function whyNotForwarded6(input: string, read: ReadSysctl): string | undefined {
  if (read('net/ipv6/conf/all/forwarding') !== '0') return undefined;
  if (read(`net/ipv6/conf/${input}/force_forwarding`) === '1') return undefined;
  return 'net.ipv6.conf.all.forwarding is 0, so the node forwards nothing: set it to 1';
}

/**
 * Why the reverse path filter of the input interface drops packets with an exit's mark. With `src_valid_mark` it looks
 * for the way back to the pod in the exit's table (__fib_validate_source in net/ipv4/fib_frontend.c). Undefined when it
 * does not; IPv6 has no such filter.
 */
export function whyFiltered({ family, input }: Passage, read: ReadSysctl): string | undefined {
  const both = (parameter: string) =>
    ['all', input].map((device) => Number(read(`net/ipv4/conf/${device}/${parameter}`)));
  if (family === 6 || Math.max(...both('rp_filter')) !== strict || !both('src_valid_mark').includes(1))
    return undefined;
  return `with src_valid_mark the strict reverse path filter of ${input} drops what is for an exit: set ${reversePathName(input)} to 2`;
}

/** Of rp_filter: only the interface that the node itself would send by. */
const strict = 1;

/**
 * Why answers do not get from the interface that they come in by to the pod; undefined when they do.
 *
 * @param loosened the value that the reverse path filter of that interface must have, if any
 */
export function whyUnanswered(
  { family, output }: Passage,
  loosened: Sysctl | undefined,
  read: ReadSysctl,
): string | undefined {
  const filtered = family === 4 && loosened !== undefined && read(loosened.name) !== loosened.value;
  if (filtered) return `${loosened.name} is ${read(loosened.name)}, expected ${loosened.value}`;
  return whyNotForwarded(family, output, read);
}
