import { once } from '../../base/once.ts';
import type { Hex } from '../../nftables/expression.ts';
import { printRange } from '../../nftables/interval.ts';
import { type InTable, type NftSet, type Table, tableName } from '../../nftables/object.ts';
import type { ObservedChain, ObservedElement, ObservedRule } from '../../nftables/observed.ts';
import { raw } from '../netlink/field.ts';
import { isKernelError, KernelError, type NetlinkSocket, type Reply, type Request } from '../netlink/socket.ts';
import type { Table as AttributeTable, Values } from '../netlink/wire.ts';
import {
  chainAttributes,
  elementListAttributes,
  ruleAttributes,
  setAttributes,
  tableAttributes,
} from './attributes.ts';
import { decodeElement, encodeKey } from './element.ts';
import { decodeExpressions } from './expression.ts';
import { decodeHook } from './hook.ts';
import { decodeIntervals } from './interval.ts';
import { attributesOf, message, ourTable } from './message.ts';
import { decodeSet, keyLengthOf } from './set.ts';
import { decodeComment } from './userdata.ts';

/** Our table of a family, with its flags; `undefined` when it is not there. */
export async function readTable(socket: NetlinkSocket, table: InTable = {}): Promise<Table | undefined> {
  const [reply] = await unlessAbsent(socket.request(message('getTable', 0, tableAttributes, ourTable, table)));
  if (reply === undefined) return undefined;
  const { flags = 0 } = attributesOf(tableAttributes, reply);
  const { family } = table;
  return { kind: 'table', ...(family && { family }), ...(flags !== 0 && { flags }) };
}

// A remembering socket answers equal questions with the same messages. They are decoded once.

/** The chains of our table of a family. */
export async function listChains(socket: NetlinkSocket, table: InTable = {}): Promise<readonly ObservedChain[]> {
  // The kernel lists the chains of all tables of the family: it has no other filter for this request.
  const replies = await dump(socket, message('getChain', 0, chainAttributes, {}, table));
  return decodeChains(replies, table);
}

/** One chain of our table of a family, by its name; `undefined` when it is not there. */
export async function findChain(
  socket: NetlinkSocket,
  name: string,
  table: InTable = {},
): Promise<ObservedChain | undefined> {
  const request = socket.request(message('getChain', 0, chainAttributes, { ...ourTable, name }, table));
  const [reply] = await unlessAbsent(request);
  return reply && decodeChain(attributesOf(chainAttributes, reply), table);
}

/** How many rules and elements elsewhere lead to a chain of our table of the family inet; 0 when it is not there. */
export async function countReferences(socket: NetlinkSocket, name: string): Promise<number> {
  const chain = await findChain(socket, name);
  return chain === undefined ? 0 : chain.use - (await listRules(socket, name)).length;
}

const decodeChains = once((replies: readonly Reply[], table: InTable) =>
  replies
    .map((reply) => attributesOf(chainAttributes, reply))
    .filter(({ table }) => table === tableName)
    .map((values) => decodeChain(values, table)),
);

/** The rules of our table of a family, or of one chain in it, in the order in which a packet meets them. */
export async function listRules(
  socket: NetlinkSocket,
  chain?: string,
  table: InTable = {},
): Promise<readonly ObservedRule[]> {
  const replies = await dump(socket, message('getRule', 0, ruleAttributes, { ...ourTable, chain }, table));
  return decodeRules(replies);
}

const decodeRules = once((replies: readonly Reply[]) =>
  replies.map((reply) => decodeRule(attributesOf(listedRuleAttributes, reply))),
);

/** The sets and maps of our table of a family, without their content: an interval set has empty `intervals`. */
export async function listSets(socket: NetlinkSocket, table: InTable = {}): Promise<readonly NftSet[]> {
  const replies = await dump(socket, message('getSet', 0, setAttributes, ourTable, table));
  return decodeSets(replies, table);
}

const decodeSets = once((replies: readonly Reply[], table: InTable) =>
  replies.map((reply) => decodeSet(attributesOf(setAttributes, reply), table)),
);

/** The ranges in an interval set, sorted and merged, as {@link printRange} prints them. */
export async function readIntervals(socket: NetlinkSocket, set: NftSet): Promise<readonly string[]> {
  return decodeRanges(await dumpElements(socket, set));
}

