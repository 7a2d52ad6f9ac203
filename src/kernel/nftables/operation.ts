import type { Chain, Element, NftSet, Operation, Rule } from '../../nftables/object.ts';
import { flags, type Request } from '../netlink/socket.ts';
import {
  chainAttributes,
  elementListAttributes,
  ruleAttributes,
  setAttributes,
  tableAttributes,
} from './attributes.ts';
import { encodeElement, encodeKey } from './element.ts';
import { encodeExpression, type SetId } from './expression.ts';
import { encodeHook } from './hook.ts';
import { encodeIntervals } from './interval.ts';
import { message, ourTable } from './message.ts';
import { encodeSet } from './set.ts';
import { encodeComment } from './userdata.ts';

/** An attribute holds at most 65535 bytes with its header, and so does a list of elements. */
const longestList = 65531;
const attributeHeader = 4;

/** The messages of one operation: a chain is followed by its rules, an interval set by its elements. */
export function encodeOperation({ verb, object }: Operation, setId: SetId): readonly Request[] {
  switch (object.kind) {
    case 'table':
      return [
        verb === 'add'
          ? message('newTable', 0, tableAttributes, { ...ourTable, flags: 0 }, object)
          : message('deleteTable', 0, tableAttributes, ourTable, object),
      ];
    case 'chain':
      return chainOperations[verb](object, setId);
    case 'set':
      return setOperations[verb](object, setId);
    case 'element':
      return [verb === 'add' ? addElement(object, setId) : deleteElement(object)];
  }
}

const chainOperations = {
  add: (chain: Chain, setId: SetId) => [addChain(chain), ...chain.rules.map((rule) => addRule(chain, rule, setId))],
  delete: (chain: Chain) => [message('deleteChain', 0, chainAttributes, { ...ourTable, name: chain.name }, chain)],
  flush: (chain: Chain) => [message('deleteRule', 0, ruleAttributes, { ...ourTable, chain: chain.name }, chain)],
};

const setOperations = {
  add: (set: NftSet, setId: SetId) => [
    message('newSet', flags.create, setAttributes, encodeSet(set, setId), set),
    ...addIntervals(set, setId),
  ],
  delete: (set: NftSet) => [message('deleteSet', 0, setAttributes, { ...ourTable, name: set.name }, set)],
  flush: (set: NftSet) => [message('deleteElement', 0, elementListAttributes, { ...ourTable, set: set.name }, set)],
};

function addChain(chain: Chain): Request {
  const { name, hook } = chain;
  const base = hook && ({ type: hook.type, policy: 'accept', hook: encodeHook(hook) } as const);
  return message('newChain', flags.create, chainAttributes, { ...ourTable, name, ...base }, chain);
}

function addRule(chain: Chain, { statements, comment }: Rule, setId: SetId): Request {
  const values = {
    ...ourTable,
    chain: chain.name,
    expressions: statements
      .flatMap((statement) => statement.expressions)
      .map((expression) => encodeExpression(expression, setId)),
    userdata: comment === undefined ? undefined : encodeComment(comment),
  };
  return message('newRule', flags.create | flags.append, ruleAttributes, values, chain);
}

const addIntervals = (set: NftSet, setId: SetId): readonly Request[] =>
  listsOf(encodeIntervals(set.intervals ?? [])).map((elements) => {
    const values = { ...ourTable, set: set.name, setId: setId(set.name), elements };
    return message('newElement', flags.create, elementListAttributes, values, set);
  });

/** With EXCL: without it the kernel takes an element that is there already with the same value, and keeps its old comment. */
function addElement(element: Element, setId: SetId): Request {
  const { set } = element;
  const values = { ...ourTable, set, setId: setId(set), elements: [encodeElement(element)] };
  return message('newElement', flags.create | flags.excl, elementListAttributes, values, element);
}

function deleteElement(element: Element): Request {
  const values = { ...ourTable, set: element.set, elements: [encodeKey(element.key)] };
  return message('deleteElement', 0, elementListAttributes, values, element);
}

/** The elements in order, in as few lists as each fits into one attribute. */
export function listsOf(elements: readonly Buffer[]): readonly (readonly Buffer[])[] {
  const lists: Buffer[][] = [];
  let room = 0;
  for (const element of elements) {
    const length = attributeHeader + element.length;
    if (length > room) {
      lists.push([]);
      room = longestList;
    }
    lists.at(-1)?.push(element);
    room -= length;
  }
  return lists;
}
