import type { Passage } from './passage.ts';

/** A base chain of somebody else on the way of packets. */
export interface Filter {
  /** Of its table, as nft writes it. */
  readonly family: 'inet' | 'ip' | 'ip6' | 'bridge' | 'netdev';
  readonly table: string;
  readonly chain: string;
  /** As nft writes it: `forward`, `prerouting`, `ingress`, … */
  readonly hook: string;
  /** Of the hooks ingress and egress: the interfaces that it is at. */
  readonly devices: readonly string[];
  /** The fate of a packet that no rule decides about. */
  readonly policy: 'accept' | 'drop';
  /** How many rules it has of its own. */
  readonly rules: number;
}

/** The effect of others' filters on packets of a passage. */
export interface Judgement {
  /** The chain that drops all of them: it has no rule that could accept one. */
  readonly drops?: Filter;
  /** Chains that drop what their rules do not accept. */
  readonly mayDrop: readonly Filter[];
  /** Chains that accept what their rules do not drop. */
  readonly mayPass: readonly Filter[];
}

/** Judges the chains on the passage by their policies. Their rules are not read. */
export function judge(filters: readonly Filter[], passage: Passage): Judgement {
  const met = filters.filter((filter) => isMet(filter, passage));
  const drops = met.find(({ policy, rules }) => policy === 'drop' && rules === 0);
  const withRules = met.filter(({ rules }) => rules > 0);
  return {
    ...(drops && { drops }),
    mayDrop: withRules.filter(({ policy }) => policy === 'drop'),
    mayPass: withRules.filter(({ policy }) => policy === 'accept'),
  };
}

/** The hooks that a forwarded packet passes, of families that see IP packets. */
const hooks: readonly string[] = ['prerouting', 'forward', 'postrouting'];

function isMet({ family, hook, devices }: Filter, passage: Passage): boolean {
  if (hook === 'ingress') return devices.includes(passage.input);
  if (hook === 'egress') return devices.includes(passage.output);
  const families = ['inet', passage.family === 4 ? 'ip' : 'ip6'];
  return families.includes(family) && hooks.includes(hook);
}

/** The chain in a sentence. */
export const filterText = ({ family, table, chain }: Pick<Filter, 'family' | 'table' | 'chain'>): string =>
  `chain ${chain} of table ${family} ${table}`;
