/** What an exit has to be beyond its parts. Exported by name, as `rules.ts` is, and for parts that are not judged yet, too. */
import { type Address, families, familyOf, parseAddress } from '../base/address.ts';
import { mostAddresses } from '../policy/exit.ts';
import { builtInExits } from '../policy/match.ts';

/** An exit whose other parts may be wrong. */
interface JudgedExit {
  readonly interface?: unknown;
  readonly gateways?: unknown;
  readonly nextHop?: Address | readonly Address[] | undefined;
  readonly addresses?: readonly Address[] | undefined;
  readonly onlink?: unknown;
  readonly announce?: unknown;
  readonly vrid?: unknown;
  readonly addressesOn?: readonly unknown[] | undefined;
  readonly addressPerFlow?: unknown;
  readonly portsPerPod?: unknown;
  readonly portBlocksPerNamespace?: unknown;
}

/** The valid addresses among values that are not judged yet. */
const valid = (addresses: readonly unknown[]): Address[] =>
  addresses.filter((each) => typeof each === 'string' && parseAddress(each) !== undefined) as Address[];

export const isOneOfEach = (addresses: readonly Address[]): boolean =>
  new Set(valid(addresses).map(familyOf)).size === valid(addresses).length;

export const isSet = (addresses: readonly Address[]): boolean =>
  new Set(valid(addresses)).size === valid(addresses).length;

export const isWithinLimit = (addresses: readonly Address[]): boolean =>
  families.every((family) => valid(addresses).filter((each) => familyOf(each) === family).length <= mostAddresses);

export const isNotBuiltIn = (exit: string): boolean => !builtInExits.some((builtIn) => builtIn === exit);

export const leadsSomewhere = (exit: JudgedExit): boolean =>
  exit.interface !== undefined || exit.gateways !== undefined;

export const hasInterfaceOfHop = (exit: JudgedExit): boolean =>
  exit.nextHop === undefined || exit.interface !== undefined;

export const hasHopOfOnlink = (exit: JudgedExit): boolean => !exit.onlink || exit.nextHop !== undefined;

export const hasAddressesOfGateways = (exit: JudgedExit): boolean =>
  exit.gateways === undefined || exit.addresses !== undefined;

export const hasGatewaysOfAnnounce = (exit: JudgedExit): boolean =>
  exit.announce !== 'elsewhere' || exit.gateways !== undefined;

export const hasGatewaysOfVrid = (exit: JudgedExit): boolean => exit.vrid === undefined || exit.gateways !== undefined;

export const hasAddressesOfOthers = (exit: JudgedExit): boolean =>
  (exit.addressesOn ?? []).length === 0 || exit.addresses !== undefined;

export const hasFlowsOrPorts = (exit: JudgedExit): boolean => !exit.addressPerFlow || exit.portsPerPod === undefined;

export const hasPortsOfBlocks = (exit: JudgedExit): boolean =>
  exit.portBlocksPerNamespace === undefined || exit.portsPerPod !== undefined;

/** A missing side is taken from the interface. So the sides must agree only where both are given. */
export function familiesAgree(exit: JudgedExit): boolean {
  if (exit.nextHop === undefined || exit.addresses === undefined) return true;
  const [hops, addresses] = [[exit.nextHop].flat(), [exit.addresses].flat()];
  if (valid([...hops, ...addresses]).length < hops.length + addresses.length) return true;
  const familiesOf = (some: readonly Address[]) => [...new Set(some.map(familyOf))].sort().join();
  return familiesOf(hops) === familiesOf(addresses);
}
