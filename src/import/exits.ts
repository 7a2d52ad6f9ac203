import { type Address, type Family, familyOf } from '../base/address.ts';
import { canonicalJson } from '../base/canonical.ts';
import type { Problem } from '../config/problem.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { exitIdOf, highestExitId } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { type Draft, type ExitDraft, fitName, type LeavingDraft } from './draft.ts';
import type { ImportOptions } from './options.ts';

type Exit = NonNullable<PolicyDocument['exits']>[number];

/** The exits of some drafts, in the same order. */
export interface Exits {
  readonly exits: readonly Exit[];
  /** The name of the exit of each draft that has one; drafts that leave alike share one. */
  readonly nameOf: ReadonlyMap<Draft, string>;
  readonly warnings: readonly Problem[];
  readonly errors: readonly Problem[];
  /** Drafts whose exit lacks something. */
  readonly lacking: ReadonlySet<Draft>;
  /** What the exit of such a draft lacks, at the place in the draft's own document. */
  whyLacking(draft: Draft): readonly Problem[];
}

/** Exits named after the first draft that uses them. Drafts with equal interfaces and addresses share one exit. */
export function exitsOf(drafts: readonly Draft[], options: ImportOptions): Exits {
  const key = ({ exit }: LeavingDraft) =>
    canonicalJson([
      interfaceOf(exit, options),
      exit.addresses.length > 0 ? exit.addresses : options.addresses,
      ...(options.known ? [options.known.gatewaysOf(exit)] : []),
    ]);
  const leaving = drafts.filter((draft): draft is LeavingDraft => draft.exit !== undefined);
  const made = [...Map.groupBy(leaving, key).values()].flatMap((users) =>
    users.slice(0, 1).map((first) => wayOf(first, users, options)),
  );
  const broken = made.filter((way) => missingOf(way, options).length > 0);
  return {
    exits: withIds(made.map(exitOf)),
    nameOf: new Map(made.flatMap((way) => way.users.map((user) => [user, exitOf(way).name] as const))),
    warnings: made.flatMap((way) => [...choicesOfNodes(way.users, options), ...limitsOf(way, options)]),
    errors: made.flatMap((way) => missingOf(way, options)),
    lacking: new Set(broken.flatMap(({ users }) => users)),
    whyLacking: (draft) =>
      broken.flatMap(({ users, ...way }) =>
        users.filter((user) => user === draft).flatMap((first) => missingOf({ ...way, users, first }, options)),
      ),
  };
}

/** A way out, with what the options add to it. */
interface Way {
  readonly first: LeavingDraft;
  readonly users: readonly LeavingDraft[];
  readonly addresses: readonly Address[];
  readonly interface?: string;
  readonly nextHops: readonly Address[];
  readonly gateways: readonly Address[];
  /** The gateways do not agree which of them has the addresses: somebody gives them to one. */
  readonly isHeldElsewhere: boolean;
}

function wayOf(first: LeavingDraft, users: readonly LeavingDraft[], options: ImportOptions): Way {
  const [addresses, name] = [addressesOf(users, options), interfaceOf(first.exit, options)];
  const families = new Set(addresses.map(familyOf));
  // Routers of families that the exit has no address of are of no use to it.
  const nextHops = name === undefined ? [] : options.nextHops.filter((hop) => families.has(familyOf(hop)));
  return {
    first,
    users,
    addresses,
    ...(name !== undefined && { interface: name }),
    nextHops,
    gateways: options.known?.gatewaysOf(first.exit) ?? options.gateways,
    isHeldElsewhere: options.known !== undefined && first.exit.from !== undefined,
  };
}

const exitOf = ({ first: { name }, addresses, nextHops, gateways, isHeldElsewhere, interface: device }: Way): Exit => ({
  name: builtInExits.some((builtIn) => builtIn === name) ? fitName(`exit-${name}`) : name,
  ...(gateways.length > 0 && { gateways: [...gateways], ...(isHeldElsewhere && { announce: 'elsewhere' }) }),
  ...(device !== undefined && { interface: device }),
  ...(nextHops.length > 0 && { nextHop: nextHops.length === 1 ? nextHops[0] : [...nextHops] }),
  addresses: [...addresses],
});

