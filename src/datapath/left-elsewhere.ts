import type { Chain } from '../nftables/object.ts';
import { sentChains } from './egress-counters.ts';
import type { ResolvedExit } from './exit.ts';
import type { AroundFast } from './fast-path.ts';
import { missingRules } from './kinds/chain.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';

/**
 * Whether a chain counts at another interface than those of the exits, and has a rule too many: an exit left there once. It has to
 * change with the exits, since it leads to what may have to go with that. What it lacks is no matter of these exits.
 */
export function isLeftElsewhere(
  node: AroundFast,
  exits: readonly Pick<ResolvedExit, 'device'>[],
  chain: Chain,
): boolean {
  const wanted = asWanted(node, chain);
  return wanted !== undefined && isElsewhere(exits, chain) && missingRules(chain, wanted).length > 0;
}

/** Such chains among the observed, as they should be: no others at other interfaces are observed. */
export const chainsLeftElsewhere = (
  node: AroundFast,
  exits: readonly Pick<ResolvedExit, 'device'>[],
  observed: readonly HostObject[],
): Chain[] =>
  observed.flatMap((object) =>
    object.kind === 'chain' && isElsewhere(exits, object) ? (asWanted(node, object) ?? []) : [],
  );

const isElsewhere = (exits: readonly Pick<ResolvedExit, 'device'>[], { name }: Chain): boolean =>
  exits.every(({ device }) => name !== layout.chainNames.sent(device));

/** Its interface may be gone, so the hook stays as it is. */
function asWanted(node: AroundFast, { family, name, hook }: Chain): Chain | undefined {
  if (family !== 'netdev' || !layout.isSentChain(name)) return undefined;
  const [chain] = sentChains(node, [{ device: layout.deviceOfSentChain(name) }]);
  if (chain === undefined) return undefined;
  const { hook: _, ...rest } = chain;
  return { ...rest, ...(hook && { hook }) };
}
