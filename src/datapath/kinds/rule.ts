import { type Family, families, type Prefix } from '../../base/address.ts';
import { canonicalJson } from '../../base/canonical.ts';
import type { InUse, OurState } from '../release.ts';
import { ruleText } from '../routing-words.ts';
import { lookupOf, tableBase } from '../tables.ts';
import { tunnelRules } from '../tunnel.ts';
import { noInterface, type OutsideKind, ofKind } from './kind.ts';

/** A policy rule (`ip rule`) of ours. Marks and masks are unsigned 32-bit numbers. */
export interface PolicyRule {
  readonly kind: 'rule';
  readonly family: Family;
  readonly priority: number;
  readonly action: { readonly goto: number } | { readonly lookup: number } | 'nop' | 'unreachable';
  /** Only packets that come in by this interface. */
  readonly input?: string;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  /** `ip rule … not …` */
  readonly invert?: true;
}

/** A policy rule of the node, whoever made it. */
export interface NodeRule extends Omit<PolicyRule, 'action'> {
  /** `other`: an action that we never use, by its number FR_ACT_* in linux/fib_rules.h (`prohibit`, …). */
  readonly action: PolicyRule['action'] | { readonly other: number };
  /** Who made it (RTPROT_* of linux/rtnetlink.h). Absent: it has our number. */
  readonly protocol?: number;
  /** Only packets with such a source, or destination. */
  readonly from?: Prefix;
  readonly to?: Prefix;
  /** It acts on fewer packets than is told here: those of a user, of a port, that routes of some kind are for … */
  readonly narrower?: true;
}

/** A rule goes with the exit whose table it leads to, and those around it with the last exit of the family. */
export const rule: OutsideKind<PolicyRule> = {
  key: ({ family, priority, action, fwmark, invert, input }) =>
    `rule ${family} ${priority} ${canonicalJson([action, fwmark, invert, input])}`,
  text: ruleText,
  command: (object, verb) => ruleText(object).replace(' rule ', ` rule ${verb} `),
  needsUp: noInterface,
  hasMark: true,
  goes: () => 'last',
  released: (state, inUse) => [...goneRules(state, inUse), ...(inUse.hasTunnel ? [] : tunnelRules(rulesOf(state)))],
};

const rulesOf = ({ outside }: OurState): readonly PolicyRule[] => ofKind(outside, 'rule');

/** The rules of exits that are not in use, and those that a family without exits does not need. */
function goneRules(state: OurState, inUse: InUse): PolicyRule[] {
  const rules = rulesOfExits(state);
  const isUsed = isTableInUse(state, inUse);
  const isOfUsed = (rule: PolicyRule) => isUsed(lookupOf(rule));
  const idle = new Set(families.filter((family) => !rules.some((rule) => rule.family === family && isOfUsed(rule))));
  return rules.filter((rule) => idle.has(rule.family) || (lookupOf(rule) !== undefined && !isOfUsed(rule)));
}

function rulesOfExits(state: OurState): PolicyRule[] {
  const ofTunnel = tunnelRules(rulesOf(state));
  return rulesOf(state).filter((rule) => !ofTunnel.includes(rule));
}

/** Says of tables whether they are of exits that are in use. */
export function isTableInUse(state: OurState, { exits, remembered }: InUse): (table: number | undefined) => boolean {
  const routeTable = remembered.routeTable ?? tableBase(rulesOfExits(state));
  return (table) => table !== undefined && exits.has(table - routeTable);
}
