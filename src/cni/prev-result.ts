import { parseAddress, parsePrefix } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';
import type { PodNetwork } from '../node/add.ts';

interface Interface {
  readonly name: string;
  readonly sandbox: unknown;
}

interface Ip {
  readonly address: string;
  /** Undefined: it names none. */
  readonly index: number | undefined;
}

/**
 * Reads `prevResult`. Keys may be written as the specification has them or with capitals, as Go programs without tags
 * write them. Throws `no-prev-result` when it is missing, `decoding-failure` when it is no result.
 */
export function readPrevResult(document: Readonly<Record<string, unknown>>, ifname: string): PodNetwork {
  const { prevResult } = document;
  if (prevResult === undefined || prevResult === null) {
    throw new EgressError(
      'no-prev-result',
      'egress must be called as a chained plugin: the network configuration has no prevResult',
    );
  }
  const { ips = [], interfaces = [] } = membersOf(prevResult, 'prevResult');
  const links = listOf(interfaces, 'interfaces', interfaceOf);
  const own = listOf(ips, 'ips', ipOf).filter((ip) => belongsTo(ip, links, ifname));
  return {
    addresses: [...new Set(own.map(({ address }) => parseAddress(address.split('/')[0] ?? '') ?? ''))],
    subnets: [...new Set(own.map(({ address }) => parsePrefix(address) ?? ''))],
    hostInterfaces: links.filter(({ sandbox }) => !sandbox).map(({ name }) => name),
  };
}

/** An address without an index is the pod's; one with an index only when that interface is the pod's. */
function belongsTo(ip: Ip, interfaces: readonly Interface[], ifname: string): boolean {
  if (ip.index === undefined) return true;
  const owner = interfaces[ip.index];
  return owner?.name === ifname && Boolean(owner.sandbox);
}

function interfaceOf({ name, sandbox }: Members, place: string): Interface {
  if (typeof name !== 'string') throw unexpected(`${place}/name`, 'a text', name);
  if (typeof (sandbox ?? '') !== 'string') throw unexpected(`${place}/sandbox`, 'a text', sandbox);
  return { name, sandbox };
}

function ipOf({ address, interface: index }: Members, place: string): Ip {
  const isRange = typeof address === 'string' && address.includes('/') && parsePrefix(address) !== undefined;
  if (!isRange) throw unexpected(`${place}/address`, 'an address with a length', address);
  if (index === undefined || index === null) return { address, index: undefined };
  if (typeof index !== 'number') throw unexpected(`${place}/interface`, 'a number', index);
  return { address, index };
}

type Members = Readonly<Record<string, unknown>>;

function listOf<T>(value: unknown, key: string, read: (item: Members, place: string) => T): T[] {
  if (!Array.isArray(value)) throw unexpected(`prevResult/${key}`, 'a list of objects', value);
  return value.map((item, i) => read(membersOf(item, `prevResult/${key}/${i}`), `prevResult/${key}/${i}`));
}

/** The members of an object, with their keys in lower case. */
function membersOf(value: unknown, place: string): Members {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw unexpected(place, 'an object', value);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key.toLowerCase(), member]));
}

const unexpected = (pointer: string, expected: string, value: unknown): EgressError =>
  new EgressError('decoding-failure', `network configuration#/${pointer}: expected ${expected}, got ${shown(value)}`);
