import { type Address, familyOf } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host } from '../datapath/host.ts';

/** Why packets cannot leave with an address of an exit that leaves from here, by where the guard looks for it. */
export async function whyNotHere(
  host: Host,
  { device, addressesOn = [] }: ResolvedExit,
  address: Address,
): Promise<string | undefined> {
  const right = await holdersAmong(host, [device, ...addressesOn], address);
  // The other interfaces may be thousands: they are asked only to say what is wrong.
  const holders = right.length > 0 ? right : await holdersOf(host, address);
  if (holders.length === 0) return `${address} is not an address of this node`;
  if (holders.some((name) => addressesOn.includes(name))) return undefined;
  if (!holders.includes(device)) {
    return `${address} is not an address of ${device}, and the exit does not name ${holders.join(', ')} in "addressesOn"`;
  }
  if (addressesOn.length > 0 || familyOf(address) === 6) return undefined;
  const first = (await host.firstHolder(address))?.device ?? device;
  return first === device ? undefined : `the kernel finds ${address} on ${first} before ${device}`;
}

async function holdersAmong(host: Host, names: readonly string[], address: Address): Promise<string[]> {
  const holders: string[] = [];
  for (const name of names) {
    const link = await host.readLink(name);
    if (link && (await host.listAddresses(link)).some((own) => own.address === address)) holders.push(name);
  }
  return holders;
}

async function holdersOf(host: Host, address: Address): Promise<string[]> {
  const held = (await host.listAllAddresses()).filter((own) => own.address === address);
  const names: string[] = [];
  for (const { deviceIndex } of held) names.push((await host.readLink(deviceIndex))?.name ?? String(deviceIndex));
  return names;
}
