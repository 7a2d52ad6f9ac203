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
          ? message('newTable', 0, tableAttributes, { ...ourTable, flags: 0 })
          : message('deleteTable', 0, tableAttributes, ourTable),
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
  delete: ({ name }: Chain) => [message('deleteChain', 0, chainAttributes, { ...ourTable, name })],
  flush: ({ name }: Chain) => [message('deleteRule', 0, ruleAttributes, { ...ourTable, chain: name })],
};

const setOperations = {
  add: (set: NftSet, setId: SetId) => [
    message('newSet', flags.create, setAttributes, encodeSet(set, setId)),
    ...addIntervals(set, setId),
  ],
  delete: ({ name }: NftSet) => [message('deleteSet', 0, setAttributes, { ...ourTable, name })],
  flush: ({ name }: NftSet) => [message('deleteElement', 0, elementListAttributes, { ...ourTable, set: name })],
};

function addChain({ name, hook: base }: Chain): Request {
  const hook = base && { hook: base.hook, priority: base.priority };
  const policy = base && 'accept';
  return message('newChain', flags.create, chainAttributes, { ...ourTable, name, type: base?.type, policy, hook });
}

function addRule(chain: Chain, { statements, comment }: Rule, setId: SetId): Request {
  return message('newRule', flags.create | flags.append, ruleAttributes, {
    ...ourTable,
    chain: chain.name,
    expressions: statements
      .flatMap((statement) => statement.expressions)
      .map((expression) => encodeExpression(expression, setId)),
    userdata: comment === undefined ? undefined : encodeComment(comment),
  });
}

const addIntervals = ({ name, intervals = [] }: NftSet, setId: SetId): readonly Request[] =>
  listsOf(encodeIntervals(intervals)).map((elements) =>
    message('newElement', flags.create, elementListAttributes, {
      ...ourTable,
      set: name,
      setId: setId(name),
      elements,
    }),
  );

/** With EXCL: without it the kernel takes an element that is there already with the same value, and keeps its old comment. */
const addElement = (element: Element, setId: SetId): Request =>
  message('newElement', flags.create | flags.excl, elementListAttributes, {
    ...ourTable,
    set: element.set,
    setId: setId(element.set),
    elements: [encodeElement(element)],
  });

const deleteElement = ({ set, key }: Element): Request =>
  message('deleteElement', 0, elementListAttributes, { ...ourTable, set, elements: [encodeKey(key)] });

/** The elements in order, in as few lists as each fits into one attribute. */
function listsOf(elements: readonly Buffer[]): readonly (readonly Buffer[])[] {
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
