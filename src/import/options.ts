import * as z from 'zod/mini';
import type { Address, Prefix } from '../base/address.ts';
import { judge } from '../config/judge.ts';
import type { Judged, Problem } from '../config/problem.ts';
import { address, interfaceName, prefix } from '../config/value.ts';
import type { ExitDraft } from './draft.ts';

/** Settings that the documents do not have, from the command line. */
export interface ImportFlags {
  readonly gateway?: readonly string[];
  readonly node?: readonly string[];
  readonly address?: readonly string[];
  readonly interface?: string;
  readonly nextHop?: readonly string[];
  readonly clusterCidr?: readonly string[];
}

/** What a cluster tells that its documents leave open. */
export interface Knowledge {
  /** Underlay addresses of the gateways of a way out, the preferred one first; none when no node is one. */
  gatewaysOf(exit: ExitDraft): readonly Address[];
  /** Which nodes are gateways where the document does not say it, in words. */
  readonly anyGateway: string;
  /** Before the names of policies and exits, so that they are no other's. */
  readonly prefix: string;
}

/** The same, valid and canonical. */
export interface ImportOptions {
  /** Underlay addresses of the gateways of all exits, the preferred one first. */
  readonly gateways: readonly Address[];
  /** Underlay addresses of nodes. */
  readonly nodes: readonly Address[];
  /** Ranges of such addresses. */
  readonly nodeRanges: readonly Prefix[];
  /** The addresses of exits without one in their documents. */
  readonly addresses: readonly Address[];
  /** The interface of exits without one in their documents. */
  readonly interface?: string;
  /** Routers behind the interfaces. */
  readonly nextHops: readonly Address[];
  readonly clusterCIDRs: readonly Prefix[];
  /** Labels are told to plugins, and nodes are known. */
  readonly known?: Knowledge;
}

/** The options of the command, or all that is wrong with them. */
export function judgeOptions(flags: ImportFlags): Judged<ImportOptions> {
  const problems: Problem[] = [];
  const read = (flag: string, schema: z.ZodMiniType<string>, texts: readonly string[] = []): string[] => {
    const judged = judge(z.array(schema), texts, flag);
    if ('value' in judged) return judged.value;
    problems.push(...judged.problems);
    return [];
  };
  const [ranges, nodes] = [true, false].map((isRange) => flags.node?.filter((each) => each.includes('/') === isRange));
  const [name] = read('--interface', interfaceName, flags.interface === undefined ? [] : [flags.interface]);
  const value = {
    gateways: read('--gateway', address, flags.gateway),
    nodes: read('--node', address, nodes),
    nodeRanges: read('--node', prefix, ranges),
    addresses: read('--address', address, flags.address),
    ...(name !== undefined && { interface: name }),
    nextHops: read('--next-hop', address, flags.nextHop),
    clusterCIDRs: read('--cluster-cidr', prefix, flags.clusterCidr),
  };
  return problems.length > 0 ? { problems } : { value };
}
