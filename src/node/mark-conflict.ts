import type { NodeRule } from '../datapath/objects.ts';

/** `ip rule add fwmark 1` compares the whole mark: it looks at every bit, and wants none of its own. */
const wholeMark = 0xffffffff;

const hex = (value: number) => `0x${value.toString(16)}`;

/** Says which foreign policy rule uses our bit of the mark, in a sentence; undefined when none does. */
export function markConflict(flag: number, rules: readonly NodeRule[]): string | undefined {
  const uses = ({ fwmark, protocol }: NodeRule) =>
    protocol !== undefined &&
    fwmark !== undefined &&
    ((fwmark.mask === wholeMark ? fwmark.value : fwmark.mask) & flag) !== 0;
  const rule = rules.find(uses);
  if (rule?.fwmark === undefined) return undefined;
  const { value, mask } = rule.fwmark;
  return `The policy rule at priority ${rule.priority} looks at mark ${hex(value)}/${hex(mask)}, which holds our bit ${hex(flag)}`;
}
