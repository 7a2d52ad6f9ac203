import * as z from 'zod/mini';
import type { Address } from '../base/address.ts';
import { mostAddresses } from '../policy/exit.ts';
import { highestExitId } from '../policy/exit-id.ts';
import { blockCount } from '../policy/port-blocks.ts';
import { defaults } from './defaults.ts';
import {
  familiesAgree,
  hasAddressesOfGateways,
  hasAddressesOfOthers,
  hasFlowsOrPorts,
  hasGatewaysOfAnnounce,
  hasGatewaysOfVrid,
  hasHopOfOnlink,
  hasInterfaceOfHop,
  hasPortsOfBlocks,
  isNotBuiltIn,
  isOneOfEach,
  isSet,
  isWithinLimit,
  leadsSomewhere,
} from './exit-rules.ts';
import { optional, required } from './option.ts';
import { address, filled, integer, interfaceName, name, namespaceGlob, oneOf, truth } from './value.ts';

type Judged = z.core.ParsePayload;

// The whole is judged even where a part of it is wrong: people are told both at once.

const inAnyList = { when: ({ value }: Judged) => Array.isArray(value) };

const inAnyObject = { when: ({ value }: Judged) => typeof value === 'object' && value !== null };

/** Whether something is absent: not told where it may only have a wrong name. */
const whereAllIsKnown = {
  when: (judged: Judged) =>
    inAnyObject.when(judged) &&
    !judged.issues.some(({ code, path }) => code === 'unrecognized_keys' && (path ?? []).length === 0),
};

const atMostOneOfEach = z.refine<Address[]>(isOneOfEach, {
  error: 'at most one address of each family',
  ...inAnyList,
});

const addressPerFamily = filled(address, 'a list of IP addresses').check(atMostOneOfEach);

const addressesOnce = filled(address, 'a list of IP addresses').check(
  z.refine(isSet, { error: 'a list with each address once', ...inAnyList }),
  z.meta({ uniqueItems: true }),
);

const exitAddresses = addressesOnce.check(
  z.refine(isWithinLimit, { error: `at most ${mostAddresses} addresses of each family`, ...inAnyList }),
);

/** Of one pod. */
const fewestPorts = 16;

const unavailableChoices = ['drop', 'node'] as const;

const announceChoices = ['vrrp', 'elsewhere'] as const;

/** Members of an exit that need others. The JSON Schema has these rules, too. */
const exitParts = {
  anyOf: [{ required: ['interface'] }, { required: ['gateways'] }],
  dependentRequired: {
    nextHop: ['interface'],
    gateways: ['addresses'],
    vrid: ['gateways'],
    addressesOn: ['addresses'],
    portBlocksPerNamespace: ['portsPerPod'],
  },
};

/** An exit, valid in itself. */
export const exit = z
  .strictObject(
    {
      name: required(
        name.check(z.refine(isNotBuiltIn, 'another name than those of the built-in exits "node" and "drop"')),
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
      announce: optional(
        oneOf(announceChoices),
        'Who gives the `addresses` to one of the `gateways`: `vrrp`, their agents, which agree by VRRP; or `elsewhere`, somebody else: kube-vip, keepalived, MetalLB, a cloud. The gateway that has them serves.',
        defaults.announce,
      ),
      vrid: optional(
        integer(1, 255),
        'VRRP’s number (VRID) for the `gateways`, the same for all exits that have them in this order. Made from the list; only needed when another router of the segment has that number, or two lists make one by chance.',
      ),
      interface: optional(
        interfaceName,
        'Interface that packets leave by, on the pod’s node or on the gateway. Required without `gateways`; else by default the one of the gateway’s default route.',
      ),
      nextHop: optional(
        z.union([address, addressPerFamily], 'an IP address or a list of IP addresses'),
        'Router behind the interface: one address, or a list with one of each family. Needs `interface`; without it, destinations are neighbours on that interface.',
      ),
      onlink: optional(
        truth,
        'The router is behind the interface though it is in none of the interface’s networks, as in some clouds: `ip route … onlink`. Needs `nextHop`; without `interface` the gateway’s default route says so itself.',
        defaults.onlink,
      ),
      addresses: optional(
        exitAddresses,
        'Source addresses of packets that leave; a family without one is dropped, never leaked. Pods are spread over several of a family by their own address: each keeps one. Without this, the interface’s own addresses; required with `gateways`, so that pods are seen with the same address whichever gateway they leave by.',
      ),
      addressesOn: optional(
        z.array(interfaceName, 'a list of interfaces').check(z.meta({ uniqueItems: true })),
        'Other interfaces of the node that may hold the `addresses` instead of `interface`: `lo`, or a dummy. Without it, an address that only another interface holds is not here, and packets that would leave with it are dropped: in IPVS mode kube-proxy holds the address of every Service on every node.',
        [],
      ),
      addressPerFlow: optional(
        truth,
        'With several addresses of a family: spread connections over them, not pods.',
        defaults.addressPerFlow,
      ),
      fastPath: optional(
        truth,
        'Let established connections of checked pods pass the kernel’s flowtable, where the kernel has one and while `egress agent` runs. They are judged when they begin and after each change, not packet by packet. With `gateways`, on the pod’s node and on the gateway.',
        defaults.fastPath,
      ),
      portsPerPod: optional(
        integer(fewestPorts, 32768),
        'Give each pod so many source ports of its own, so that an address and port seen outside name the pod (`egress who`). Without it, pods share all ports.',
      ),
      portBlocksPerNamespace: optional(
        integer(1, mostAddresses * blockCount(fewestPorts)),
        'With `portsPerPod`: how many pods of one namespace may have ports of their own on one node, so that no tenant takes all of them. ADD refuses one more with `ports-exhausted`. Without it, a namespace may take all blocks of a node.',
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
    z.refine(leadsSomewhere, {
      error: '"interface" (leave from the pod’s node), "gateways" (leave from a gateway), or both',
      ...whereAllIsKnown,
    }),
    z.refine(hasInterfaceOfHop, {
      error: 'the interface that "nextHop" lies behind',
      path: ['interface'],
      ...whereAllIsKnown,
    }),
    z.refine(hasHopOfOnlink, {
      error: 'the router that "onlink" is about',
      path: ['nextHop'],
    }),
    z.refine(hasAddressesOfGateways, {
      error: 'the addresses that pods are seen with, whichever of the "gateways" they leave by',
      path: ['addresses'],
      ...whereAllIsKnown,
    }),
    z.refine(hasGatewaysOfAnnounce, {
      error: 'the gateways of which one is given the addresses',
      path: ['gateways'],
      ...whereAllIsKnown,
    }),
    z.refine(hasGatewaysOfVrid, {
      error: 'the gateways that "vrid" is the number of',
      path: ['gateways'],
      ...whereAllIsKnown,
    }),
    z.refine(hasAddressesOfOthers, {
      error: 'the addresses that interfaces of "addressesOn" hold',
      path: ['addresses'],
    }),
    z.refine(hasFlowsOrPorts, {
      error: 'no "portsPerPod" beside "addressPerFlow": a block of ports belongs to one pod on one address',
      path: ['portsPerPod'],
      ...inAnyObject,
    }),
    z.refine(hasPortsOfBlocks, {
      error: 'how many ports the blocks have that "portBlocksPerNamespace" counts',
      path: ['portsPerPod'],
      ...inAnyObject,
    }),
    z.refine(familiesAgree, {
      error: 'next hops of the same families as in addresses',
      path: ['nextHop'],
      ...inAnyObject,
    }),
    z.meta(exitParts),
  );
