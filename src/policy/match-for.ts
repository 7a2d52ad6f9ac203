import { type Address, contains, familyOf } from '../base/address.ts';
import type { Match, Program } from './match.ts';

/** The match of a program that decides about packets to an address outside of the cluster; `undefined` when none fits. */
export function matchFor(program: Program, destination: Address): Match | undefined {
  const holds = (prefixes: Match['destinations']) => prefixes.some((prefix) => contains(prefix, destination));
  return program.find(
    ({ family, destinations, except }) => family === familyOf(destination) && holds(destinations) && !holds(except),
  );
}