const decodeRanges = once((replies: readonly Reply[]) => decodeIntervals(replies.flatMap(elementsIn)).map(printRange));

/** The elements of a set or map; none of one that has our name and keys of another length. */
export async function listElements(socket: NetlinkSocket, set: NftSet): Promise<readonly ObservedElement[]> {
  return decodeElements(await dumpElements(socket, set), set);
}

const decodeElements = once((replies: readonly Reply[], set: NftSet) =>
  eachOnce(replies.flatMap(elementsIn).map((bytes) => decodeElement(set, bytes))).filter(isOf(set)),
);

const isOf =
  (set: NftSet) =>
  ({ key }: ObservedElement): boolean =>
    key.length === 2 * keyLengthOf(set.key);

/** While the hash table of a set grows, the kernel may list an element twice (rhashtable_walk_next). */
const eachOnce = (elements: readonly ObservedElement[]): readonly ObservedElement[] => [
  ...new Map(elements.map((element) => [element.key, element])).values(),
];

/** The elements with some keys, each of a set: those that are there. One exchange with the kernel. */
export async function findElementsByKey(
  socket: NetlinkSocket,
  wanted: readonly { readonly set: NftSet; readonly key: Hex }[],
): Promise<readonly ObservedElement[]> {
  const questions = wanted.map(({ set, key }) => {
    const values = { ...ourTable, set: set.name, elements: [encodeKey(key)] };
    return message('getElement', 0, elementListAttributes, values, set);
  });
  const answers = await socket.answers(questions);
  return wanted.flatMap(({ set }, i) => {
    const elements = repliesIn(answers[i]).flatMap(elementsIn);
    return elements.slice(0, 1).map((bytes) => decodeElement(set, bytes));
  });
}

function repliesIn(answer: readonly Reply[] | KernelError | undefined): readonly Reply[] {
  if (!(answer instanceof KernelError)) return answer ?? [];
  // EINVAL: the set of that name has keys of another length.
  if (isKernelError(answer, 'ENOENT', 'EINVAL')) return [];
  throw answer;
}

/**
 * The elements whose comment begins with a text. Only elements with the text are decoded: a map may have ten thousand.
 */
export async function findElementsByComment(
  socket: NetlinkSocket,
  set: NftSet,
  text: string,
): Promise<readonly ObservedElement[]> {
  const replies = (await dumpElements(socket, set)).filter(({ body }) => body.includes(text));
  const elements = replies.flatMap(elementsIn);
  const decoded = elements.filter((bytes) => bytes.includes(text)).map((bytes) => decodeElement(set, bytes));
  return eachOnce(decoded.filter(({ comment }) => comment?.startsWith(text))).filter(isOf(set));
}

/** The kernel's messages with the elements of a set. */
const dumpElements = (socket: NetlinkSocket, set: NftSet): Promise<readonly Reply[]> =>
  dump(socket, message('getElement', 0, elementListAttributes, { ...ourTable, set: set.name }, set));

const elementsIn = (reply: Reply): readonly Buffer[] => attributesOf(elementListAttributes, reply).elements ?? [];

const dump = (socket: NetlinkSocket, request: Request): Promise<readonly Reply[]> => unlessAbsent(socket.dump(request));

/** Nothing, when there is no such table, chain, set or element. */
async function unlessAbsent(replies: Promise<readonly Reply[]>): Promise<readonly Reply[]> {
  try {
    return await replies;
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return [];
    throw error;
  }
}

function decodeChain(values: Values<typeof chainAttributes>, table: InTable): ObservedChain {
  const { name = '', use = 0 } = values;
  const hook = decodeHook(values, table);
  return { name, ...(hook && { hook }), use };
}

/** Of a rule: its expressions as bytes, for most of them are known. */
const listedRuleAttributes = { ...ruleAttributes, expressions: [4, raw] } as const satisfies AttributeTable;

function decodeRule({ chain = '', expressions: list, userdata }: Values<typeof listedRuleAttributes>): ObservedRule {
  const comment = userdata && decodeComment(userdata);
  const decoded = list ? decodeExpressions(list) : { expressions: [] };
  return { chain, ...decoded, ...(comment !== undefined && { comment }) };
}
