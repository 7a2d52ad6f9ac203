import { type Address, contains, familyOf, withPort } from '../base/address.ts';
import { canonicalJson } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Machine } from '../node/machine.ts';
import { settled } from '../node/settled.ts';
import { type Considered, consider, considerMatches } from '../policy/explain.ts';
import type { Pod } from '../policy/match.ts';
import type { Packet } from '../policy/terms.ts';
import { programOf, wishesOf } from '../policy/wishes.ts';
import { type LabelsOf, withLabels } from '../sources/labels.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { findPod, podName } from './asked-pod.ts';
import { type AttachmentState, lookAt, type WholeRecord } from './attachment-state.ts';
import type { Configured } from './configured.ts';
import type { Trace } from './outcome.ts';
import { printPacket } from './packet-words.ts';
import { traceOf } from './trace.ts';

/** The answer of `egress explain` for one packet, for people and with `--json` for programs. */
export interface Explanation extends Trace {
  /** The pod and its attachment; without one when nothing is set up here for the pod. */
  readonly pod: Partial<Pick<AttachmentRecord, 'network' | 'containerId' | 'ifname'>> & Pod;
  /** The pod's address of the packet's family. */
  readonly from?: Address;
  readonly packet: Packet;
  /** The answer for a person, in one sentence. */
  readonly sentence: string;
  /**
   * Each policy, or when they are not known each match that is in force, with why it decides or not; none when the
   * packet comes to no policy.
   */
  readonly considered: readonly Considered[];
  /** Notes for a person, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * What becomes of packets of a pod, of new connections, and why: one for each packet and each attachment of the pod.
 * Waits for a call that is changing something. Throws `unknown-pod`, and `try-again` for a pod without objects here that
 * policies choose by labels, when nobody tells its labels.
 */
export const explain = (
  machine: Machine,
  configured: Configured,
  asked: string,
  packets: readonly Packet[],
  labelsOf: LabelsOf = async () => undefined,
): Promise<Explanation[]> =>
  settled(machine, () => explainNow(machine, configured, { asked, packets, labelsOf }), areCertain);

/** What somebody wants to know. */
interface Question {
  readonly asked: string;
  readonly packets: readonly Packet[];
  readonly labelsOf: LabelsOf;
}

/** Whether all that packets meet is as it should be. */
const areCertain = (explanations: readonly Explanation[]): boolean =>
  explanations.every(
    ({ outcome, kernel }) => outcome !== 'unknown' && outcome !== 'dropped' && kernel.every(({ problem }) => !problem),
  );

async function explainNow(
  machine: Machine,
  configured: Configured,
  { asked, packets, labelsOf }: Question,
): Promise<Explanation[]> {
  const found = findPod(machine.store.list(), asked);
  if ('pod' in found) {
    const pod = 'unknown' in configured ? found.pod : await withLabels(configured, found.pod, labelsOf);
    return packets.map((packet) => explainUnset(pod, configured, packet));
  }
  const scenes: AttachmentState[] = [];
  for (const record of found.records) scenes.push(await lookAt(machine, record));
  const explanations: Explanation[] = [];
  for (const packet of packets) {
    for (const state of scenes) explanations.push(await explainOne(machine, configured, state, packet));
  }
  return explanations;
}

async function explainOne(
  { host }: Machine,
  configured: Configured,
  state: AttachmentState,
  packet: Packet,
): Promise<Explanation> {
  const { record } = state;
  const trace = await traceOf(host, state, packet);
  const { network, containerId, ifname, pod, addresses } = record;
  const from = addresses.find((address) => familyOf(address) === familyOf(packet.destination));
  const known = policiesOf(configured, record);
  const considered = isBeforePolicies(trace)
    ? []
    : 'unknown' in known
      ? considerMatches(record.matches, packet)
      : considerPolicies(known, pod, packet);
  return {
    pod: { ...pod, network, containerId, ifname },
    ...(from && { from }),
    packet,
    sentence: sentence(podName(record), from, packet, trace.words),
    ...trace,
    considered,
    notes: [
      ...('unknown' in known ? [known.unknown] : []),
      ...hints(packet, considered),
      ...trace.notes,
      ...fastPathNotes(state, trace),
    ],
  };
}

/** This is about a connection's first packet; later ones may take a shorter way to the same end. */
const fastPathNotes = ({ node }: AttachmentState, { exit }: Trace): readonly string[] =>
  node?.exits.some(({ name, fastPath }) => name === exit && fastPath) === true
    ? [
        `Exit "${exit}" has a fast path: while it is on, packets of established connections pass no rule ("egress status").`,
      ]
    : [];

/** Whether the packet comes to no policy. */
const isBeforePolicies = ({ by }: Trace): boolean => by === 'own' || by === 'cluster' || by === 'subnet';

const considerPolicies = (configuration: Configuration, pod: Pod, packet: Packet): Considered[] =>
  consider(configuration.policies, pod, wishesOf(configuration, pod), packet);

/** The policies that the record's program was made from, or why they are not known. */
function policiesOf(configured: Configured, { pod, matches }: WholeRecord): Configured {
  if ('unknown' in configured) {
    return { unknown: `The policies are not known, only what is in force: ${configured.unknown}.` };
  }
  const changed = 'Policies are not what they were when the pod was set up; this is what is in force';
  try {
    if (canonicalJson(programOf(configured, pod)) === canonicalJson(matches)) return configured;
    return { unknown: `${changed} until the pod is created anew.` };
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    return { unknown: `${changed}. A new pod like it would be refused: ${error.message}.` };
  }
}

/** The answer of the policies for a pod without objects here. */
function explainUnset(pod: Pod, configured: Configured, packet: Packet): Explanation {
  const name = `${pod.namespace}/${pod.name}`;
  if ('unknown' in configured) {
    throw new EgressError('unknown-pod', `Nothing is set up for pod ${name} here, and ${configured.unknown}`);
  }
  const cluster = configured.clusterCIDRs.find((range) => contains(range, packet.destination));
  const considered = cluster === undefined ? considerPolicies(configured, pod, packet) : [];
  const decisive = considered.find(({ reason }) => reason === 'decides');
  const steered = decisive !== undefined && decisive.exit !== 'node' ? decisive : undefined;
  const words = steered
    ? `would be for exit "${steered.exit}" by policy "${steered.policy}", but nothing is set up here for the pod: it started before egress or the policy, or it is not on this node`
    : `is not steered: ${cluster ? `${cluster} is a range of the cluster` : 'no policy is for it, unless the pod has annotations'}`;
  return {
    ...{ pod, packet, words, considered, kernel: [] },
    sentence: sentence(name, undefined, packet, words),
    outcome: steered ? 'unknown' : 'left alone',
    ...(decisive && { policy: decisive.policy, exit: decisive.exit }),
    notes: hints(packet, considered),
  };
}

const sentence = (name: string, from: Address | undefined, packet: Packet, words: string): string =>
  `${[name, ...(from ? [from] : [])].join(' ')} → ${printPacket(packet)} ${words}.`;

/** How to ask for a packet that policies with ports may be about. */
function hints({ destination, protocol, port }: Packet, considered: readonly Considered[]): string[] {
  if (port !== undefined || protocol === 'icmp' || !considered.some(({ reason }) => reason === 'ports')) return [];
  const about = protocol === undefined ? 'no protocol' : 'no port';
  const example = `${protocol ?? 'udp'}/${withPort(destination, 5060)}`;
  return [`The packet has ${about}, so policies with ports are not for it; ask like ${example} for one that has.`];
}
