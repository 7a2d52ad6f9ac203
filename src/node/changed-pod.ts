import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { connectionOf, exitOfHeld } from '../datapath/held.ts';
import type { Flow } from '../datapath/host.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { type Decider, deciderOf, ownAddresses } from './flows.ts';
import { decideConnections, lateAmong, type MovedConnection } from './hold.ts';
import type { Machine } from './machine.ts';

/** A pod that runs while its program changes. */
export interface ChangedPod {
  readonly mark: string;
  readonly addresses: readonly Address[];
  readonly before: Decider;
  readonly after: Decider;
  /** Those of the node. */
  readonly exits: readonly ResolvedExit[];
}

/** A running pod with the program of its record, or with none, and the one that it gets. */
export const changedPod = (
  machine: Machine,
  node: NodeRecord,
  previous: AttachmentRecord | undefined,
  { next, after }: { readonly next: AttachmentRecord; readonly after: Omit<Decider, 'subnets'> },
): ChangedPod => ({
  ...{ mark: markOf(next), addresses: next.addresses, exits: node.exits },
  before: previous ? deciderOf(machine, node, previous) : { matches: [], cluster: [], subnets: [] },
  after: { ...after, subnets: next.subnets },
});

/** {@link decideConnections} for the connections that the pod has now. Changes nothing. */
export async function lookAtConnections(machine: Machine, pod: ChangedPod): Promise<readonly MovedConnection[]> {
  const { host } = machine;
  const flows = await host.listFlows(pod.addresses);
  if (flows.length === 0) return [];
  const held = new Map<number, string>();
  for (const element of await host.listHeld()) {
    const exit = element.comment === pod.mark ? exitOfHeld(element, pod.exits) : undefined;
    if (exit !== undefined) held.set(connectionOf(element), exit);
  }
  return decideConnections(flows, { ...pod, held, own: await ownAddresses(machine) });
}

/** Forgets connections that are cut. Returns those that began between the look and the change. */
export async function cutAndFindLate(
  machine: Machine,
  pod: ChangedPod,
  moved: readonly MovedConnection[],
): Promise<readonly MovedConnection[]> {
  await cut(machine, moved);
  return lateAmong(await lookAtConnections(machine, pod), pod.exits);
}

/** Forgets those that are not held. */
export async function cut({ host }: Machine, moved: readonly MovedConnection[]): Promise<void> {
  const gone = moved.filter(({ isHeld }) => !isHeld).map(({ flow }) => flow);
  for (const [source, own] of Map.groupBy(gone, ({ source }) => source)) {
    const names = new Set(own.map(nameOf));
    await host.deleteFlows(source, (flow) => names.has(nameOf(flow)));
  }
}

const nameOf = ({ id, protocol, source, sourcePort, destination, destinationPort }: Flow): string =>
  id === undefined ? [protocol, source, sourcePort, destination, destinationPort].join(' ') : String(id);
