import { familyOf, type Prefix } from '../base/address.ts';
import type { Match, Program } from './match.ts';
import { firstHolding, holdsAny } from './range-index.ts';
import { missedTerm, type Packet } from './terms.ts';

/** The match of a program that decides about a packet out of the cluster; `undefined` when none fits. */
export const matchFor = (program: Program, packet: Packet): Match | undefined =>
  program.find((match) => fits(match, packet));

/** Whether a match takes a packet that no match before it has taken. */
export const fits = (match: Match, packet: Packet): boolean =>
  match.family === familyOf(packet.destination) &&
  holdsAny(match.destinations, packet.destination) &&
  missedTerm(match, packet) === undefined;

/** Where the decision about a packet falls, of packets that are not for the node itself. */
export type Decision =
  /** In a range that is never steered: of the cluster, or of the pod's own networks. */
  | { readonly by: 'cluster' | 'subnet'; readonly range: Prefix }
  /** In a match; `place` counts those of the program from 0. */
  | { readonly by: 'match'; readonly match: Match; readonly place: number }
  | { readonly by: 'nothing' };

/** The decision of a program's chain about a packet that is not for the node itself. */
export function decide(
  { matches, subnets }: { readonly matches: Program; readonly subnets: readonly Prefix[] },
  clusterCIDRs: readonly Prefix[],
  packet: Packet,
): Decision {
  const rangeIn = (ranges: readonly Prefix[]) => firstHolding(ranges, packet.destination);
  const cluster = rangeIn(clusterCIDRs);
  if (cluster !== undefined) return { by: 'cluster', range: cluster };
  const subnet = rangeIn(subnets);
  if (subnet !== undefined) return { by: 'subnet', range: subnet };
  const place = matches.findIndex((match) => fits(match, packet));
  const match = matches[place];
  return match === undefined ? { by: 'nothing' } : { by: 'match', match, place };
}
