import * as z from 'zod/mini';
import { type Address, families, familyOf } from '../base/address.ts';
import { mostAddresses } from '../policy/exit.ts';
import { highestExitId } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { defaults, optional, required } from './option.ts';
import { address, filled, integer, interfaceName, name, namespaceGlob, oneOf, truth } from './value.ts';

const atMostOneOfEach = z.refine<Address[]>(
  (addresses) => new Set(addresses.map(familyOf)).size === addresses.length,
  'at most one address of each family',
);

const addressPerFamily = filled(address, 'a list of IP addresses').check(atMostOneOfEach);

const isSet = (addresses: readonly Address[]): boolean => new Set(addresses).size === addresses.length;

const addressesOnce = filled(address, 'a list of IP addresses').check(
  z.refine(isSet, 'a list with each address once'),
  z.meta({ uniqueItems: true }),
);

const isWithinLimit = (addresses: readonly Address[]): boolean =>
  families.every((family) => addresses.filter((each) => familyOf(each) === family).length <= mostAddresses);

const exitAddresses = addressesOnce.check(z.refine(isWithinLimit, `at most ${mostAddresses} addresses of each family`));

/** What is not given is taken from the interface, so only what is given on both sides must agree. */
function familiesAgree(exit: {
  nextHop?: Address | Address[] | undefined;
  addresses?: Address[] | undefined;
}): boolean {
  if (exit.nextHop === undefined || exit.addresses === undefined) return true;
  const familiesOf = (addresses: readonly Address[]) => [...new Set(addresses.map(familyOf))].sort().join();
  return familiesOf([exit.nextHop].flat()) === familiesOf(exit.addresses);
}

const unavailableChoices = ['drop', 'node'] as const;

/** What an exit must have, by what else it has; told in the JSON Schema, too. */
const exitParts = {
  anyOf: [{ required: ['interface'] }, { required: ['gateways'] }],
  dependentRequired: { nextHop: ['interface'], gateways: ['addresses'] },
};

const isBuiltIn = (exit: string): boolean => builtInExits.some((builtIn) => builtIn === exit);

/** An exit, valid in itself. */
export const exit = z
  .strictObject(
    {
      name: required(
        name.check(
          z.refine((text) => !isBuiltIn(text), 'another name than those of the built-in exits "node" and "drop"'),
        ),
        'What policies call the exit. `node` (leave as if egress were not there) and `drop` (do not leave) are built in.',
      ),
      id: optional(
        integer(1, highestExitId),
        'Number of the exit in packet marks and routing tables. Made from the name, the same on every node; only needed when two names make one number by chance.',
      ),
      gateways: optional(
        addressesOnce,
        'Nodes that packets leave from, by their underlay addresses (those in `nodes`), the preferred one first. Without it, packets leave from the pod’s own node.',
      ),
      interface: optional(
        interfaceName,
        'Interface that packets leave by, on the pod’s node or on the gateway. Required without `gateways`; else by default the one of the gateway’s default route.',
      ),
      nextHop: optional(
        z.union([address, addressPerFamily], 'an IP address or a list of IP addresses'),
        'Router behind the interface: one address, or a list with one of each family. Needs `interface`; without it, destinations are neighbours on that interface.',
      ),
      addresses: optional(
        exitAddresses,
        'Source addresses of packets that leave; a family without one is dropped, never leaked. Pods are spread over several of a family by their own address: each keeps one. Without this, the interface’s own addresses; required with `gateways`, so that pods are seen with the same address whichever gateway they leave by.',
      ),
      addressPerFlow: optional(
        truth,
        'With several addresses of a family: spread connections over them, not pods.',
        defaults.addressPerFlow,
      ),
      portsPerPod: optional(
        integer(16, 32768),
        'Give each pod so many source ports of its own, so that an address and port seen outside name the pod (`egress who`). Without it, pods share all ports.',
      ),
      annotationNamespaces: optional(
        z.array(namespaceGlob, 'a list of namespaces'),
        'Namespaces whose pods may ask for the exit by the annotation `egress.cni/exit`, with wildcards as in policies.',
        defaults.annotationNamespaces,
      ),
      onUnavailable: optional(
        oneOf(unavailableChoices),
        'What becomes of packets while the interface, the tunnel or the route is gone: `drop`, or `node` (leave with the node’s address).',
        defaults.onUnavailable,
      ),
    },
    'an object',
  )
  .check(
    z.refine(
      (exit) => exit.interface !== undefined || exit.gateways !== undefined,
      '"interface" (leave from the pod’s node), "gateways" (leave from a gateway), or both',
    ),
    z.refine((exit) => exit.nextHop === undefined || exit.interface !== undefined, {
      error: 'the interface that "nextHop" lies behind',
      path: ['interface'],
    }),
    z.refine((exit) => exit.gateways === undefined || exit.addresses !== undefined, {
      error: 'the addresses that pods are seen with, whichever of the "gateways" they leave by',
      path: ['addresses'],
    }),
    z.refine((exit) => !exit.addressPerFlow || exit.portsPerPod === undefined, {
      error: 'no "portsPerPod" beside "addressPerFlow": a block of ports belongs to one pod on one address',
      path: ['portsPerPod'],
    }),
    z.refine(familiesAgree, { error: 'next hops of the same families as in addresses', path: ['nextHop'] }),
    z.meta(exitParts),
  );
