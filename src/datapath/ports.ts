import { familyOf } from '../base/address.ts';
import { protocols } from '../base/port-range.ts';
import type { Chain, Element, Rule } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { OwnPorts } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { addressOf } from './slots.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * The objects that give pods source ports of their own. Each address of a pod has a chain for each exit, and an element
 * of the maps `blocks` leads there. Where an exit's packets go through the tunnel they get their port here, and keep it
 * on every gateway.
 */
export function desiredPorts(exits: readonly ResolvedExit[], owners: readonly OwnPorts[]): HostObject[] {
  return owners.flatMap((owner) => {
    const exit = exits.find(({ id }) => id === owner.id);
    const way = exit?.ways.find(({ family }) => family === familyOf(owner.address));
    if (exit === undefined || way === undefined || way.addresses.length === 0) return [];
    const name = layout.chainNames.ports(exit.id, owner.address);
    return [portsChain(name, exit, addressOf(way.addresses, owner.address), owner), portsElement(name, exit, owner)];
  });
}

/** Packets of other protocols, or by another interface, return from here to the rules for all. */
function portsChain(name: string, exit: ResolvedExit, egress: string, { address, first, last, mark }: OwnPorts): Chain {
  const family = familyOf(address);
  const to = exit.device === tunnelDevice ? undefined : egress;
  // ICMP has an identifier in place of a port, by which a ping knows its answer.
  const rules = protocols.map(
    (protocol): Rule => ({
      statements: [
        say.leavesBy(exit.device),
        say.isProtocol(protocol, family),
        say.snatToPorts(family, to, { first, last }),
      ],
      comment: mark,
    }),
  );
  return { kind: 'chain', name, rules };
}

const portsElement = (name: string, exit: ResolvedExit, { address, mark }: OwnPorts): Element => ({
  kind: 'element',
  set: layout.setNames.blocks(familyOf(address)),
  key: layout.exitAddressKey(exit.id, address),
  verdict: { code: 'jump', chain: name },
  comment: mark,
});
