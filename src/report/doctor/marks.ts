import { lostMarks } from '../../node/check-node.ts';
import { markConflict } from '../../node/mark-conflict.ts';
import type { Facts } from './facts.ts';
import { fault, few, orOk, type Seen, warning } from './finding.ts';
import { deleting, type Placed, placeText, rulesIn } from './foreign-rules.ts';
import { markUse } from './mark-use.ts';

const all = 0xffffffff;

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Who else uses our bit of the mark: rules of nftables and iptables, policy rules, and what the counters tell. */
export async function marks(facts: Facts): Promise<readonly Seen[]> {
  const { host, machine, examiner, fwmark } = facts;
  const conflict = markConflict(fwmark, await host.listRules());
  const used = rulesIn(await examiner.listForeignChains()).flatMap((placed) => useOf(placed, fwmark));
  const lost = await lostMarks({ ...machine, host });
  const found = [
    ...(conflict
      ? [fault(conflict, `ip rule show lists it: give it another bit, or choose a free bit with fwmark`)]
      : []),
    ...used,
    ...lost.map((what) =>
      warning(what.split('; look for ')[0] ?? what, 'look for rules that set whole marks, as named here or not'),
    ),
  ];
  return orOk(few(found), `nobody else uses our bit ${hex(fwmark)}`);
}

/** One that lets packets with the bit pass, and no more, is no use of it. */
function useOf(placed: Placed, bit: number): Seen[] {
  const { writes, reads } = markUse(placed.rule);
  const other = 'packets of pods lose their exit or take another: take the rule away, or choose a free bit with fwmark';
  if (writes === all) {
    return [
      warning(
        `${placeText(placed)} sets whole marks, ours among them where it meets a packet of a pod`,
        `if packets of pods pass it, have it set its own bits alone, or: ${deleting(placed)}`,
      ),
    ];
  }
  if (writes & bit)
    return [fault(`${placeText(placed)} writes our bit ${hex(bit)} of the mark; ${other}`, deleting(placed))];
  if (!(reads & bit) || letsPass(placed)) return [];
  return [fault(`${placeText(placed)} looks at our bit ${hex(bit)} of the mark; ${other}`, deleting(placed))];
}

function letsPass({ rule }: Placed): boolean {
  const last = rule.expressions.at(-1);
  return (
    last?.name === 'immediate' &&
    'verdict' in last &&
    (last.verdict.code === 'accept' || last.verdict.code === 'return')
  );
}
