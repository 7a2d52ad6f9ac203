import * as z from 'zod/mini';
import { EgressError } from '../base/errors.ts';
import type { Pod } from '../policy/match.ts';
import type { PodLabels } from '../policy/selector.ts';
import type { ElectedExit, ExitGateways, FastPathRecord } from '../store/record.ts';
import type { AgentStatus, ExitStatus, PodStatus, Status, TunnelStatus } from './status.ts';

/** The schemas of all members of a type: one that the type gets later has to be described here, too. */
type Members<T> = { readonly [K in keyof T]-?: z.ZodMiniType };

const described = <T extends z.ZodMiniType>(schema: T, text: string): T => schema.check(z.describe(text)) as T;
const text = (what: string) => described(z.string(), what);
const texts = (what: string) => described(z.array(z.string()), what);
const yes = (what: string) => described(z.boolean(), what);
const maybe = <T extends z.ZodMiniType>(schema: T) => z.exactOptional(schema);
const counter = (what: string) =>
  described(z.strictObject({ packets: z.int().check(z.minimum(0)), bytes: z.int().check(z.minimum(0)) }), what);
const rate = maybe(
  described(
    z.strictObject({ packets: z.number().check(z.minimum(0)), bytes: z.number().check(z.minimum(0)) }),
    'In a second, to a tenth; absent when nobody looked before',
  ),
);
const time = (what: string) => text(`${what} (RFC 3339, UTC)`);
const address = (what: string) => text(`${what}, an IP address`);
const family = described(z.literal([4, 6]), 'IPv4 or IPv6');
const strings = z.record(z.string(), z.string());
const ports = z.strictObject({ exit: text('Name of the exit'), first: z.int(), last: z.int() });

const way = z.strictObject({
  family,
  addresses: texts('Egress addresses of this family'),
  via: maybe(address('The next hop; absent: the destination is on the link')),
  onlink: maybe(described(z.literal(true), 'The next hop is in no network of the interface')),
  networks: maybe(texts('Networks that are reached without the next hop')),
  neighbour: maybe(text('State of the next hop, in the kernel’s words; absent when it was not asked of late')),
  notHere: maybe(texts('Addresses that nothing leaves with now: no interface that may hold them has them')),
} satisfies Members<ExitStatus['ways'][number]>);

const elected = z.strictObject({
  holds: yes('This node has the exit’s addresses'),
  gateway: address('The gateway that has them'),
  by: described(z.literal(['vrrp', 'elsewhere']), 'Whose word it is'),
  addresses: texts('The exit’s addresses at this node'),
  since: time('Since when'),
  why: maybe(text('Why, in words')),
  notes: maybe(texts('What a person should know, in sentences')),
} satisfies Members<ElectedExit>);

const fastPath = z.strictObject({
  isOn: yes('Established connections pass the kernel’s flowtable'),
  why: maybe(text('Why they do not')),
} satisfies Members<FastPathRecord>);

const exit = z.strictObject({
  name: text('Name of the exit'),
  id: described(z.int(), 'Its id, from 1 to 16383'),
  device: text('The interface that packets leave by, or the tunnel’s'),
  gateway: maybe(address('Where packets leave, when not from here')),
  health: described(
    z.enum(['works', 'fails', 'standby', 'unknown']),
    'fails: for one address or family at least; standby: another gateway has its addresses, and this one is ready; unknown: it leaves from a gateway, and no agent asks that',
  ),
  why: maybe(texts('Of one that fails: what keeps packets from leaving')),
  served: maybe(counter('What came out of the tunnel for it, on its gateway; they are among the steered')),
  ways: z.array(way),
  elected: maybe(described(elected, 'On one of its gateways: which of them has its addresses')),
  steered: maybe(counter('What was given to the exit since its present objects were made')),
  rate,
  left: maybe(counter('Of the steered, what left by it')),
  tunnelled: maybe(counter('Of the steered, what went into the tunnel')),
  dropped: maybe(described(z.strictObject({ packets: z.int() }), 'Of the steered, the rest; absent when unknown')),
  fastPath: maybe(described(fastPath, 'Of an exit that has one')),
  problems: maybe(texts('Its missing and different objects, in sentences')),
} satisfies Members<ExitStatus>);

