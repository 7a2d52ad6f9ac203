import * as z from 'zod/mini';
import { highestExitId } from '../policy/exit-id.ts';
import { defaults } from './defaults.ts';
import { exit } from './exit-schema.ts';
import { optional, required } from './option.ts';
import { reservedPrefix } from './reserved.ts';
import { labelSelector } from './selector-schema.ts';
import {
  absolutePath,
  address,
  filled,
  flag,
  integer,
  name,
  namespaceGlob,
  oneOf,
  podGlob,
  portRange,
  prefix,
  truth,
} from './value.ts';

const changeChoices = ['keep', 'cut'] as const;

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
    podSelector: optional(
      labelSelector,
      'Labels of the pods, as Kubernetes writes a label selector (`matchLabels`, `matchExpressions`). Needs `egress agent` with Kubernetes on the node, which is asked for them: without an answer the pod does not start.',
    ),
    namespaceSelector: optional(labelSelector, 'Labels of the pods’ namespaces, as `podSelector`.'),
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
    onChange: optional(
      oneOf(changeChoices),
      'What becomes of connections of running pods that the policy gives another exit: they keep the one that they began with, or are cut. What a policy drops, it always cuts.',
      defaults.onChange,
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

const extraSource = z.strictObject(
  {
    namespaces: required(filled(namespaceGlob, 'a list of namespaces'), 'Namespaces of the pods, as in policies.'),
    pods: optional(filled(podGlob, 'a list of pod names'), 'Names of the pods, as in policies.', defaults.pods),
    addresses: required(
      filled(prefix, 'a list of address ranges'),
      'What the pods may send with beside their own addresses.',
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

const vrrp = z.strictObject(
  {
    interval: optional(
      integer(10, 40950),
      'Milliseconds between two advertisements, rounded to ten. Another gateway takes over when three did not come.',
      defaults.vrrpInterval,
    ),
    preempt: optional(
      truth,
      'A gateway that comes back takes the exit from one behind it in the list. Otherwise nothing moves while somebody serves.',
      defaults.preempt,
    ),
  },
  'an object',
);

/** The highest table of an exit must be a number of 32 bits, the lowest must lie behind main (254) and local (255). */
const routeTable = integer(256, 0xffffffff - highestExitId - 1);

/** Behind the rule for local addresses (0), and the last of six before the one for table main (32766). */
const rulePriority = integer(1, 32760);

/** What of a cluster counts beside its own kinds. */
const kubernetes = z.strictObject(
  {
    cilium: optional(truth, 'Objects of the kinds CiliumEgressGatewayPolicy and CiliumEgressNATPolicy.', false),
    kubeVip: optional(truth, 'Services with the annotation `kube-vip.io/egress`.', false),
  },
  'an object',
);

/** Options of the policy file, and of the chain entry as well. */
const policyOptions = {
  kubernetes: optional(
    z.union([truth, kubernetes], 'true, false, or an object like {"cilium": true, "kubeVip": true}'),
    'Exits, policies and nodes come from the cluster, too: from its objects `EgressExit`, `EgressPolicy` and `NamespacedEgressPolicy` and from its nodes. The agent reads them and keeps them in `dataDir`; until it has, no pod starts. An object says the same, and which objects of others count as well: with `"cilium": true` those of Cilium’s egress gateways, with `"kubeVip": true` Services with kube-vip’s annotations.',
    defaults.kubernetes,
  ),
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
  vrrp: optional(vrrp, 'How the agents of the `gateways` of an exit agree which of them serves it.', {}),
  tunnel: optional(tunnel, 'The tunnel from the nodes to the `gateways` of exits, the same on every node.', {}),
  fwmark: optional(
    flag,
    'The bit of the packet mark that says that egress steers the packet: a number, or a text in hexadecimal. Others must not use it; who uses which stands in src/datapath/README.md. It may be changed while pods run.',
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
  checkSources: optional(
    truth,
    'Pods that policies are for may send with their own addresses only, and nobody with theirs: all else is dropped and counted. Takes effect for pods that start later.',
    defaults.checkSources,
  ),
  extraSources: optional(
    z.array(extraSource, 'a list of sources'),
    'Pods that rightly send with other addresses as well: virtual addresses, routers, VPN servers. No policy is for such packets.',
    [],
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

/** What an agent keeps of the objects of the cluster. */
export const keptSchema = z.object(
  {
    version: z.literal(1),
    refused: z.array(z.string()),
    tenants: z.optional(z.array(z.string())),
    document: policyDocumentSchema,
  },
  'an object',
);

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

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
        'The policy file. Without one at the default place there are no policies; one that is named here, or was there, must exist: write {} for none. It may have 8 MiB.',
        defaults.policyFile,
      ),
      node: optional(
        address,
        'Underlay address of this node. By default the one of its addresses that `nodes` or `gateways` names, else the address of the interface that has the default route.',
      ),
      dataDir: optional(
        absolutePath,
        'Where egress keeps its state. Two installations on a node may have one each: they agree on `fwmark`, `routeTable`, `rulePriority` and ids of exits.',
        defaults.dataDir,
      ),
      draining: optional(
        truth,
        'New pods are passed through, those that are steered stay so until they end: what `egress uninstall --drain` sets.',
        defaults.draining,
      ),
      logFile: optional(
        absolutePath,
        'Where to write the log; without it there is none. One that cannot be written is said on stderr, and changes nothing else.',
      ),
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
