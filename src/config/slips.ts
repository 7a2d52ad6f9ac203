/** What people write in the place of what is meant, most of all who comes from Kubernetes or from another egress project. */
import { choices, nearest } from '../base/nearest.ts';

/**
 * The end of an error about a key that is unknown where it stands: what was probably meant, or else all keys that are known there.
 *
 * @param known the keys of that object
 * @param outermost the keys of the whole document, where that is another object
 */
export function strange(key: string, known: readonly string[], outermost: readonly string[]): string {
  const meant = nearest(key, known) ?? otherNames.get(key.toLowerCase())?.find((each) => known.includes(each));
  if (meant !== undefined) return `did you mean "${meant}"?`;
  if (outermost.includes(key)) return `"${key}" belongs to the whole document, not in here: is it indented too far?`;
  const reason = onlyElsewhere.get(key);
  if (reason !== undefined && known.length > 0) return reason;
  return known.length === 0 ? 'there is none' : choices(known);
}

/** Names that other projects have for it, and everyday ones, in lower-case letters. */
const otherNames = new Map<string, readonly string[]>([
  ['allow', ['destinations']],
  ['cidr', ['destinations', 'podCIDRs']],
  ['cidrs', ['destinations', 'podCIDRs']],
  ['dev', ['interface']],
  ['device', ['interface']],
  ['destinationcidrs', ['destinations']],
  ['egressgateway', ['exit', 'gateways']],
  ['egressip', ['addresses']],
  ['egressips', ['addresses']],
  ['excludedcidrs', ['except']],
  ['externalips', ['addresses']],
  ['iface', ['interface']],
  ['ip', ['address', 'addresses']],
  ['ips', ['addresses']],
  ['labels', ['podSelector', 'matchLabels']],
  ['labelselector', ['podSelector']],
  ['policy', ['policies']],
  ['router', ['nextHop']],
  ['selector', ['podSelector']],
  ['source', ['addresses']],
  ['sourceip', ['addresses']],
  ['to', ['destinations']],
  ['via', ['nextHop']],
]);

const isObjectOfKubernetes =
  'this is an object of Kubernetes, which "kubectl apply" takes and judges; the policy file has only "exits", "policies" and other options';

/** Keys that no policy file has, and where they belong. */
const onlyElsewhere = new Map([
  ['apiVersion', isObjectOfKubernetes],
  [
    'gatewaySelector',
    'only objects of Kubernetes (EgressExit) choose gateways by labels; in a policy file "gateways" lists their addresses',
  ],
]);

/** Other values that may be meant by a wrong one, the likeliest first. Whoever asks takes the first that is right there. */
export function meant(value: unknown, expected: string): unknown[] {
  if (expected.startsWith('"tcp"')) return ofPorts(value);
  if (typeof value !== 'string') return [];
  const others = [...ofText(value, expected), [value], { address: value }];
  return others.filter((each) => each !== value);
}

function ofText(text: string, expected: string): unknown[] {
  const plain = text.trim().toLowerCase();
  return [
    plain,
    // An address with the length of its network, as `ip address` prints it.
    ...(expected.includes('IP address range') ? [] : [plain.replace(/\/\d+$/, '')]),
    ...(['any', 'all', '*', 'everywhere'].includes(plain) ? ['0.0.0.0/0', ['0.0.0.0/0'], ['*']] : []),
    ...(['yes', 'true', 'on'].includes(plain) ? [true] : []),
    ...(['no', 'false', 'off'].includes(plain) ? [false] : []),
    ...(/^\d+$/.test(plain) ? [Number(plain)] : []),
  ];
}

/** `5060/udp`, `udp/5060`, `UDP 5060`, `udp:5060:5070`, and ports without a protocol; ports as Kubernetes writes them, too. */
function ofPorts(value: unknown): string[] {
  if (!isText(value)) return isObject(value) ? ofPortObject(value) : [];
  const text = String(value).trim().toLowerCase();
  const [first = '', second = '', third] = text.split(/[\s:/]+/, 3);
  if (/^\d/.test(first)) return [portsOf(second, first), portsOf('tcp', text)];
  return [portsOf(first, second, third)];
}

/** A port of a NetworkPolicy; and what YAML makes of `tcp: 443`, which is no text. */
function ofPortObject(value: object): string[] {
  const { protocol = 'tcp', port, endPort } = value as Readonly<Record<string, unknown>>;
  if (isText(port) && isText(protocol)) return [portsOf(String(protocol).toLowerCase(), port, endPort)];
  const [[first, second] = [], ...others] = Object.entries(value);
  return others.length === 0 && first !== undefined && isText(second) ? [portsOf(first, second)] : [];
}

const portsOf = (protocol: string, from: string | number, to?: unknown): string =>
  `${protocol}:${from}${isText(to) ? `-${to}` : ''}`;

const isText = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number';

/** What an error about a value adds where no other value can be proposed; mostly nothing. */
export function remark(value: unknown, expected: string): string {
  const isLabel = typeof value === 'string' && value.includes('=');
  if (
    (expected.startsWith('a list of namespaces') && isObject(value)) ||
    (expected.startsWith('a namespace') && isLabel)
  ) {
    return ': labels go into "namespaceSelector", beside "namespaces": ["*"]';
  }
  if (
    expected.startsWith('an IP address range') &&
    typeof value === 'string' &&
    /^[*a-z0-9-]+\.[a-z.]+[a-z]$/i.test(value)
  ) {
    return ': names of hosts cannot be used';
  }
  return '';
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
