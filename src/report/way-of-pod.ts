import type { Address } from '../base/address.ts';
import type { Host, PassingPacket, RouteTaken } from '../datapath/host.ts';

/**
 * The way of a pod's packet, as the kernel says for one that comes in from the pod: rules of others may ask for that.
 * Where the kernel would not take it from the pod, the way of such a packet of the node.
 */
export async function wayOfPod(
  host: Host,
  address: Address,
  packet: Omit<PassingPacket, 'sender'>,
): Promise<RouteTaken | undefined> {
  const [own, input] = [await host.routeTo(packet.destination, packet.mark), (await host.routeTo(address))?.device];
  const passing = input === undefined ? undefined : await host.wayOf({ ...packet, sender: { address, input } });
  // Of packets that pass, the kernel does not tell the address that it would choose.
  const isSame = passing?.device === own?.device && passing?.via === own?.via;
  return passing?.table === undefined || isSame ? own : passing;
}
