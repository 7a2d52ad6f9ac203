import { familyOf } from '../base/address.ts';
import { blockCount } from '../policy/port-blocks.ts';
import { type Placed, placed, problem } from './placed.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';

/** Exits with gateways whose source ports cannot be shared out among the nodes that pods run on. */
export function portContradictions(documents: readonly Placed<PolicyDocument>[]): Problem[] {
  const nodes = documents.flatMap(({ value }) => value.nodes ?? []);
  return placed(documents, 'exits', ({ exits }) => exits).flatMap((exit) => {
    const { gateways: [gateway] = [], portsPerPod } = exit.value;
    if (gateway === undefined || portsPerPod === undefined) return [];
    const family = familyOf(gateway);
    const sharing = nodes.filter(({ address }) => familyOf(address) === family).length;
    const blocks = blockCount(portsPerPod);
    if (sharing > 0 && sharing <= blocks) return [];
    const found =
      sharing === 0
        ? `there are none`
        : `there are ${sharing}, and an address has ${blocks} blocks of ${portsPerPod} ports`;
    const message = `each of the "nodes" with an IPv${family} address gets a share of the source ports, but ${found}`;
    return [problem(exit, '/portsPerPod', message)];
  });
}
