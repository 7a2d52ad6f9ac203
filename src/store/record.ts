import type { Address } from '../base/address.ts';
import type { Attachment } from '../base/attachment.ts';
import { taken, unsure } from '../base/form.ts';
import { isObject } from '../base/is-object.ts';
import type { NodeState, ProgramContent, SteeredAttachment } from '../datapath/attachment.ts';
import type { Place } from '../datapath/behind.ts';
import type { Pod, Program } from '../policy/match.ts';
import { recordForms } from './forms.ts';
import { migrated, recordVersion } from './migration.ts';
import { judgeRecord } from './record-judge.ts';

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

/** Whether established connections of exits with `fastPath` pass the kernel's flowtable. */
export interface FastPathRecord {
  readonly isOn: boolean;
  /** Why it is off, in words. */
  readonly why?: string;
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
  /** Absent while no pod uses an exit with a fast path. */
  readonly fastPath?: FastPathRecord;
}

/** The kinds of records, by what a schema is called. */
export type RecordForm = keyof typeof recordForms;

/** The result of reading a text. */
export type Reading<T> =
  | { readonly kind: 'record'; readonly record: T }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'broken'; readonly reason: string };

/** Reads a record from its text: JSON, of our version or an older one, and with everything in it. */
export function readRecord<T>(form: RecordForm, text: string): Reading<T> {
  const value = parseJson(text);
  if (value === undefined) return { kind: 'broken', reason: 'it is not JSON' };
  const version = isObject(value) ? value.version : undefined;
  if (Number.isFinite(version) && Number(version) > recordVersion) return { kind: 'newer', version: Number(version) };
  const data = migrated(value);
  const record = taken(recordForms[form], data);
  return (record === unsure ? judgeRecord(form, data) : { kind: 'record', record }) as Reading<T>;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
