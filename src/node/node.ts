import { familyOf } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { hexNumber } from '../base/shown.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Gateway, Tunnel } from '../datapath/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { NodeNumbers } from '../datapath/layout.ts';
import { tunnelDevice, tunnelMtu } from '../datapath/tunnel.ts';
import { familyOfTable } from '../nftables/object.ts';
import { recordVersion } from '../store/migration.ts';
import type { NodeRecord } from '../store/record.ts';
import { knownValues } from './kept.ts';
import type { Machine } from './machine.ts';
import { markConflict } from './mark-conflict.ts';
import type { OwnEnd } from './own-end.ts';
import { type SetUpAlready, setUpAlready } from './set-up-already.ts';
import { sparedOf } from './spared.ts';

/** The changes of the node's record. */
export interface NodeChanges {
  /** Exits as they are now: they take the places of earlier ones with their names. */
  readonly exits: readonly ResolvedExit[];
  /** Needed as soon as one of the exits goes through the tunnel, or there is a gateway. */
  readonly ownEnd: OwnEnd | undefined;
  readonly gateway?: Gateway | undefined;
}

/**
 * The node's record with the changes. Throws `invalid-configuration` when numbers changed that what is set up depends
 * on, and `mark-conflict`. The mark may have changed: see {@link remark}.
 */
export async function nextNode(
  machine: Machine,
  configuration: Configuration,
  previous: NodeRecord | undefined,
  { exits, ownEnd, gateway }: NodeChanges,
): Promise<NodeRecord> {
  const { fwmark, routeTable, rulePriority } = configuration;
  const hasTable = await machine.host.hasTable(); // first: it tells whether we can work here at all
  const conflict = markConflict(fwmark, await machine.host.listRules());
  if (conflict !== undefined) throw new EgressError('mark-conflict', conflict);
  const merged = mergedExits(previous?.exits ?? [], exits);
  const needsTunnel = gateway !== undefined || merged.some((exit) => exit.gateway !== undefined);
  const tunnel = needsTunnel ? (ownEnd ? tunnelOf(configuration, ownEnd, gateway) : previous?.tunnel) : undefined;
  const othersTables = previous ? previous.othersTables : await findOthersTables(machine);
  const next: NodeRecord = {
    version: recordVersion,
    ...{ fwmark, routeTable, rulePriority },
    inside: configuration.clusterCIDRs,
    spared: sparedOf(machine, previous, configuration.clusterCIDRs),
    ...(previous?.unmarked && { unmarked: previous.unmarked }),
    ...(previous?.clusterCIDRs && { clusterCIDRs: previous.clusterCIDRs }), // pods from before ranges were theirs go by it
    exits: merged,
    ...(tunnel && { tunnel }),
    ...(gateway && { gateway }),
    sysctls: await knownValues(machine, previous, exits, hasTable),
    addresses: previous?.addresses ?? (hasTable ? await foundAddresses(machine) : []),
    ...(previous?.behind && { behind: previous.behind }),
    ...(othersTables && { othersTables }),
  };
  if (previous !== undefined && hasTable) requireSameIds(previous, exits);
  if (previous !== undefined && hasTable) requireSameNumbers(previous, next);
  if (hasTable && !exits.every((exit) => isIn(previous, exit))) await requireAsSetUp(machine, previous, next, exits);
  return next;
}

/** Somebody made a table with our name, and put nothing into it. We will; and when we go, it shall be as it was. */
async function findOthersTables({ host }: Machine): Promise<NodeRecord['othersTables']> {
  const found = (await host.listOthersTables()).map(familyOfTable);
  return found.length > 0 ? found : undefined;
}

/** When the record was lost while something was set up: the addresses that we had given to interfaces, as the kernel knows them. */
async function foundAddresses({ host }: Machine): Promise<NodeRecord['addresses']> {
  const found: NodeRecord['addresses'][number][] = [];
  for (const { address, deviceIndex } of (await host.listAllAddresses()).filter(({ ours }) => ours)) {
    const link = await host.readLink(deviceIndex);
    if (link !== undefined && link.name !== tunnelDevice) found.push({ device: link.name, address });
  }
  return found;
}

