import { type Address, type Prefix, parseAddress, parsePrefix } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';

/** What we need of the result of the plugins before us (CNI specification, "Success"). */
export interface PrevResult {
  /** Addresses of the pod's interface, with the networks that they lie in. */
  readonly addresses: readonly Address[];
  readonly subnets: readonly Prefix[];
  /** Names of the interfaces on the host's side. */
  readonly hostInterfaces: readonly string[];
}

interface Interface {
  readonly name?: unknown;
  readonly sandbox?: unknown;
}

interface Ip {
  readonly address?: unknown;
  readonly interface?: unknown;
}

/**
 * Reads `prevResult`. Keys may be written as the specification has them or with capitals, as Go programs without tags
 * write them. Throws `no-prev-result` when it is missing, `decoding-failure` when it is no result.
 */
export function readPrevResult(document: Readonly<Record<string, unknown>>, ifname: string): PrevResult {
  const { prevResult } = document;
  if (prevResult === undefined || prevResult === null) {
    throw new EgressError(
      'no-prev-result',
      'egress must be called as a chained plugin: the network configuration has no prevResult',
    );
  }
  const { ips = [], interfaces = [] } = lowerCaseKeys(prevResult) as { ips?: Ip[]; interfaces?: Interface[] };
  if (![ips, interfaces].every(isListOfObjects)) {
    throw new EgressError('decoding-failure', 'prevResult: expected lists of objects in ips and interfaces');
  }
  const texts = ips.filter((ip) => belongsTo(ip, interfaces, ifname)).map(({ address }) => address);
  return {
    addresses: texts.map(podAddress),
    subnets: [...new Set(texts.map((text) => parsePrefix(String(text)) ?? ''))],
    hostInterfaces: interfaces.filter(({ sandbox }) => !sandbox).map(({ name }) => String(name)),
  };
}

/** An address without an index is the pod's; one with an index only when that interface is the pod's. */
function belongsTo(ip: Ip, interfaces: readonly Interface[], ifname: string): boolean {
  if (ip.interface === undefined || ip.interface === null) return true;
  const owner = interfaces[Number(ip.interface)];
  return owner?.name === ifname && Boolean(owner.sandbox);
}

const isListOfObjects = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null);

function podAddress(text: unknown): Address {
  const [address = '', length] = String(text).split('/');

  const canonical = parseAddress(address);
  if (canonical === undefined || length === undefined || parsePrefix(String(text)) === undefined) {
    throw new EgressError(
      'decoding-failure',
      `prevResult: expected an address with a length, got ${JSON.stringify(text)}`,
    );
  }
  return canonical;
}

function lowerCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerCaseKeys);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key.toLowerCase(), lowerCaseKeys(member)]));
}
