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

/** Something that keeps packets from going on though all of ours is there, and what to do about it. */
export interface Hindrance {
  /** The subject, for those who tell of several. */
  readonly about: 'forwarding' | 'reverse path' | 'address' | 'gateway' | 'interface';
  /** What is wrong, without the remedy. */
  readonly what: string;
  readonly remedy: string;
  /** The remedy as one command, where it is one. */
  readonly command?: string;
}

/** The hindrance in a sentence. */
export const hindranceText = ({ what, remedy }: Hindrance): string => `${what}: ${remedy}`;

const textOf = (hindrance: Hindrance | undefined) => hindrance && hindranceText(hindrance);

/** A parameter with a value that will not do. A command with slashes is right for names of interfaces with dots, too. */
const parameter = (
  about: Hindrance['about'],
  what: string,
  { name, value }: Pick<Sysctl, 'name' | 'value'>,
  remedy = `set it to ${value}`,
): Hindrance => ({ about, what, remedy, command: `sysctl -w ${name}=${value}` });

/** Reads a kernel parameter by its path below /proc/sys; undefined when there is none of that name. */
export type ReadSysctl = (name: string) => string | undefined;

/** {@link forwardingHindrance} in a sentence. */
export const whyNotForwarded = (family: Family, input: string, read: ReadSysctl): string | undefined =>
  textOf(forwardingHindrance(family, input, read));

/**
 * Why the node does not forward packets that come in by an interface; undefined when it does.
 * IPv4 asks the interface (IN_DEV_FORWARD in net/ipv4/route.c); IPv6 asks `all`, and from Linux 6.17 on also the
 * interface's `force_forwarding` (net/ipv6/ip6_output.c, ip6_forward).
 */
export function forwardingHindrance(family: Family, input: string, read: ReadSysctl): Hindrance | undefined {
  return family === 4 ? hindrance4(input, read) : hindrance6(input, read);
}

function hindrance4(input: string, read: ReadSysctl): Hindrance | undefined {
  const name = `net/ipv4/conf/${input}/forwarding`;
  if (read(name) !== '0') return undefined;
  if (read('net/ipv4/ip_forward') !== '0') {
    const what = `${name} is 0, so the node forwards nothing that comes in by ${input}`;
    return parameter('forwarding', what, { name, value: '1' });
  }
  const what = 'net.ipv4.ip_forward is 0, so the node forwards nothing';
  return parameter('forwarding', what, { name: 'net.ipv4.ip_forward', value: '1' });
}

function hindrance6(input: string, read: ReadSysctl): Hindrance | undefined {
  if (read('net/ipv6/conf/all/forwarding') !== '0') return undefined;
  if (read(`net/ipv6/conf/${input}/force_forwarding`) === '1') return undefined;
  const what = 'net.ipv6.conf.all.forwarding is 0, so the node forwards nothing';
  return parameter('forwarding', what, { name: 'net.ipv6.conf.all.forwarding', value: '1' });
}

/** {@link filterHindrance} in a sentence. */
export const whyFiltered = (passage: Passage, read: ReadSysctl): string | undefined =>
  textOf(filterHindrance(passage, read));

/**
 * Why the reverse path filter of the input interface drops packets with an exit's mark. With `src_valid_mark` it looks
 * for the way back to the pod in the exit's table (__fib_validate_source in net/ipv4/fib_frontend.c). Undefined when it
 * does not; IPv6 has no such filter.
 */
export function filterHindrance({ family, input }: Passage, read: ReadSysctl): Hindrance | undefined {
  const both = (parameter: string) =>
    ['all', input].map((device) => Number(read(`net/ipv4/conf/${device}/${parameter}`)));
  if (family === 6 || Math.max(...both('rp_filter')) !== strict || !both('src_valid_mark').includes(1))
    return undefined;
  const what = `with src_valid_mark the strict reverse path filter of ${input} drops what is for an exit`;
  const name = reversePathName(input);
  return parameter('reverse path', what, { name, value: '2' }, `set ${name} to 2`);
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
