import { type Address, addressBytes, addressFromBytes, families } from '../base/address.ts';
import type { Hex } from '../nftables/expression.ts';
import { type DataType, dataTypes, type Element, type NftSet } from '../nftables/object.ts';
import { deviceHex, hostHex } from '../nftables/statement.ts';
import { exitIdMask, exitIdOfPart } from './names.ts';
import { flowsMap, isAnswersSet, nodeSets, slotsMap } from './sets.ts';

/** An address as the key or value of an element. */
export const addressHex = (address: Address): Hex => Buffer.from(addressBytes(address)).toString('hex');

/** The key of a pod's element in one of {@link podSets}: its address, as often as the set has it. */
export const podKey = ({ key }: NftSet, address: Address): Hex => addressHex(address).repeat(key.length);

/** An exit's id as the key of an element of {@link tunnelsSet}, {@link fallbackSet}, {@link elsewhereSet} or {@link servedMap}. */
export const exitKey = (id: number): Hex => hostHex(id);

/** The key of an element of {@link blocksMap}, or of {@link takenSet}. */
export const exitAddressKey = (id: number, address: Address): Hex => exitKey(id) + addressHex(address);

/** The pod's address in the key of an element of {@link blocksMap}. */
export const podOfBlockKey = (key: Hex): Hex => key.slice(exitKey(0).length);

/** The key of an element of {@link lanesSet}. */
export const laneKey = (id: number, device: string, address: Address): Hex =>
  exitDeviceKey(id, device) + addressHex(address);

/** A slot as the key of an element of {@link slotsMap} or {@link flowsMap}. */
export const slotKey = (slot: number, { key: [type = 'mark'] }: NftSet): Hex =>
  slot.toString(16).padStart(2 * dataTypes[type].length, '0');

/** The key of an element of {@link sentSet}, {@link snatMap} or {@link spreadMap}. */
export const exitDeviceKey = (id: number, device: string): Hex => exitKey(id) + deviceHex(device);

/** The interface in the key of an element of {@link sentSet}, {@link snatMap}, {@link spreadMap} or {@link lanesSet}. */
export const deviceOfKey = (key: Hex): string => Buffer.from(key.slice(8, 40), 'hex').toString().replace(/\0+$/, '');

/** The mark in the key of an element of a set of exits: the exit's id, or that and more. */
export const markOfKey = (key: Hex): number => Buffer.from(key.slice(0, 8), 'hex').readUInt32LE();

/** The exit's id in the key of an element of any set of exits. */
export const exitIdOfKey = (key: Hex): number => markOfKey(key) & exitIdMask;

/** The id of the exit that an element of any set of exits is about; `undefined` when it leads to none of ours. */
export function exitIdOfElement({ set, key, verdict }: Element): number | undefined {
  if (!isAnswersSet(set)) return exitIdOfKey(key);
  return verdict && 'chain' in verdict ? exitIdOfPart(verdict.chain) : undefined;
}

/** The key of an element for a person: each part as nft prints it. A set that is none of ours has keys in hexadecimal. */
export function keyText(set: string, key: Hex): string {
  const types = typesOf(set);
  const parts = types.map((type, i) => partText(type, partOf(key, types.slice(0, i), type)));
  return parts.length > 0 && parts.every((part) => part !== undefined) ? parts.join(' . ') : key;
}

/** The parts of the keys of a set; none of one that is not ours. */
function typesOf(name: string): readonly DataType[] {
  const id = exitIdOfPart(name);
  const ofExit = id === undefined ? [] : families.flatMap((family) => [slotsMap(id, family), flowsMap(id, family)]);
  return [...nodeSets, ...ofExit].find((set) => set.name === name)?.key ?? [];
}

/** Of a key with several parts each begins at a multiple of 4 bytes. */
function partOf(key: Hex, before: readonly DataType[], type: DataType): Buffer {
  const start = before.reduce((sum, each) => sum + Math.ceil(dataTypes[each].length / 4) * 4, 0);
  return Buffer.from(key, 'hex').subarray(start, start + dataTypes[type].length);
}

function partText(type: DataType, bytes: Buffer): string | undefined {
  switch (type) {
    case 'ipv4_addr':
    case 'ipv6_addr':
      return addressFromBytes(bytes);
    case 'ifname':
      return bytes.toString().replace(/\0+$/, '');
    case 'mark':
    case 'iface_index':
      return String(bytes.readUInt32LE());
    case 'ct_id':
      return String(bytes.readUInt32BE());
    case 'inet_service':
      return String(bytes.readUInt16BE());
    default:
      return undefined;
  }
}
