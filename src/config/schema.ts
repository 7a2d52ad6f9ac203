// Not 'zod': the full package loads far more, and every start of the plugin would pay for it.
import * as z from 'zod/mini';
import { type Address, families, familyOf } from '../base/address.ts';
import { mostAddresses } from '../policy/exit.ts';
import { highestExitId } from '../policy/exit-id.ts';
import { builtInExits } from '../policy/match.ts';
import { everywhere } from '../policy/policy.ts';
import {
  absolutePath,
  address,
  filled,
  flag,
  integer,
  interfaceName,
  name,
  namespaceGlob,
  oneOf,
  podGlob,
  portRange,
  prefix,
  truth,
} from './value.ts';

/** What an option is when nobody gives it. */
export const defaults = {
  policyFile: '/etc/cni/egress/policy.json',
  dataDir: '/var/lib/cni/egress',
  logLevel: 'info',
  fwmark: '0x00100000',
  routeTable: 500000,
  rulePriority: 700,
  vni: 14597,
  port: 4788,
  replyPath: 'direct',
  onUnavailable: 'drop',
  pods: ['*'],
  destinations: everywhere,
  priority: 0,
  optIn: false,
  addressPerFlow: false,
  draining: false,
  annotationNamespaces: [],
} as const;

/** A key that must be there. The description is what editors show, and a row of the table in conf/README.md. */
const required = <T extends z.ZodMiniType>(schema: T, description: string): T => schema.check(z.describe(description));

/** A key that may be absent. `byDefault` is for people and editors; {@link defaults} are filled in later. */
const optional = <T extends z.ZodMiniType>(schema: T, description: string, byDefault?: unknown) =>
  z.optional(schema).check(z.meta({ description, ...(byDefault !== undefined && { default: byDefault }) }));

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

const exit = z
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

const policy = z.strictObject(
  {
    name: required(name, 'Name of the policy.'),
    namespaces: required(
      filled(namespaceGlob, 'a list of namespaces'),
      'Namespaces of the pods; `*` stands for any characters, `?` for one. `["*"]` also fits pods of runtimes that know no namespaces.',
    ),
    pods: optional(
      filled(podGlob, 'a list of pod names'),
      'Names of the pods, with `*` and `?` as in `namespaces`. Pods of a Deployment are `name-*`, of a StatefulSet `name-0`, `name-1`, ….',
      defaults.pods,
    ),
    destinations: optional(
      filled(prefix, 'a list of address ranges'),
      'Where the packets go to. The ranges of the cluster are never steered, even if they lie inside.',
      defaults.destinations,
    ),
    except: optional(
      z.array(prefix, 'a list of address ranges'),
      'Ranges inside the destinations that the policy leaves alone.',
      [],
    ),
    ports: optional(
      filled(portRange, 'a list of ports'),
      'Protocols and destination ports: `protocol[:port[-port]]`, with `tcp`, `udp`, `sctp` or `icmp`. Without it, packets of any protocol.',
    ),
    exit: required(z.string('the name of an exit'), 'Name of an exit, `node` or `drop`.'),
    priority: optional(
      integer(-1_000_000, 1_000_000),
      'The higher one decides; then the longer destination prefix; then the name that sorts first.',
      defaults.priority,
    ),
    optIn: optional(
      truth,
      'Only for pods that ask for the policy by the annotation `egress.cni/policy`.',
      defaults.optIn,
    ),
  },
  'an object',
);

const node = z.strictObject(
  {
    address: required(address, 'Underlay address of the node.'),
    podCIDRs: optional(
      z.array(prefix, 'a list of address ranges'),
      'Ranges that the node’s pods get their addresses from.',
      [],
    ),
  },
  'an object',
);

export const replyPaths = ['direct', 'tunnel'] as const;

const tunnel = z.strictObject(
  {
    vni: optional(integer(1, 0xffffff), 'VXLAN network identifier (VNI).', defaults.vni),
    port: optional(
      integer(1, 65535),
      'UDP port. Other VXLANs of a node may use 4789 (the standard), 8472 (Flannel, Cilium) or 4790.',
      defaults.port,
    ),
    replyPath: optional(
      oneOf(replyPaths),
      'How a gateway sends replies to a pod: `direct`, by its own route to the pod, or `tunnel`, to the node whose `podCIDRs` hold the pod.',
      defaults.replyPath,
    ),
    allowedSources: optional(
      z.array(prefix, 'a list of address ranges'),
      'Ranges of nodes that are not in `nodes`. What others than these, `nodes` and `gateways` send to the port is dropped: VXLAN authenticates nobody.',
      [],
    ),
  },
  'an object',
);

