import type { RulesetChange } from '../../datapath/fast-path-changes.ts';
import type { Reply } from '../netlink/socket.ts';
import { decode } from '../netlink/wire.ts';
import {
  chainAttributes,
  elementAttributes,
  elementListAttributes,
  ruleAttributes,
  setAttributes,
} from './attributes.ts';
import { families } from './foreign.ts';
import { attributesOf, messageTypes, subsystem } from './message.ts';

/** What messages are about by their types; all others are about something else. */
const kinds: ReadonlyMap<number, Pick<RulesetChange, 'verb' | 'kind'>> = new Map([
  [messageTypes.newTable, { verb: 'new', kind: 'table' }],
  [messageTypes.deleteTable, { verb: 'delete', kind: 'table' }],
  [messageTypes.newChain, { verb: 'new', kind: 'chain' }],
  [messageTypes.deleteChain, { verb: 'delete', kind: 'chain' }],
  [messageTypes.newRule, { verb: 'new', kind: 'rule' }],
  [messageTypes.deleteRule, { verb: 'delete', kind: 'rule' }],
  [messageTypes.newSet, { verb: 'new', kind: 'set' }],
  [messageTypes.deleteSet, { verb: 'delete', kind: 'set' }],
  [messageTypes.newElement, { verb: 'new', kind: 'element' }],
  [messageTypes.deleteElement, { verb: 'delete', kind: 'element' }],
]);
/** NFT_MSG_NEWGEN of linux/netfilter/nf_tables.h: behind all messages of a transaction. */
const newGeneration = 15;

// Of each kind what it is told by, and no more: a rule's expressions take long to read.
const { table } = chainAttributes;
const ofRule = { chain: ruleAttributes.chain };
const ofSet = { name: setAttributes.name };
const ofElement = { key: elementAttributes.key };

/** What a message tells of a ruleset; `end` is the end of a transaction, `undefined` no message of nf_tables. */
export function changesIn(message: Reply): RulesetChange | 'end' | undefined {
  const [ofSubsystem, type] = [message.type >> 8, message.type & 0xff];
  if (ofSubsystem !== subsystem) return undefined;
  if (type === newGeneration) return 'end';
  const { verb, kind } = kinds.get(type) ?? { verb: 'new', kind: 'other' };
  const change = {
    ...{ verb, kind, name: '' },
    family: families.get(message.body[0]),
    table: attributesOf({ table }, message).table ?? '',
  };
  switch (kind) {
    case 'chain': {
      const { name = '', hook } = attributesOf(chainAttributes, message);
      return { ...change, name, isBase: hook !== undefined };
    }
    case 'rule':
      return { ...change, name: attributesOf(ofRule, message).chain ?? '' };
    case 'set':
      return { ...change, name: attributesOf(ofSet, message).name ?? '' };
    case 'element': {
      const { set = '', elements = [] } = attributesOf(elementListAttributes, message);
      return { ...change, name: set, keys: elements.map((element) => decode(ofElement, element).key ?? '') };
    }
    default:
      return change;
  }
}
