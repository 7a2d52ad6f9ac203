import { hexNumber } from '../base/shown.ts';
import type { NodeRule } from '../datapath/objects.ts';

/** `ip rule add fwmark 1` compares the whole mark: it looks at every bit, and wants none of its own. */
const wholeMark = 0xffffffff;

/** A sentence that names the foreign policy rule with our bit of the mark; undefined when there is none. */
export function markConflict(flag: number, rules: readonly NodeRule[]): string | undefined {
  const uses = ({ fwmark, protocol }: NodeRule) =>
    protocol !== undefined &&
    fwmark !== undefined &&
    ((fwmark.mask === wholeMark ? fwmark.value : fwmark.mask) & flag) !== 0;
  const rule = rules.find(uses);
  if (rule?.fwmark === undefined) return undefined;
  const { value, mask } = rule.fwmark;
  return `The policy rule at priority ${rule.priority} looks at mark ${hexNumber(value)}/${hexNumber(mask)}, which holds our bit ${hexNumber(flag)}`;
}
