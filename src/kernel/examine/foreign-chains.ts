import type { Extension, ForeignChain, ForeignRule } from '../../datapath/examiner.ts';
import { be32, be64, cString, hex, listOf, nested } from '../netlink/field.ts';
import type { NetlinkSocket, Reply } from '../netlink/socket.ts';
import { decode, type Values } from '../netlink/wire.ts';
import { chainAttributes, expressionAttributes } from '../nftables/attributes.ts';
import { decodeExpression } from '../nftables/expression.ts';
import { families, isOurs, placeOf } from '../nftables/foreign.ts';
import { attributesOf, message } from '../nftables/message.ts';

/** NFTA_RULE_* */
const ruleAttributes = {
  table: [1, cString],
  chain: [2, cString],
  handle: [3, be64],
  expressions: [4, listOf(1, nested(expressionAttributes))],
} as const;

/** NFTA_TARGET_* and NFTA_MATCH_*, which have the same numbers. */
const extensionAttributes = { name: [1, cString], revision: [2, be32], info: [3, hex] } as const;

/** All chains in tables of others, with their rules in the order in which a packet meets them. Throws KernelError. */
export const listForeignChains = async (socket: NetlinkSocket): Promise<readonly ForeignChain[]> =>
  (await listChains(socket)).filter(({ table }) => !isOurs(table));

/** The same of all tables, ours too. */
// nft -a list ruleset
export async function listChains(socket: NetlinkSocket): Promise<readonly ForeignChain[]> {
  const replies = await socket.dump(message('getChain', 0, chainAttributes, {}, { family: 'any' }));
  const rules = await listRules(socket);
  return replies.flatMap((reply) => {
    const chain = decodeChain(reply);
    return chain ? [{ ...chain, rules: rules.get(nameOf(chain)) ?? [] }] : [];
  });
}

type Named = Pick<ForeignChain, 'family' | 'table' | 'chain'>;

const nameOf = ({ family, table, chain }: Named): string => `${family} ${table} ${chain}`;

function decodeChain(reply: Reply): Omit<ForeignChain, 'rules'> | undefined {
  const family = families.get(reply.body[0]);
  const { table = '', name: chain = '', type = '', hook } = attributesOf(chainAttributes, reply);
  if (family === undefined) return undefined;
  const place = placeOf(family, hook?.hook);
  const base = place === undefined ? undefined : { type, hook: place, priority: hook?.priority ?? 0 };
  return { family, table, chain, ...(base && { base }) };
}

async function listRules(socket: NetlinkSocket): Promise<ReadonlyMap<string, readonly ForeignRule[]>> {
  const replies = await socket.dump(message('getRule', 0, ruleAttributes, {}, { family: 'any' }));
  const rules = new Map<string, ForeignRule[]>();
  for (const reply of replies) {
    const family = families.get(reply.body[0]);
    const { table = '', chain = '', handle = 0n, expressions = [] } = attributesOf(ruleAttributes, reply);
    if (family === undefined) continue;
    const name = nameOf({ family, table, chain });
    const known = rules.get(name) ?? [];
    known.push({ handle, expressions: expressions.map(decodeForeign) });
    rules.set(name, known);
  }
  return rules;
}

function decodeForeign(expression: Values<typeof expressionAttributes>): ForeignRule['expressions'][number] {
  const { name, data } = expression;
  if ((name !== 'match' && name !== 'target') || data === undefined) return decodeExpression(expression);
  const { name: extension = '', info = '' } = decode(extensionAttributes, data);
  return { name: 'xt', kind: name, extension, info } satisfies Extension;
}
