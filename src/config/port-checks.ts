import { familyOf } from '../base/address.ts';
import { blockCount } from '../policy/port-blocks.ts';
import { type Documents, isLacking, placed, problem, type Source } from './placed.ts';
import type { Problem } from './problem.ts';

/** Finds exits with gateways whose source ports cannot be shared out among the nodes of pods. */
export function portContradictions(documents: Documents, sources: readonly Source[]): Problem[] {
  const nodes = documents.flatMap(({ value }) => value.nodes ?? []);
  return placed(documents, 'exits', ({ exits }) => exits).flatMap((exit) => {
    const { gateways: [gateway] = [], portsPerPod } = exit.value;
    if (gateway === undefined || portsPerPod === undefined) return [];
    const family = familyOf(gateway);
    const sharing = nodes.filter(({ address }) => address !== undefined && familyOf(address) === family).length;
    const blocks = blockCount(portsPerPod);
    if (sharing > 0 && sharing <= blocks) return [];
    if (sharing === 0 && isLacking(sources, /^\/nodes(\/\d+\/address)?$/)) return [];
    const found =
      sharing === 0
        ? `there are none`
        : `there are ${sharing}, and an address has ${blocks} blocks of ${portsPerPod} ports`;
    const message = `each of the "nodes" with an IPv${family} address gets a share of the source ports, but ${found}`;
    return [problem(exit, '/portsPerPod', message)];
  });
}