const pod = z.strictObject({
  network: text('Name of the network'),
  containerId: text('The container'),
  ifname: text('The interface in it'),
  pod: z.strictObject({
    namespace: maybe(z.string()),
    name: maybe(z.string()),
    uid: maybe(z.string()),
    annotations: maybe(strings),
    labels: maybe(
      described(
        z.strictObject({ pod: strings, namespace: strings } satisfies Members<PodLabels>),
        'Of the pod and its namespace, where a policy chooses by labels',
      ),
    ),
  } satisfies Members<Pod>),
  addresses: texts('Its addresses'),
  exits: texts('Names of the exits that its policies lead to'),
  policies: described(
    z.array(z.strictObject({ name: z.string(), exit: z.string() })),
    'The policies that are for it, each once with each of its exits, in the order in which they are asked',
  ),
  ports: maybe(described(z.array(ports), 'Source ports of its own')),
  packets: maybe(described(z.int(), 'What it sent that policies were asked for')),
  bytes: maybe(z.int()),
  rate,
  outdated: maybe(text('Why a new pod like it would be given something else than it has')),
} satisfies Members<PodStatus>);

const agent = z.strictObject({
  runs: yes('An agent runs now'),
  startedAt: maybe(time('When it started')),
  lookedAt: maybe(time('When its last round ended')),
  mended: maybe(
    described(
      z.strictObject({ at: time('When'), what: texts('What, in sentences') }),
      'The last round that put something back',
    ),
  ),
  failures: maybe(texts('What could not be made as it should be')),
  gateways: maybe(
    z.array(
      z.strictObject({
        exit: text('Name of the exit'),
        gateway: address('The gateway that packets are sent to'),
        answers: yes('It says that it has the exit’s address'),
        since: time('Since when it does or does not'),
        moved: maybe(
          described(
            z.strictObject({ at: time('When'), from: address('From which') }),
            'The agent left a silent gateway for it',
          ),
        ),
      } satisfies Members<ExitGateways>),
    ),
  ),
  fastPath: maybe(described(fastPath, 'Of all exits that have one; absent while no pod uses one of them')),
} satisfies Members<AgentStatus>);

const tunnel = z.strictObject({
  vni: z.int(),
  port: described(z.int(), 'Its UDP port'),
  local: address('This node’s end'),
  mtu: z.int(),
  unserved: maybe(counter('What came for an exit that is not served here')),
  strangers: maybe(counter('What came to its port from others than nodes')),
} satisfies Members<TunnelStatus>);

/** What `egress status --json` prints, as it is published. */
export const statusSchema = z.strictObject({
  node: text('Name of the machine'),
  rateSeconds: maybe(
    described(z.number(), 'Present with the rates: seconds since the look that they are counted from'),
  ),
  exits: described(z.array(exit), 'Exits that pods of this node use, or that are served here'),
  pods: described(z.array(pod), 'Pods of this node that policies are for'),
  dropped: maybe(counter('Dropped by policy; absent, as all counters, when nothing counts')),
  guarded: maybe(counter('Kept from leaving by a wrong interface or with a wrong address')),
  unmarked: maybe(counter('Found without our mark')),
  forged: maybe(counter('With a false source')),
  openAfterFlush: maybe(described(z.literal(true), 'A flush of the ruleset would let out what pods send')),
  tunnel: maybe(described(tunnel, 'Present while this node is an end of the tunnel')),
  agent: maybe(described(agent, 'Absent where no agent runs, and none ever did')),
} satisfies Members<Status & { readonly node: string }>);

/** A status as it is read back: counters are numbers. */
export type StatusDocument = z.infer<typeof statusSchema>;

/** What `egress status --json` printed. Throws `invalid-argument` for any other text, with the first place that is wrong. */
export function readStatusText(name: string, text: string): StatusDocument {
  const { data, error } = statusSchema.safeParse(parsed(text));
  if (data !== undefined) return data;
  const [issue] = error.issues;
  const where = issue && issue.path.length > 0 ? ` at /${issue.path.join('/')}` : '';
  throw new EgressError(
    'invalid-argument',
    `${name}: expected what "egress status --json" prints, got something else${where}`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
