import type { RulesetChange } from '../../datapath/fast-path-changes.ts';
import { cString } from '../netlink/field.ts';
import type { Reply } from '../netlink/socket.ts';
import { decode, eachAttribute, walk } from '../netlink/wire.ts';
import { data } from './data.ts';
import { subsystem } from './message.ts';

/** NFT_MSG_* of linux/netfilter/nf_tables.h, by their numbers; all others are `other`. */
const kinds: ReadonlyMap<number, Pick<RulesetChange, 'verb' | 'kind'>> = new Map([
  [0, { verb: 'new', kind: 'table' }],
  [2, { verb: 'delete', kind: 'table' }],
  [3, { verb: 'new', kind: 'chain' }],
  [5, { verb: 'delete', kind: 'chain' }],
  [6, { verb: 'new', kind: 'rule' }],
  [8, { verb: 'delete', kind: 'rule' }],
  [9, { verb: 'new', kind: 'set' }],
  [11, { verb: 'delete', kind: 'set' }],
  [12, { verb: 'new', kind: 'element' }],
  [14, { verb: 'delete', kind: 'element' }],
]);
/** NFT_MSG_NEWGEN: behind all messages of a transaction. */
const newGeneration = 15;

/** Attributes 1 to 4 of tables, chains, rules, sets and lists of elements, as far as they have them. */
const attributes = {
  table: [1, cString],
  /** Of a rule its chain, of a set its name, of elements their set. */
  name2: [2, cString],
  name3: [3, cString],
} as const;
const hookAttribute = 4;
const elementsAttribute = 3;
const elementAttributes = { key: [1, data] } as const;

/** linux/netfilter.h, NFPROTO_INET and NFPROTO_NETDEV. */
const families: ReadonlyMap<number | undefined, RulesetChange['family']> = new Map([
  [1, 'inet'],
  [5, 'netdev'],
]);

/** What a message tells of a ruleset; `end` is the end of a transaction, `undefined` no message of nf_tables. */
export function changesIn({ type, body }: Reply): RulesetChange | 'end' | undefined {
  if (type >> 8 !== subsystem) return undefined;
  const number = type & 0xff;
  if (number === newGeneration) return 'end';
  const { verb, kind } = kinds.get(number) ?? { verb: 'new', kind: 'other' };
  const family = families.get(body[0]) ?? 'another';
  const own = body.subarray(4);
  const { table = '' } = decode({ table: attributes.table }, own);
  const change = { verb, kind, family, table, name: '' };
  switch (kind) {
    case 'chain':
      return {
        ...change,
        name: decode({ name: attributes.name3 }, own).name ?? '',
        isBase: walk(own).some((attribute) => attribute.type === hookAttribute),
      };
    case 'rule':
    case 'set':
      return { ...change, name: decode({ name: attributes.name2 }, own).name ?? '' };
    case 'element':
      return { ...change, name: decode({ name: attributes.name2 }, own).name ?? '', keys: keysIn(own) };
    default:
      return change;
  }
}

function keysIn(body: Buffer): readonly string[] {
  const keys: string[] = [];
  eachAttribute(body, 0, body.length, (type, start, end) => {
    if (type !== elementsAttribute) return;
    eachAttribute(body, start, end, (_, from, to) => {
      keys.push(decode(elementAttributes, body, from, to).key ?? '');
    });
  });
  return keys;
}
