import type { Address } from '../../base/address.ts';
import { familyOf } from '../../base/address.ts';
import { filterText } from '../../datapath/filter.ts';
import type { Host } from '../../datapath/host.ts';
import { exitIdMask } from '../../datapath/layout.ts';
import { whyFiltered, whyNotForwarded } from '../../datapath/passage.ts';
import { tunnelDevice } from '../../datapath/tunnel.ts';
import type { NodeRecord } from '../../store/record.ts';
import { type Followed, fateOf, type Stop } from './followed.ts';

/** Where a packet went or died and why, in a sentence for a person. */
export interface Verdict {
  /** It left the node, as far as the node can tell. */
  readonly left: boolean;
  readonly sentence: string;
}

/** The packet's way in one sentence. Where no chain dropped it, the kernel is asked what it thinks of such a packet. */
export async function verdictOn(
  host: Host,
  node: NodeRecord | undefined,
  packet: Followed,
  isAnswer: boolean,
): Promise<Verdict> {
  const fate = fateOf(packet);
  const arrives = isAnswer && (fate.kind === 'left' || fate.kind === 'routed');
  if (arrives) {
    const by = `${await deviceOf(host, packet)}${await viaOf(host, packet)}`;
    return { left: true, sentence: `The answer went on to the pod by ${by}` };
  }
  switch (fate.kind) {
    case 'dropped':
      return died(`${filterText(fate.by)} dropped it at ${fate.by.hook}: ${byWhat(fate.by)}`);
    case 'lost':
      return died(await whyLost(host, packet, fate.behind));
    case 'local':
      return { left: false, sentence: 'It was for the node itself, and was given to it' };
    default:
      return await leaving(host, node, packet, fate.kind === 'left');
  }
}

const died = (why: string): Verdict => ({ left: false, sentence: `It died here: ${why}` });

const byWhat = ({ rule, family, table, chain }: Stop): string =>
  rule
    ? `rule ${rule.place} (nft -a list chain ${family} ${table} ${chain}, handle ${rule.handle})`
    : 'its policy is drop, and no rule accepted it';

/** Between the hooks the kernel routes, filters by source and forwards: each is asked by the same functions as explain asks. */
async function whyLost(host: Host, { first, inputIndex, stops }: Followed, behind: string): Promise<string> {
  const input = inputIndex === undefined ? undefined : (await host.readLink(inputIndex))?.name;
  const mark = stops.at(-1)?.mark ?? 0;
  if (first === undefined || input === undefined) return `nothing is seen of it behind ${behind}`;
  const { source, destination } = first;
  const family = familyOf(destination);
  const read = (name: string) => host.readSysctl(name);
  const known =
    whyNotForwarded(family, input, read) ??
    ((mark & exitIdMask) !== 0 ? whyFiltered({ family, input, output: '' }, read) : undefined);
  if (known !== undefined) return known;
  const route = await host.wayOf({ destination, mark, sender: { address: source, input } });
  if (route?.table === undefined)
    return `the kernel has no route for it behind ${behind} (mark ${hex(mark)}), or a rule says unreachable`;
  return `nothing is seen of it behind ${behind}, though a route leads to ${route.device}: a filter that is not nftables (eBPF, older iptables) may have it`;
}

const hex = (mark: number): string => `0x${mark.toString(16)}`;

const deviceOf = async (host: Host, { outputIndex }: Followed): Promise<string> =>
  (outputIndex === undefined ? undefined : (await host.readLink(outputIndex))?.name) ?? 'an unknown interface';

/** Of an answer that goes on to another node: the router that has to know the pod. */
async function viaOf(host: Host, { last }: Followed): Promise<string> {
  const via = last && (await host.routeTo(last.destination))?.via;
  return via === undefined ? '' : `, to next hop ${via}, which has to know the way to it`;
}

async function leaving(host: Host, node: NodeRecord | undefined, packet: Followed, isGiven: boolean): Promise<Verdict> {
  const { outputIndex, last, stops } = packet;
  const device = outputIndex === undefined ? undefined : (await host.readLink(outputIndex))?.name;
  if (device === undefined || last === undefined) return { left: true, sentence: 'It passed all chains, and left' };
  const id = (stops.at(-1)?.mark ?? 0) & exitIdMask;
  const exit = node?.exits.find((each) => each.id === id);
  const by = `by ${device}${exit ? ` for exit "${exit.name}"` : ''}`;
  if (device === tunnelDevice) {
    return {
      left: true,
      sentence: `It went into the tunnel${exit?.gateway ? ` to gateway ${exit.gateway}` : ''} ${by}: ask there with the same command and the pod’s address`,
    };
  }
  const hop = await nextHop(host, device, last.destination, stops.at(-1)?.mark ?? 0);
  if (!isGiven && hop.state !== undefined && ['failed', 'incomplete'].includes(hop.state)) {
    return died(
      `it was to leave ${by} with ${last.source}, and next hop ${hop.address} does not answer (${hop.state})`,
    );
  }
  return { left: true, sentence: `It left ${by} with ${last.source}, to ${hop.text}` };
}

async function nextHop(host: Host, device: string, destination: Address, mark: number) {
  const route = await host.routeTo(destination, mark);
  const address = route?.device === device ? (route.via ?? destination) : destination;
  const state = await host.readNeighbour(device, address);
  return { address, state, text: address === destination ? `${address}, on link` : `next hop ${address}` };
}