function mergedExits(previous: readonly ResolvedExit[], exits: readonly ResolvedExit[]): ResolvedExit[] {
  const kept = previous.filter(({ id, name }) => !exits.some((exit) => exit.id === id || exit.name === name));
  return [...kept, ...exits].sort((a, b) => a.id - b.id);
}

function tunnelOf({ tunnel, exits }: Configuration, own: OwnEnd, gateway: Gateway | undefined): Tunnel {
  const throughTunnel = exits.filter(({ gateways }) => gateways.length > 0);
  const ends = [
    ...throughTunnel.flatMap(({ gateways }) => gateways),
    ...(gateway?.replies ?? []).map(({ node }) => node),
  ];
  const families = throughTunnel.flatMap(({ addresses }) => Object.values(addresses).map(familyOf));
  return {
    vni: tunnel.vni,
    port: tunnel.port,
    local: own.address,
    mtu: tunnelMtu(own.underlayMtu, own.address),
    families: [...new Set(families)].sort(),
    senders: tunnel.sources,
    peers: [...new Set(ends)].filter((end) => end !== own.address),
  };
}

/**
 * An exit's number stands in the programs of its pods: one that is in use stays the exit's, and the exit keeps it. Else pods
 * would leave by another exit than their own.
 */
function requireSameIds(previous: Pick<SetUpAlready, 'exits'>, exits: readonly ResolvedExit[]): void {
  for (const { name, id } of exits) {
    const before = previous.exits.find((exit) => (exit.name === name) !== (exit.id === id));
    if (before === undefined) continue;
    const what =
      before.name === name
        ? `which is set up on this node with ${before.id}; give it the "id" ${before.id}`
        : `which is that of exit "${before.name}" on this node; give it another "id"`;
    throw new EgressError(
      'invalid-configuration',
      `#/exits: exit "${name}" has the id ${id}, ${what}, or change it when no pod and no gateway uses it`,
    );
  }
}

const isIn = (record: NodeRecord | undefined, { id, name }: ResolvedExit): boolean =>
  record?.exits.some((exit) => exit.id === id && exit.name === name) === true;

/**
 * Numbers and ids that the record does not know may be in use all the same: by another installation, or from before the
 * record was lost.
 */
async function requireAsSetUp(
  machine: Machine,
  previous: NodeRecord | undefined,
  next: NodeRecord,
  exits: readonly ResolvedExit[],
): Promise<void> {
  const already = await setUpAlready(machine);
  requireSameIds(already, exits);
  // A node whose record has another mark is changed over: see remark.
  for (const key of ['routeTable', 'rulePriority', ...(previous ? [] : (['fwmark'] as const))] as const) {
    const before = already[key];
    if (before !== undefined && before !== next[key])
      throw otherNumber(`/${key}`, shownAs(key, before), shownAs(key, next[key]));
  }
}

/** Objects with other numbers would steer wrong, or not at all. */
function requireSameNumbers(previous: NodeRecord, next: NodeRecord): void {
  const both = { ...(previous.tunnel && next.tunnel && { tunnel: [previous.tunnel, next.tunnel] as const }) };
  const pairs = [
    ...(['routeTable', 'rulePriority'] as const).map((key) => [`/${key}`, previous[key], next[key]] as const),
    ...(['vni', 'port', 'local'] as const).map((key) => {
      return [key === 'local' ? '/node' : `/tunnel/${key}`, both.tunnel?.[0][key], both.tunnel?.[1][key]] as const;
    }),
  ];
  for (const [pointer, before, now] of pairs) {
    if (before !== now) throw otherNumber(pointer, before, now);
  }
}

const shownAs = (key: keyof NodeNumbers, number: number) => (key === 'fwmark' ? hexNumber(number) : number);

const otherNumber = (pointer: string, before: unknown, now: unknown) =>
  new EgressError(
    'invalid-configuration',
    `#${pointer}: what is set up on this node has ${before}, got ${now}; change it when no pod and no gateway uses it`,
  );
