import { contains, familyOf } from '../base/address.ts';
import type { Match, Program } from './match.ts';
import { missedTerm, type Packet } from './terms.ts';

/** The match of a program that decides about a packet out of the cluster; `undefined` when none fits. */
export const matchFor = (program: Program, packet: Packet): Match | undefined =>
  program.find((match) => fits(match, packet));

/** Whether a match takes a packet that no match before it has taken. */
export const fits = (match: Match, packet: Packet): boolean =>
  match.family === familyOf(packet.destination) &&
  match.destinations.some((prefix) => contains(prefix, packet.destination)) &&
  missedTerm(match, packet) === undefined;
