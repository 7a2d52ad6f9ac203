import * as z from 'zod/mini';
import type { Address } from '../base/address.ts';
import type { Attachment } from '../base/attachment.ts';
import type { Gateway, NodeState, ProgramContent, Sources, SteeredAttachment, Tunnel } from '../datapath/attachment.ts';
import type { Place } from '../datapath/behind.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Match, Pod, Program } from '../policy/match.ts';
import type { PortBlock } from '../policy/port-blocks.ts';
import type { PodLabels } from '../policy/selector.ts';
import { migrated, recordVersion } from './migration.ts';

/** Of records: always {@link recordVersion}, since older ones are migrated when they are read. */
type Version = number;

/**
 * The decisions and objects of one attachment: enough to undo them after a reboot, with a new binary or a changed
 * policy.
 */
export interface AttachmentRecord extends Attachment, Omit<SteeredAttachment, 'mark' | 'matches' | 'whole' | 'held'> {
  readonly version: Version;
  /** The program's matches with one range of each list, as is `cluster`; all of them are in its {@link ProgramRecord}. */
  readonly outline: Program;
  readonly pod: Pod;
  /** The host ends of the pod's interface. */
  readonly links: readonly { readonly name: string; readonly index: number }[];
}

/** A program, for all attachments that have it: ten thousand ranges are written once. */
export interface ProgramRecord extends ProgramContent {
  readonly version: Version;
  /** Name of the chain. */
  readonly program: string;
}

/** The objects of the node as a whole, as long as any attachment needs them. */
export interface NodeRecord extends NodeState {
  readonly version: Version;
  /** Kernel parameters that we overwrote, with the values to put back: path below /proc/sys → value. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Addresses that we put on interfaces for a gateway: the kernel tells them from others from Linux 5.18 on only. */
  readonly addresses: readonly Place[];
  /** Families of tables with our name that somebody else had made before us: they stay, empty as they were. */
  readonly othersTables?: readonly ('inet' | 'netdev')[];
  /** Addresses that an exit's interface shares with others: we put the local routes of the others behind the exit's. */
  readonly behind?: readonly Place[];
}

/** The gateways of exits that `egress exit move` moved from their first one. Outlives the pods. */
export interface MovesRecord {
  readonly version: Version;
  /** Name of the exit → underlay address of the gateway. */
  readonly gateways: Readonly<Record<string, Address>>;
}

/** What the agent of this node knows of the gateways of an exit. */
export interface ExitGateways {
  readonly exit: string;
  /** The gateway that packets are sent to. */
  readonly gateway: Address;
  /** Whether it says that it holds the exit's address, and since when it does or does not. */
  readonly answers: boolean;
  readonly since: string;
  /** When the agent left another gateway for it, which was silent. */
  readonly moved?: { readonly at: string; readonly from: Address };
}

/** An exit whose gateways elect who serves it, on one of them. */
export interface ElectedExit {
  /** This node has its addresses. */
  readonly holds: boolean;
  /** Underlay address of the gateway that has them, as far as this node knows: its own, or another of the exit's. */
  readonly gateway: Address;
  /** Whose word it is: `vrrp`, or `elsewhere`: whoever put the addresses on an interface. */
  readonly by: 'vrrp' | 'elsewhere';
  /** Its addresses at this node. */
  readonly addresses: readonly Address[];
  /** Since when this node has them, or has them no more. */
  readonly since: string;
  /** Why, in words. */
  readonly why?: string;
  /** What a person should know, in sentences; at least one. */
  readonly notes?: readonly string[];
}

/** The exits that this node is a gateway of, as its agent knows them. ADD goes by it. */
export interface ElectionRecord {
  readonly version: Version;
  readonly exits: Readonly<Record<string, ElectedExit>>;
}

/** What the agent of this node did last, for whoever asks. */
export interface AgentRecord {
  readonly version: Version;
  /** Times of the clock, RFC 3339 in UTC. */
  readonly startedAt: string;
  /** When its last round ended. */
  readonly lookedAt: string;
  /** The last round that put something back. */
  readonly mended?: { readonly at: string; readonly what: readonly string[] };
  /** What could not be made as it should be at the last round. */
  readonly failures: readonly string[];
  /** Of the exits that leave from other nodes. */
  readonly gateways?: readonly ExitGateways[];
}

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
} satisfies Members<AgentRecord>);

/** The result of reading a text. */
export type Reading<T> =
  | { readonly kind: 'record'; readonly record: T }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'broken'; readonly reason: string };

/** Reads a record from its text: JSON, of our version or an older one, and with everything in it. */
export function readRecord<T>(schema: z.ZodMiniType<T>, text: string): Reading<T> {
  const value = parseJson(text);
  if (value === undefined) return { kind: 'broken', reason: 'it is not JSON' };
  const written = z.safeParse(z.object({ version: z.number().check(z.gt(recordVersion)) }), value);
  if (written.success) return { kind: 'newer', version: written.data.version };
  const { data, error } = z.safeParse(schema, migrated(value));
  if (error !== undefined)
    return { kind: 'broken', reason: `wrong value at /${error.issues[0]?.path.join('/') ?? ''}` };
  return { kind: 'record', record: data };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
