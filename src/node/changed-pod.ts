import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { connectionOf, exitOfHeld } from '../datapath/held.ts';
import type { Flow } from '../datapath/host.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { type Decider, deciderOf, forgetFlowsOf, ownAddresses } from './flows.ts';
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

/** A pod that runs, and its connections that its next program has another exit for. */
export interface RunningPod {
  readonly pod: ChangedPod;
  readonly moved: readonly MovedConnection[];
}

/** A running pod with the program that decided before, and the one that it gets. */
export const changedPod = (
  node: NodeRecord,
  before: Decider,
  { next, after }: { readonly next: AttachmentRecord; readonly after: Omit<Decider, 'subnets'> },
): ChangedPod => ({
  ...{ mark: markOf(next), addresses: next.addresses, exits: node.exits },
  before,
  after: { ...after, subnets: next.subnets },
});

/** What decides by records, or without one. Each program is read once. */
export function decidersOf(machine: Machine, node: NodeRecord): (record: AttachmentRecord | undefined) => Decider {
  const known = new Map<string, Decider>();
  return (record) => {
    if (record === undefined) return { matches: [], cluster: [], subnets: [] };
    const found = known.get(record.program) ?? deciderOf(machine, node, record);
    known.set(record.program, found);
    return { ...found, subnets: record.subnets };
  };
}

/** {@link decideConnections} for the connections that each of the pods has now. Changes nothing. */
export async function lookAtConnections(
  machine: Machine,
  pods: readonly ChangedPod[],
): Promise<readonly (readonly MovedConnection[])[]> {
  const { host } = machine;
  const found = await host.listFlows(pods.flatMap(({ addresses }) => addresses));
  if (found.length === 0) return pods.map(() => []);
  const flows = Map.groupBy(found, ({ source }) => source);
  const elements = Map.groupBy(await host.listHeld(), ({ comment = '' }) => comment);
  const own = await ownAddresses(machine);
  return pods.map((pod) => {
    const held = heldBy(elements.get(pod.mark) ?? [], pod);
    return decideConnections(
      pod.addresses.flatMap((address) => flows.get(address) ?? []),
      { ...pod, held, own },
    );
  });
}

/** Exits by the numbers of connections. */
const heldBy = (elements: readonly Element[], { exits }: ChangedPod): ReadonlyMap<number, string> =>
  new Map(
    elements.flatMap((element) => {
      const exit = exitOfHeld(element, exits);
      return exit === undefined ? [] : [[connectionOf(element), exit] as const];
    }),
  );

/** Forgets connections that are cut. Returns each pod with those that began between the look and the change. */
export async function cutAndFindLate(machine: Machine, running: readonly RunningPod[]): Promise<readonly RunningPod[]> {
  await cut(
    machine,
    running.flatMap(({ moved }) => moved),
  );
  const pods = running.map(({ pod }) => pod);
  const now = await lookAtConnections(machine, pods);
  return pods.map((pod, i) => ({ pod, moved: lateAmong(now[i] ?? [], pod.exits) }));
}

/** Forgets those that are not held. */
export async function cut(machine: Machine, moved: readonly MovedConnection[]): Promise<void> {
  const gone = moved.filter(({ isHeld }) => !isHeld).map(({ flow }) => flow);
  const names = new Set(gone.map(nameOf));
  const sources = [...new Set(gone.map(({ source }) => source))];
  await forgetFlowsOf(machine, sources, (flow) => names.has(nameOf(flow)));
}

const nameOf = ({ id, protocol, source, sourcePort, destination, destinationPort }: Flow): string =>
  id === undefined ? [protocol, source, sourcePort, destination, destinationPort].join(' ') : String(id);
