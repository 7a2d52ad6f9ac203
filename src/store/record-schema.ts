import * as z from 'zod/mini';
import type { Gateway, Sources, Tunnel } from '../datapath/attachment.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Match, Pod } from '../policy/match.ts';
import type { PortBlock } from '../policy/port-blocks.ts';
import type { PodLabels } from '../policy/selector.ts';
import { recordVersion } from './migration.ts';
import type {
  AgentRecord,
  AttachmentRecord,
  ElectedExit,
  ElectionRecord,
  ExitGateways,
  FastPathRecord,
  MovesRecord,
  NodeRecord,
  ProgramRecord,
} from './record.ts';

/** The schemas of all members of a type: one that the type gets later has to be named here, too. */
type Members<T> = { readonly [K in keyof T]-?: z.ZodMiniType };

// The shape only: we wrote canonical text, and parsing it again would take three quarters of the time of reading.
const address = z.string().check(z.regex(/^(\d+\.\d+\.\d+\.\d+|[\da-f]*:[\da-f:.]+)$/));
const prefix = z.string().check(z.regex(/^(\d+\.\d+\.\d+\.\d+|[\da-f]*:[\da-f:.]+)\/\d+$/));
const family = z.literal([4, 6]);
const name = z.string().check(z.minLength(1));
const port = z.int().check(z.minimum(1), z.maximum(65535));
const version = z.literal(recordVersion);
/** It becomes the name of a file. */
const program = z.string().check(z.regex(/^program-[\da-f]+$/));

const match = z.object({
  policy: name,
  family,
  destinations: z.array(prefix).check(z.minLength(1)),
  except: z.array(prefix),
  ports: z.exactOptional(z.array(name).check(z.minLength(1))),
  exit: name,
  onChange: z.exactOptional(z.literal('cut')),
} satisfies Members<Match>);

const exit = z.object({
  name,
  id: z.int().check(z.minimum(1), z.maximum(16383)),
  device: name,
  ways: z.array(
    z.object({
      family,
      addresses: z.array(address),
      via: z.exactOptional(address),
      onlink: z.exactOptional(z.literal(true)),
      networks: z.exactOptional(z.array(prefix)),
    } satisfies Members<Way>),
  ),
  gateway: z.exactOptional(address),
  shared: z.exactOptional(z.literal(true)),
  addressesOn: z.exactOptional(z.array(z.string())),
  addressPerFlow: z.exactOptional(z.literal(true)),
  fastPath: z.exactOptional(z.literal(true)),
  onUnavailable: z.exactOptional(z.literal('node')),
} satisfies Members<ResolvedExit>);

const tunnel = z.object({
  vni: z.uint32(),
  port: z.uint32(),
  local: address,
  mtu: z.uint32(),
  families: z.array(family),
  senders: z.array(prefix),
  peers: z.array(address),
} satisfies Members<Tunnel>);

const gateway = z.object({
  served: z.array(z.uint32()),
  owned: z.array(
    z.object({
      device: name,
      address,
      shared: z.exactOptional(z.literal(true)),
      elected: z.exactOptional(z.literal(true)),
    }),
  ),
  moving: z.exactOptional(z.array(address)),
  replies: z.array(z.object({ destination: prefix, node: address })),
} satisfies Members<Gateway>);

const labels = z.record(z.string(), z.string());

/** An attachment's record as it is read back. */
export const attachmentRecord: z.ZodMiniType<AttachmentRecord> = z.object({
  version,
  network: name,
  containerId: name,
  ifname: name,
  pod: z.object({
    namespace: z.exactOptional(z.string()),
    name: z.exactOptional(z.string()),
    uid: z.exactOptional(z.string()),
    annotations: z.exactOptional(z.record(z.string(), z.string())),
    labels: z.exactOptional(z.object({ pod: labels, namespace: labels } satisfies Members<PodLabels>)),
  } satisfies Members<Pod>),
  addresses: z.array(address),
  subnets: z.array(prefix),
  links: z.array(z.object({ name, index: z.int() })),
  cluster: z.exactOptional(z.array(prefix)),
  program,
  outline: z.array(match),
  sources: z.exactOptional(
    z.object({ devices: z.array(name).check(z.minLength(1)), others: z.array(prefix) } satisfies Members<Sources>),
  ),
  holds: z.exactOptional(z.literal(true)),
  ports: z.exactOptional(
    z.array(z.object({ exit: name, first: port, last: port } satisfies Members<PortBlock>)).check(z.minLength(1)),
  ),
} satisfies Members<AttachmentRecord>);

/** A program's record as it is read back. */
export const programRecord: z.ZodMiniType<ProgramRecord> = z.object({
  version,
  program,
  matches: z.array(match),
  cluster: z.exactOptional(z.array(prefix)),
} satisfies Members<ProgramRecord>);

/** The node's record as it is read back. */
export const nodeRecord: z.ZodMiniType<NodeRecord> = z.object({
  version,
  fwmark: z.uint32(),
  routeTable: z.uint32(),
  rulePriority: z.uint32(),
  inside: z.exactOptional(z.array(prefix)),
  spared: z.exactOptional(z.array(prefix)),
  unmarked: z.exactOptional(z.literal(true)),
  clusterCIDRs: z.exactOptional(z.array(prefix)),
  exits: z.array(exit),
  tunnel: z.exactOptional(tunnel),
  gateway: z.exactOptional(gateway),
  sysctls: z.record(z.string(), z.string()),
  addresses: z.array(z.object({ device: name, address })),
  behind: z.exactOptional(z.array(z.object({ device: name, address }))),
  othersTables: z.exactOptional(z.array(z.literal(['inet', 'netdev']))),
} satisfies Members<NodeRecord>);

/** The record of moved exits as it is read back. */
export const movesRecord: z.ZodMiniType<MovesRecord> = z.object({
  version,
  gateways: z.record(z.string(), address),
} satisfies Members<MovesRecord>);

/** The record of elections as it is read back. */
export const electionRecord: z.ZodMiniType<ElectionRecord> = z.object({
  version,
  exits: z.record(
    z.string(),
    z.object({
      holds: z.boolean(),
      gateway: address,
      by: z.literal(['vrrp', 'elsewhere']),
      addresses: z.array(address),
      since: z.string(),
      why: z.exactOptional(z.string()),
      notes: z.exactOptional(z.array(z.string()).check(z.minLength(1))),
    } satisfies Members<ElectedExit>),
  ),
} satisfies Members<ElectionRecord>);

const time = z.string().check(z.minLength(1));

/** The agent's record as it is read back. */
export const agentRecord: z.ZodMiniType<AgentRecord> = z.object({
  version,
  startedAt: time,
  lookedAt: time,
  mended: z.exactOptional(z.object({ at: time, what: z.array(z.string()) })),
  failures: z.array(z.string()),
  gateways: z.exactOptional(
    z.array(
      z.object({
        ...{ exit: name, gateway: address, answers: z.boolean(), since: time },
        moved: z.exactOptional(z.object({ at: time, from: address })),
      } satisfies Members<ExitGateways>),
    ),
  ),
  fastPath: z.exactOptional(
    z.object({ isOn: z.boolean(), why: z.exactOptional(z.string()) } satisfies Members<FastPathRecord>),
  ),
} satisfies Members<AgentRecord>);

/** All of them. */
export const recordSchemas = {
  attachment: attachmentRecord,
  program: programRecord,
  node: nodeRecord,
  moves: movesRecord,
  election: electionRecord,
  agent: agentRecord,
};
