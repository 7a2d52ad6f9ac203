import { type Address, familyOf } from '../base/address.ts';
import { canonicalJson } from '../base/canonical.ts';
import type { Problem } from '../config/problem.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { exitIdOf, highestExitId } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { type Draft, type ExitDraft, fitName } from './draft.ts';
import type { ImportOptions } from './options.ts';

type Exit = NonNullable<PolicyDocument['exits']>[number];

/** The exits of some drafts, in the same order. */
export interface Exits {
  readonly exits: readonly Exit[];
  /** The name of the exit of each draft; drafts that leave alike share one. */
  readonly nameOf: ReadonlyMap<Draft, string>;
  readonly warnings: readonly Problem[];
  readonly errors: readonly Problem[];
}

/** Exits named after the first draft that uses them. Who leaves by the same interface with the same addresses shares one. */
export function exitsOf(drafts: readonly Draft[], options: ImportOptions): Exits {
  const key = ({ exit }: Draft) => canonicalJson([interfaceOf(exit, options), addressesOf(exit, options)]);
  const made = [...Map.groupBy(drafts, key).values()].flatMap((users) =>
    users.slice(0, 1).map((first) => ({ users, first, exit: exitOf(first, options) })),
  );
  return {
    exits: withIds(made.map(({ exit }) => exit)),
    nameOf: new Map(made.flatMap(({ users, exit }) => users.map((user) => [user, exit.name] as const))),
    warnings: made.flatMap(({ users, first }) => [...choicesOfNodes(users, options), ...limitsOf(first, options)]),
    errors: made.flatMap(({ first }) => missingOf(first, options)),
  };
}

function exitOf(draft: Draft, options: ImportOptions): Exit {
  const [addresses, name] = [addressesOf(draft.exit, options), interfaceOf(draft.exit, options)];
  const nextHops = nextHopsOf(draft.exit, options);
  return {
    name: builtInExits.some((builtIn) => builtIn === draft.name) ? fitName(`exit-${draft.name}`) : draft.name,
    ...(options.gateways.length > 0 && { gateways: [...options.gateways] }),
    ...(name !== undefined && { interface: name }),
    ...(nextHops.length > 0 && { nextHop: nextHops.length === 1 ? nextHops[0] : nextHops }),
    addresses,
  };
}

const addressesOf = ({ addresses }: ExitDraft, options: ImportOptions): Address[] => [
  ...(addresses.length > 0 ? addresses : options.addresses),
];

const interfaceOf = (exit: ExitDraft, options: ImportOptions): string | undefined =>
  exit.interface ?? options.interface;

/** Routers of families that the exit has no address of are of no use to it. */
function nextHopsOf(exit: ExitDraft, options: ImportOptions): Address[] {
  if (interfaceOf(exit, options) === undefined) return [];
  const families = new Set(addressesOf(exit, options).map(familyOf));
  return options.nextHops.filter((hop) => families.has(familyOf(hop)));
}

/** What an exit needs, and neither document nor options tell. */
function missingOf(draft: Draft, options: ImportOptions): Problem[] {
  const { exit } = draft;
  const hasGateways = options.gateways.length > 0;
  return told(draft, [
    !hasGateways && exit.from !== undefined && 'the addresses of gateway nodes are not known: give them with --gateway',
    !hasGateways && exit.from === undefined && interfaceOf(exit, options) === undefined && noWay,
    addressesOf(exit, options).length === 0 && noAddress,
  ]);
}

/** The nodes that documents choose as gateways, each choice once. */
function choicesOfNodes(users: readonly Draft[], { gateways }: ImportOptions): Problem[] {
  if (gateways.length === 0) return [];
  const firsts = [...Map.groupBy(users, ({ exit }) => exit.from).values()].flatMap((same) => same.slice(0, 1));
  return firsts.flatMap((draft) => told(draft, [draft.exit.from !== undefined && choice(draft.exit.from)]));
}

/** What the exit cannot do, though it is complete. */
function limitsOf(draft: Draft, options: ImportOptions): Problem[] {
  const { exit } = draft;
  const name = interfaceOf(exit, options);
  return told(draft, [
    exit.from === undefined && options.gateways.length === 0 && oneNode,
    name !== undefined && nextHopsOf(exit, options).length === 0 && neighbours(name),
  ]);
}

const told = ({ source, exit }: Draft, messages: readonly (string | false)[]): Problem[] =>
  messages.flatMap((message) => (message === false ? [] : [{ source, pointer: exit.pointer, message }]));

const noWay =
  'the interface that pods leave by is not known: give it with --interface, or gateways to leave from with --gateway';

const noAddress = 'the addresses that pods leave with are not known: give them with --address';

const choice = (from: string): string =>
  `which nodes are gateways (${from}) has no counterpart: all exits get the nodes of --gateway; see that they are the same`;

const oneNode =
  'only pods of the node that has the address can leave with it: with --gateway, those of all nodes leave by a gateway';

const neighbours = (name: string): string =>
  `the router behind ${name} is not known, so all destinations count as its neighbours: give it with --next-hop`;

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
