import { addressFromBytes } from '../base/address.ts';
import type { Hex, Verdict } from './expression.ts';
import { mergeIntervals, printRange } from './interval.ts';
import {
  type Chain,
  type DataType,
  dataTypes,
  type Element,
  type Hook,
  type InTable,
  type NftSet,
  type Operation,
  type Rule,
  tableName,
} from './object.ts';

/** A table in nft's words. */
export const nameOfTable = ({ family }: InTable): string => `${family ?? 'inet'} ${tableName}`;

/**
 * A transaction as a script for `nft -f`, one command on a line. It is for people to read and to replay; nft has no
 * escapes, so a comment with a double quote in it cannot be replayed.
 *
 * @param sets the sets of elements in `operations`, unless `operations` adds them itself. The types of its set tell how
 *   an element is printed; without the set it is hexadecimal.
 */
export function printScript(operations: readonly Operation[], sets: readonly NftSet[] = []): string {
  const added = operations.map(({ object }) => object).filter((object) => object.kind === 'set');
  const known = [...sets, ...added];
  return operations
    .flatMap((operation) => printOperation(operation, known))
    .map((line) => `${line}\n`)
    .join('');
}

/** The commands of one operation: a chain that is added has one more for each of its rules. */
export function printOperation(operation: Operation, sets: readonly NftSet[]): readonly string[] {
  const { verb, object } = operation;
  const table = nameOfTable(object);
  switch (object.kind) {
    case 'table':
      return [`${verb} table ${table}`];
    case 'set':
      return [
        `${verb} ${object.value === undefined ? 'set' : 'map'} ${table} ${object.name}${verb === 'add' ? ` { ${printDefinition(object)} }` : ''}`,
      ];
    case 'chain':
      return verb === 'add' ? printChain(object) : [`${verb} chain ${table} ${object.name}`];
    case 'element': {
      const set = sets.find(({ name }) => name === object.set);
      return [
        `${verb} element ${table} ${object.set} { ${verb === 'add' ? printElement(object, set) : printKey(object, set)} }`,
      ];
    }
  }
}

/** A rule as nft prints it. */
export const printRule = ({ statements, comment }: Rule): string =>
  [...statements.map(({ text }) => text), ...(comment === undefined ? [] : [`comment "${comment}"`])].join(' ');

function printChain(chain: Chain): readonly string[] {
  const { name, hook, rules } = chain;
  const table = nameOfTable(chain);
  const base = hook === undefined ? '' : ` { ${printHook(hook)} }`;
  return [`add chain ${table} ${name}${base}`, ...rules.map((rule) => `add rule ${table} ${name} ${printRule(rule)}`)];
}

function printHook(base: Hook): string {
  const device = 'device' in base ? ` device "${base.device}"` : '';
  return `type ${base.type} hook ${base.hook}${device} priority ${base.priority}; policy accept;`;
}

function printDefinition({ key, value, counter, intervals }: NftSet): string {
  const keyType = key[0] === 'ct_id' ? 'typeof ct id' : `type ${key.join(' . ')}`;
  const type = `${keyType}${value === undefined ? '' : ` : ${value}`};`;
  const ranges = mergeIntervals(intervals ?? []).map(printRange);
  return [
    type,
    ...(counter ? ['counter;'] : []),
    ...(intervals === undefined ? [] : ['flags interval;']),
    ...(ranges.length === 0 ? [] : [`elements = { ${ranges.join(', ')} };`]),
  ].join(' ');
}

/** An element as it stands between the braces of `add element`. */
function printElement(element: Element, set: NftSet | undefined): string {
  const { value, verdict, comment } = element;
  const target = verdict === undefined ? value && printData([dataTypeOf(set)], value) : printVerdict(verdict);
  return [
    printKey(element, set),
    ...(comment === undefined ? [] : [`comment "${comment}"`]),
    ...(target === undefined ? [] : [`: ${target}`]),
  ].join(' ');
}

const printKey = (element: Element, set: NftSet | undefined) => printData(set?.key ?? [undefined], element.key);

const dataTypeOf = (set: NftSet | undefined) => (set?.value === 'verdict' ? undefined : set?.value);

const printVerdict = (verdict: Verdict) => ('chain' in verdict ? `${verdict.code} ${verdict.chain}` : verdict.code);

/** The parts of a key, or a value. A part without a type is all that is left. */
function printData(types: readonly (DataType | undefined)[], data: Hex): string {
  const bytes = Uint8Array.from(data.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  let offset = 0;
  const parts = types.map((type) => {
    const part = bytes.subarray(offset, type && offset + dataTypes[type].length);
    offset += part.length;
    return type === undefined ? `0x${data}` : printers[type](part);
  });
  return parts.join(' . ');
}

const printers: Readonly<Record<DataType, (bytes: Uint8Array) => string>> = {
  ct_id: (bytes) => String(bytes.reduce((number, byte) => number * 256 + byte, 0)),
  ipv4_addr: addressFromBytes,
  ipv6_addr: addressFromBytes,
  inet_service: ([high = 0, low = 0]) => String(high * 256 + low),
  mark: (bytes) => `0x${hostNumber(bytes).toString(16).padStart(8, '0')}`,
  iface_index: (bytes) => String(hostNumber(bytes)),
  fib_addrtype: (bytes) => addressTypes[hostNumber(bytes)] ?? String(hostNumber(bytes)),
  ifname: (bytes) => `"${String.fromCharCode(...bytes.filter((byte) => byte !== 0))}"`,
};

const hostNumber = (bytes: Uint8Array): number => bytes.reduceRight((number, byte) => number * 256 + byte, 0);

/** Route types in nft's words, by number (linux/rtnetlink.h, RTN_*). */
const addressTypes = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
];
