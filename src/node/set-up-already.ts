import type { ResolvedExit } from '../datapath/exit.ts';
import { exitIdMask, exitIdOfChain, type NodeNumbers } from '../datapath/layout.ts';
import { ofKind, type PolicyRule } from '../datapath/objects.ts';
import type { OurState } from '../datapath/release.ts';
import { lookupOf } from '../datapath/tables.ts';
import type { Chain } from '../nftables/object.ts';
import type { Machine } from './machine.ts';

/** The node's setup by the kernel's word, whoever made it. Numbers are absent where nothing tells them. */
export interface SetUpAlready extends Partial<NodeNumbers> {
  readonly exits: readonly Pick<ResolvedExit, 'id' | 'name'>[];
}

/**
 * How exits are set up already: for a record that does not know them, since it was lost, or since another data folder's
 * has them.
 */
export async function setUpAlready({ host }: Machine): Promise<SetUpAlready> {
  const { state } = await host.observeOurs(undefined);
  const marks = state.chains.flatMap((chain) => markOf(chain) ?? []);
  const [mark] = marks;
  const numbers = marks.flatMap(({ value }) => numbersOf(state, value))[0];
  return {
    exits: marks.map(({ value, name }) => ({ id: value & exitIdMask, name })),
    ...(mark && { fwmark: (mark.value & ~exitIdMask) >>> 0 }),
    ...numbers,
  };
}

/** The mark that the chain of an exit gives, and the exit's name. */
function markOf({ name: chain, rules }: Chain): { readonly value: number; readonly name: string } | undefined {
  if (exitIdOfChain(chain) === undefined) return undefined;
  const found = rules.find(({ comment }) => comment !== undefined);
  const steps = found?.statements.flatMap(({ expressions }) => expressions) ?? [];
  const [value] = steps.flatMap((step) => ('xor' in step ? [Buffer.from(step.xor, 'hex').readUInt32LE()] : []));
  return found?.comment === undefined || value === undefined ? undefined : { value, name: found.comment };
}

/** The numbers that the policy rule for a mark tells. */
const numbersOf = ({ outside }: OurState, value: number): Omit<NodeNumbers, 'fwmark'>[] =>
  ofKind(outside, 'rule')
    .filter(({ fwmark }) => fwmark?.value === value)
    .flatMap((rule) => numbersOfRule(rule, value));

function numbersOfRule(rule: PolicyRule, value: number): Omit<NodeNumbers, 'fwmark'>[] {
  const table = lookupOf(rule);
  return table === undefined ? [] : [{ routeTable: table - (value & exitIdMask), rulePriority: rule.priority - 1 }];
}