/** The highest table of an exit must be a number of 32 bits, the lowest must lie behind main (254) and local (255). */
const routeTable = integer(256, 0xffffffff - highestExitId);

/** Behind the rule for local addresses (0), and the last of six before the one for table main (32766). */
const rulePriority = integer(1, 32760);

/** What may stand in the policy file, and in the chain entry as well. */
const policyOptions = {
  clusterCIDRs: optional(
    z.array(prefix, 'a list of address ranges'),
    'Ranges inside the cluster (pods, services), which are never steered. Link-local ranges, `nodes` and `gateways` always count as such.',
    [],
  ),
  nodes: optional(
    z.array(node, 'a list of nodes'),
    'Nodes of the cluster. With `gateways`: all that may send to the tunnel.',
    [],
  ),
  tunnel: optional(tunnel, 'The tunnel from the nodes to the `gateways` of exits, the same on every node.', {}),
  fwmark: optional(
    flag,
    'The bit of the packet mark that says that egress steers the packet: a number, or a text in hexadecimal. kube-proxy uses 0x4000 and 0x8000.',
    defaults.fwmark,
  ),
  routeTable: optional(
    routeTable,
    'The routing table of an exit is this number plus the exit’s id.',
    defaults.routeTable,
  ),
  rulePriority: optional(
    rulePriority,
    'The first of six consecutive priorities of policy rules (`ip rule`).',
    defaults.rulePriority,
  ),
  exits: optional(z.array(exit, 'a list of exits'), 'Ways out of the cluster.', []),
  policies: optional(
    z.array(policy, 'a list of policies'),
    'Which pods, towards which destinations, use which exit.',
    [],
  ),
};

export const policyDocumentSchema = z
  .strictObject(
    { $schema: optional(z.string('a text'), 'Where an editor finds the JSON Schema of the file.'), ...policyOptions },
    'an object',
  )
  .check(z.meta({ title: 'Policy file of cni-egress' }));

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** How keys begin that the CNI specification keeps for itself (SPEC.md, "Plugin configuration objects"): not ours to judge. */
export const reservedPrefix = 'cni.dev/';

export const chainEntrySchema = z
  .strictObject(
    {
      type: required(z.string('a text'), 'Name of the binary: `egress`.'),
      name: optional(z.string('a text'), 'Name of the network; the runtime sets it.'),
      cniVersion: optional(z.string('a text'), 'Version of the CNI specification; the runtime sets it.'),
      capabilities: optional(
        z.record(z.string(), z.boolean('true or false'), 'an object'),
        'What the runtime shall pass in `runtimeConfig`.',
      ),
      runtimeConfig: optional(z.unknown(), 'What the runtime knows about the pod; the runtime sets it.'),
      args: optional(z.unknown(), 'Further arguments of the runtime; the runtime sets it.'),
      prevResult: optional(z.unknown(), 'Result of the plugins before; the runtime sets it.'),
      policyFile: optional(
        absolutePath,
        'The policy file. Without one at the default place there are no policies; one that is named here must exist.',
        defaults.policyFile,
      ),
      node: optional(
        address,
        'Underlay address of this node. By default the one of its addresses that `nodes` or `gateways` names, else the address of the interface that has the default route.',
      ),
      dataDir: optional(absolutePath, 'Where egress keeps its state.', defaults.dataDir),
      draining: optional(
        truth,
        'New pods are passed through, those that are steered stay so until they end: what `egress uninstall --drain` sets.',
        defaults.draining,
      ),
      logFile: optional(absolutePath, 'Where to write the log; without it there is none.'),
      logLevel: optional(oneOf(logLevels), 'From which severity on to log.', defaults.logLevel),
      ...policyOptions,
    },
    'an object',
  )
  .check(
    z.meta({
      title: 'cni-egress in a CNI network configuration list',
      patternProperties: { [`^${reservedPrefix}`]: {} },
    }),
  );

/** The policy file, valid in itself. Addresses and ranges are canonical. */
export type PolicyDocument = z.infer<typeof policyDocumentSchema>;

/** The network configuration that the runtime gives, valid in itself, without the keys that begin with `cni.dev/`. */
export type ChainEntry = z.infer<typeof chainEntrySchema>;
