import type { ForeignChain, ForeignRule } from '../../datapath/examiner.ts';
import { filterText } from '../../datapath/filter.ts';
import { natPriority } from '../../datapath/guard.ts';
import { deviceHex } from '../../nftables/statement.ts';
import type { Facts } from './facts.ts';
import { fault, few, orOk, type Seen, warning } from './finding.ts';
import { type Placed, placeText, reachedFrom, rulesIn } from './foreign-rules.ts';

/** Address translation of others that comes before ours: the first chain that translates a connection has it. */
export async function masquerade({ examiner, node, fwmark }: Facts): Promise<readonly Seen[]> {
  const chains = await examiner.listForeignChains();
  const devices = new Set(node?.exits.map(({ device }) => device) ?? []);
  const before = chains.filter(
    ({ base }) => base?.type === 'nat' && base.hook === 'postrouting' && base.priority < natPriority,
  );
  const found = before.flatMap((base) => {
    if (lets(base, fwmark)) return [];
    return rulesIn(reachedFrom(base, chains))
      .filter(({ rule }) => rule.expressions.some(translates))
      .flatMap((placed) => judge(placed, base, devices, fwmark));
  });
  return orOk(few(found), `nobody translates addresses before our chain (postrouting ${natPriority})`);
}

type Part = ForeignRule['expressions'][number];

const translates = (part: Part): boolean =>
  part.name === 'masq' ||
  part.name === 'nat' ||
  (part.name === 'unknown' && (part.expression === 'masq' || part.expression === 'nat')) ||
  (part.name === 'xt' && ['MASQUERADE', 'SNAT', 'NETMAP'].includes(part.extension));

/** Whether the chain begins with a rule that lets our packets pass, as the remedy here makes one. */
const lets = ({ rules }: ForeignChain, fwmark: number): boolean => {
  const [mark, bits, compare, verdict] = rules[0]?.expressions ?? [];
  return (
    mark?.name === 'meta' &&
    bits?.name === 'bitwise' &&
    compare?.name === 'cmp' &&
    compare.op === 'eq' &&
    bits.mask === compare.data &&
    Buffer.from(bits.mask, 'hex').readUInt32LE() === fwmark &&
    verdict?.name === 'immediate' &&
    'verdict' in verdict &&
    verdict.verdict.code === 'accept'
  );
};

/** Of its conditions only the output interface is judged: with another one it may be about other packets. */
function judge(placed: Placed, base: ForeignChain, devices: ReadonlySet<string>, fwmark: number): readonly Seen[] {
  const conditions = placed.rule.expressions.filter((part) => !translates(part) && part.name !== 'counter');
  const output = outputOf(conditions);
  if (output !== undefined && ![...devices].some((device) => deviceHex(device) === output)) return [];
  const isCertain = devices.size > 0 && placed.chain === base && conditions.length <= (output === undefined ? 0 : 2);
  const what = `${placeText(placed)} translates addresses at postrouting ${base.base?.priority}, before our chain (${natPriority})`;
  const { family, table, chain } = base;
  const bit = `0x${fwmark.toString(16)}`;
  const remedy = `nft insert rule ${family} ${table} ${chain} meta mark and ${bit} == ${bit} accept`;
  return isCertain
    ? [fault(`${what}: packets of exits get its address, and are dropped`, remedy)]
    : [warning(`${what}, and may do so with packets of exits (look at the rules of ${filterText(base)})`, remedy)];
}

/** The interface that a rule asks packets to leave by, as the kernel writes it. */
function outputOf(conditions: readonly Part[]): string | undefined {
  const at = conditions.findIndex((part) => part.name === 'meta' && part.key === 'oifname' && 'dreg' in part);
  const compare = at < 0 ? undefined : conditions[at + 1];
  return compare?.name === 'cmp' && compare.op === 'eq' ? compare.data : undefined;
}
