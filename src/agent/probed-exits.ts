import { type Address, type Family, familyOf } from '../base/address.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Link } from '../datapath/objects.ts';
import * as election from '../election/probe.ts';
import type { Machine } from '../node/machine.ts';
import type { ExitGateways, NodeRecord } from '../store/record.ts';

/** An exit that can be asked for: by an address of its own, which answers to one of the node's. */
export interface ProbedExit extends election.ProbedExit {
  readonly address: Address;
  readonly source: Address;
}

/** The exits of this node that leave from other nodes, and can be asked for: the node has an address of their family. */
export async function probedExits(
  machine: Machine,
  { exits }: Configuration,
  { exits: here, tunnel }: NodeRecord,
): Promise<readonly ProbedExit[]> {
  const found: ProbedExit[] = [];
  if (tunnel === undefined) return found;
  const sources = new Map<Family, Address>([[familyOf(tunnel.local), tunnel.local]]);
  for (const { name, gateway } of here) {
    const { gateways = [], addresses = [] } = exits.find((exit) => exit.name === name) ?? {};
    const others = gateways.filter((one) => one !== tunnel.local);
    if (gateway === undefined || !others.includes(gateway)) continue;
    const byFamily = addresses.toSorted((a, b) => rank(a, tunnel.local) - rank(b, tunnel.local));
    for (const address of byFamily) {
      const source = sources.get(familyOf(address)) ?? (await addressOfNode(machine, gateway, familyOf(address)));
      if (source === undefined) continue;
      sources.set(familyOf(address), source);
      found.push({ exit: name, gateways: others, inUse: gateway, address, source });
      break;
    }
  }
  return found;
}

/** An address of the tunnel's own family first: the node surely has one. */
const rank = (address: Address, own: Address): number => (familyOf(address) === familyOf(own) ? 0 : 1);

/** An address of the other family on the interface that leads to a gateway. */
async function addressOfNode(machine: Machine, gateway: Address, family: Family): Promise<Address | undefined> {
  const link = await linkTo(machine, gateway);
  const addresses = link === undefined ? [] : await machine.host.listAddresses(link);
  return addresses.find((one) => one.family === family && one.scope === 0 && one.usable && !one.ours)?.address;
}

/** The interface by which a gateway is reached. */
export async function linkTo({ host }: Machine, gateway: Address): Promise<Link | undefined> {
  const device = (await host.routeTo(gateway))?.device;
  return device === undefined ? undefined : await host.readLink(device);
}

/** What is told of an exit: the same object as before when nothing of it changed. */
export function stateOf(probe: election.Probe, before: ExitGateways | undefined): ExitGateways {
  const answers = !election.isSilent(probe, election.defaultTiming);
  if (before?.gateway === probe.inUse && before.answers === answers) return before;
  const since = new Date().toISOString();
  return {
    ...{ exit: probe.exit, gateway: probe.inUse, answers, since },
    ...(before?.moved && { moved: before.moved }),
  };
}
