import { type Family, families } from '../../base/address.ts';
import { forwardingHindrance } from '../../datapath/passage.ts';
import type { Facts } from './facts.ts';
import { fault, ok, type Seen } from './finding.ts';
import { hindrancesAbout } from './hindrances.ts';

/** Whether the node sends on what pods send. Without steered pods it is asked for all interfaces. */
export function forwarding(facts: Facts): readonly Seen[] {
  const found = hindrancesAbout(facts, 'forwarding');
  if (found.length > 0) return found;
  if (facts.inputs.length === 0) return ofWholeNode(facts);
  const names = (family: Family) => [
    ...new Set(facts.passages.filter((each) => each.family === family).flatMap(({ input, output }) => [input, output])),
  ];
  const on = families.flatMap((family) =>
    names(family).length > 0 ? [`IPv${family}: ${names(family).join(', ')}`] : [],
  );
  return [ok(`on for ${on.join('; ') || 'all'}`)];
}

/** IPv6 is no fault there: nobody can tell whether it is wanted. */
function ofWholeNode({ host }: Facts): readonly Seen[] {
  const hindrance = forwardingHindrance(4, 'all', (name) => host.readSysctl(name));
  return [
    hindrance ? fault(hindrance.what, hindrance.command ?? hindrance.remedy) : ok('on for IPv4; no pod is steered yet'),
  ];
}
