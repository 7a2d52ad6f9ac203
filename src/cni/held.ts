import { type Address, familyOf } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host } from '../datapath/host.ts';

/** Why packets cannot leave with an address of an exit that leaves from here, by where the guard looks for it. */
export async function whyNotHere(
  host: Host,
  { device, addressesOn = [] }: ResolvedExit,
  address: Address,
): Promise<string | undefined> {
  const holders = await holdersOf(host, address);
  if (holders.length === 0) return `${address} is not an address of this node any more`;
  if (holders.some((name) => addressesOn.includes(name))) return undefined;
  if (!holders.includes(device)) {
    return `${address} is not an address of ${device}, and the exit does not name ${holders.join(', ')} in "addressesOn"`;
  }
  if (addressesOn.length > 0 || familyOf(address) === 6) return undefined;
  const first = (await host.firstHolder(address))?.device ?? device;
  return first === device ? undefined : `the kernel finds ${address} on ${first} before ${device}`;
}

async function holdersOf(host: Host, address: Address): Promise<string[]> {
  const held = (await host.listAllAddresses()).filter((own) => own.address === address);
  const names: string[] = [];
  for (const { deviceIndex } of held) names.push((await host.readLink(deviceIndex))?.name ?? String(deviceIndex));
  return names;
}