/** The addresses of the documents; for a family that has destinations but no address there, those of the options. */
function addressesOf(users: readonly LeavingDraft[], options: ImportOptions): Address[] {
  const own = [...new Set(users.flatMap(({ exit }) => exit.addresses))];
  if (own.length === 0) return [...options.addresses];
  const lacking = familiesOf(users).filter((family) => own.every((address) => familyOf(address) !== family));
  return [...own, ...options.addresses.filter((address) => lacking.includes(familyOf(address)))];
}

const familiesOf = (users: readonly LeavingDraft[]): Family[] => [
  ...new Set(users.flatMap(({ destinations }) => destinations.map(familyOf))),
];

const interfaceOf = (exit: ExitDraft, options: ImportOptions): string | undefined =>
  exit.interface ?? options.interface;

/** Members that an exit needs, and neither document nor options have. */
function missingOf({ first, addresses, gateways, ...way }: Way, { known }: ImportOptions): Problem[] {
  const hasGateways = gateways.length > 0;
  if (known !== undefined)
    return warningsAbout(first, [
      !hasGateways && `no node with an InternalIP is a gateway (${first.exit.from ?? known.anyGateway})`,
      addresses.length === 0 && 'the addresses that pods leave with are not known: the object does not say them',
    ]);
  return warningsAbout(first, [
    !hasGateways &&
      first.exit.from !== undefined &&
      'the addresses of gateway nodes are not known: give them with --gateway',
    !hasGateways && first.exit.from === undefined && way.interface === undefined && noWay,
    addresses.length === 0 && noAddress,
  ]);
}

/** The nodes that documents choose as gateways, each choice once. */
function choicesOfNodes(users: readonly LeavingDraft[], { gateways, known }: ImportOptions): Problem[] {
  if (gateways.length === 0 || known !== undefined) return [];
  const firsts = [...Map.groupBy(users, ({ exit }) => exit.from).values()].flatMap((same) => same.slice(0, 1));
  return firsts.flatMap((draft) => warningsAbout(draft, [draft.exit.from !== undefined && choice(draft.exit.from)]));
}

/** Faults of a complete exit. */
function limitsOf({ first, users, addresses, nextHops, gateways, ...way }: Way, { known }: ImportOptions): Problem[] {
  const give = (option: string) => (known === undefined ? `: give it with ${option}` : '');
  const without = familiesOf(users).filter((family) => addresses.every((address) => familyOf(address) !== family));
  return warningsAbout(first, [
    first.exit.from === undefined && gateways.length === 0 && oneNode,
    way.interface !== undefined && nextHops.length === 0 && `${neighbours(way.interface)}${give('--next-hop')}`,
    ...(addresses.length > 0 ? without.map((family) => `${dropped(family)}${give('--address')}`) : []),
  ]);
}

const warningsAbout = ({ source, exit }: LeavingDraft, messages: readonly (string | false)[]): Problem[] =>
  messages.flatMap((message) => (message === false ? [] : [{ source, pointer: exit.pointer, message }]));

const noWay =
  'the interface that pods leave by is not known: give it with --interface, or gateways to leave from with --gateway';

const noAddress = 'the addresses that pods leave with are not known: give them with --address';

const choice = (from: string): string =>
  `which nodes are gateways (${from}) has no counterpart: all exits get the nodes of --gateway; see that they are the same`;

const dropped = (family: Family): string =>
  `packets of IPv${family} are dropped, for the address that they leave with is not known (Cilium takes one of the gateway’s interface)`;

const oneNode =
  'only pods of the node that has the address can leave with it: with --gateway, those of all nodes leave by a gateway';

const neighbours = (name: string): string =>
  `the router behind ${name} is not known, so all destinations count as its neighbours`;

/** Where two names make one id, the later exit gets a free one. */
function withIds(exits: readonly Exit[]): Exit[] {
  const taken = new Set<number>();
  return exits.map((exit) => {
    const own = exitIdOf(exit.name);
    let id = own;
    while (taken.has(id)) id = 1 + (id % highestExitId);
    taken.add(id);
    return id === own ? exit : { ...exit, id };
  });
}
