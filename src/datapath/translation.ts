import type { Address } from '../base/address.ts';
import type { Chain, Element, NftSet } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { ResolvedExit, Way } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { slotCount, slotsOf } from './slots.ts';

/**
 * The objects that give the packets of a local exit one of its addresses, and let them pass the guard with these alone.
 * A family with one address has it in a map that all exits share; several are in maps of the exit's own, and a chain of
 * the exit's own chooses.
 */
export function desiredTranslation(exit: ResolvedExit): HostObject[] {
  const several = exit.ways.filter(hasSeveral);
  return [
    ...exit.ways.flatMap((way) => [
      ...(hasSeveral(way) ? desiredSlots(exit, way) : snatElements(exit, way)),
      ...way.addresses.map((address) => laneElement(exit, way, address)),
    ]),
    ...(several.length > 0 ? [snatChain(exit, several), spreadElement(exit)] : []),
  ];
}

const hasSeveral = ({ addresses }: Way): boolean => addresses.length > 1;

const snatElements = (exit: ResolvedExit, { family, addresses }: Way): Element[] =>
  addresses.map((address) => ({
    kind: 'element',
    set: layout.setNames.snat(family),
    key: layout.exitDeviceKey(exit.id, exit.device),
    value: layout.addressHex(address),
  }));

const laneElement = (exit: ResolvedExit, { family }: Way, address: Address): Element => ({
  kind: 'element',
  set: layout.setNames.lanes(family),
  key: layout.laneKey(exit.id, exit.device, address),
});

const mapOf = ({ id, addressPerFlow }: ResolvedExit, { family }: Way): NftSet =>
  addressPerFlow ? layout.flowsMap(id, family) : layout.slotsMap(id, family);

function desiredSlots(exit: ResolvedExit, way: Way): HostObject[] {
  const map = mapOf(exit, way);
  const elements = slotsOf(way.addresses).map(
    (address, slot): Element => ({
      kind: 'element',
      set: map.name,
      key: layout.slotKey(slot, map),
      value: layout.addressHex(address),
    }),
  );
  return [map, ...elements];
}

const slotMask = slotCount - 1;

/** Where it does not translate, because the other family has one address only, the rules behind the jump do. */
function snatChain(exit: ResolvedExit, ways: readonly Way[]): Chain {
  const by = exit.addressPerFlow ? say.snatBySourcePort : say.snatBySource;
  const rules = ways.map((way) => ({ statements: [by(way.family, slotMask, mapOf(exit, way).name)] }));
  return { kind: 'chain', name: layout.chainNames.exitSnat(exit.id), rules };
}

const spreadElement = ({ id, device }: ResolvedExit): Element => ({
  kind: 'element',
  set: layout.setNames.spread,
  key: layout.exitDeviceKey(id, device),
  verdict: { code: 'jump', chain: layout.chainNames.exitSnat(id) },
});
