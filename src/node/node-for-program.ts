import type { Configuration } from '../config/configuration.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Program } from '../policy/match.ts';
import type { NodeRecord } from '../store/record.ts';
import { resolveForPod } from './exits.ts';
import type { Machine } from './machine.ts';
import { nextNode } from './node.ts';
import { findOwnEnd, type OwnEnd } from './own-end.ts';

/** The node's record as it is, and with the exits of a program as they are now. */
interface NodeForProgram {
  readonly known: NodeRecord | undefined;
  readonly node: NodeRecord;
  /** Those of the program. */
  readonly exits: readonly ResolvedExit[];
  readonly ownEnd: OwnEnd | undefined;
}

/** Resolves the exits of a program, and puts them into the record. Throws as {@link nextNode} does. */
export async function nodeFor(
  machine: Machine,
  configuration: Configuration,
  program: Program,
): Promise<NodeForProgram> {
  const { host, store } = machine;
  const names = new Set(program.map(({ exit }) => exit));
  const used = configuration.exits.filter(({ name }) => names.has(name));
  const ownEnd = used.some(({ gateways }) => gateways.length > 0) ? await findOwnEnd(host, configuration) : undefined;
  const [previous, moves] = [store.loadNode(), ownEnd ? store.loadGateways() : {}];
  const exits: ResolvedExit[] = [];
  for (const exit of used) exits.push(await resolveForPod(host, exit, ownEnd, moves));
  const node = await nextNode(machine, configuration, previous, { exits, ownEnd, gateway: previous?.gateway });
  return { known: previous, node, exits, ownEnd };
}
