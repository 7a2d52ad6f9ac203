import type { NodeState, SteeredAttachment } from '../datapath/attachment.ts';
import type { OwnState } from '../datapath/host.ts';
import * as layout from '../datapath/layout.ts';
import type { Needs } from '../datapath/needs.ts';
import type { HostObject } from '../datapath/objects.ts';
import type { Chain } from '../nftables/object.ts';
import { observeOutside } from './kinds.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { findChain, listRules } from './nftables/read.ts';
import { chainOf, usedChain } from './observe.ts';
import { findPods } from './observe-pods.ts';

/** Of the needed objects those that are there and are told by no generation of the ruleset, and those of the pod itself. */
export async function observeBesideNoted(
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  node: NodeState,
  needs: Needs,
): Promise<HostObject[]> {
  const { exits, attachment, checked = [] } = needs;
  const devices = new Set(exits.map(({ device }) => device));
  const sources = checked.flatMap(({ sources }) => sources?.devices ?? []);
  return [
    ...(await findPods(netfilter, attachment?.addresses ?? [])),
    ...(await readNetdevChains(netfilter, [
      ...[...devices].map(layout.chainNames.sent),
      ...sources.map(layout.chainNames.from),
    ])),
    ...(await observeOutside(route, node, needs)),
  ];
}

/** What is a pod's alone, and how many others lead to the chains of its program. */
export async function observeOwn(
  socket: NetlinkSocket,
  { addresses, sources, program }: Pick<SteeredAttachment, 'addresses' | 'sources' | 'program'>,
): Promise<OwnState> {
  const elements = await findPods(socket, addresses);
  const chains = await readNetdevChains(socket, (sources?.devices ?? []).map(layout.chainNames.from));
  const references = new Map<string, number>();
  for (const name of [program, layout.entryOf(program)]) {
    const chain = await findChain(socket, name);
    if (chain !== undefined) references.set(name, chain.use - (await listRules(socket, name)).length);
  }
  return { elements, chains, references };
}

/** Chains at interfaces, by name: a node has one for each pod. */
async function readNetdevChains(socket: NetlinkSocket, names: readonly string[]): Promise<Chain[]> {
  const chains: Chain[] = [];
  for (const name of names) {
    const chain = await findChain(socket, name, layout.netdevTable);
    if (chain === undefined) continue;
    const rules = await listRules(socket, name, layout.netdevTable);
    chains.push(chainOf(usedChain(chain, rules, layout.netdevTable)));
  }
  return chains;
}
