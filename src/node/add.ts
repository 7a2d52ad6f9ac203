import { type Address, contains, type Prefix } from '../base/address.ts';
import { type Attachment, markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ProgramContent, Sources } from '../datapath/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { addressHex, blockKey, setNames } from '../datapath/layout.ts';
import { needsOf } from '../datapath/needs.ts';
import type { Link } from '../datapath/objects.ts';
import type { Element } from '../nftables/object.ts';
import { type Pod, type Program, wishName } from '../policy/match.ts';
import { hasName, outlineOfRanges, programName } from '../policy/program.ts';
import type { Choice, Policies } from '../sources/policies.ts';
import { recordVersion } from '../store/migration.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { type ChangedPod, changedPod, cut, cutAndFindLate, lookAtConnections } from './changed-pod.ts';
import { resolveForPod } from './exits.ts';
import { forgetOutsidePorts } from './flows.ts';
import { heldAmong, type MovedConnection } from './hold.ts';
import type { Machine } from './machine.ts';
import { nextNode } from './node.ts';
import { findOwnEnd, type OwnEnd } from './own-end.ts';
import { choosePorts, givesPorts } from './ports.ts';
import { wholeProgram } from './program-content.ts';
import { remark } from './remark.ts';
import { setUp, steeredOf } from './set-up.ts';
import { releaseMarks, releaseStale, tearDown } from './tear-down.ts';

/**
 * The pod's network as the plugins before us made it: the part of their result (CNI specification, "Success") that we
 * need.
 */
export interface PodNetwork {
  /** Addresses of the pod's interface, each once, with the networks that they lie in. */
  readonly addresses: readonly Address[];
  readonly subnets: readonly Prefix[];
  /** Names of the interfaces on the host's side. */
  readonly hostInterfaces: readonly string[];
}

/** What ADD is about. */
export interface AddRequest {
  readonly attachment: Attachment;
  readonly pod: Pod;
  readonly policies: Policies;
  readonly podNetwork: PodNetwork;
  /** The pod runs already: its connections go on, as its policies say (`onChange`). */
  readonly isRunning?: true;
}

/**
 * ADD (CNI specification, "Add container to network"): gives the attachment the exits that its policies name. When it
 * returns, the pod's first packet is steered; when it throws, nothing that this call made is left.
 */
export async function add(machine: Machine, request: AddRequest): Promise<void> {
  const { configuration } = request.policies;
  const choice = request.policies.choose(request.pod);
  const isSteered = choice.outline.length > 0;
  if (!isSteered && !request.isRunning) return passThrough(machine, request);
  const draft = await newRecord(machine, request, choice);
  const whole = wholeOf(choice, configuration.clusterCIDRs);
  using _lock = await machine.store.lock();
  const previous = machine.store.load(request.attachment);
  const { known, node, ...own } = await nodeFor(machine, configuration, choice.outline);
  // Without ports to give, the others are only pods whose ports go with a changed exit.
  const isAboutOthers = givesPorts(configuration, own.exits) || !isEqual(known?.exits, node.exits);
  const { others, gone } = isAboutOthers ? othersThan(machine, request) : noOthers;
  const ports = choosePorts({ configuration, ...own, ...draft, previous: previous?.ports ?? [], others });
  const running = request.isRunning && changedPod(machine, node, previous, { next: draft, after: whole() });
  const moved = running ? await lookAtConnections(machine, running) : [];
  const held = heldAmong(moved);
  const holds = held.length > 0 || (running !== undefined && previous?.holds === true);
  if (running && !isSteered && !holds) return await leaveWithoutPolicy(machine, request, running, moved);
  const record = { ...draft, ...(ports.length > 0 && { ports }), ...(holds && { holds }) };
  machine.store.save(record); // first: DEL takes down attachments with a record
  try {
    for (const { ports: _, ...other } of gone) machine.store.save(other);
    if (previous !== undefined || !machine.store.hasProgram(record.program)) {
      machine.store.saveProgram(record.program, whole());
    }
    request.policies.keep();
    await remark(machine, node);
    if (!isEqual(known, node)) machine.store.saveNode(node);
    // Content of a tenant's choice is not trusted by its name.
    const thorough = previous !== undefined || choice.outline.some(({ policy }) => policy === wishName);
    await setUp(machine, node, record, { whole, others, thorough, ...(running && { held }) });
    if (running) await holdLate(machine, node, record, { whole, running, moved });
    if (previous !== undefined) await leavePrevious(machine, node, previous, record);
  } catch (error) {
    await undo(machine, request, previous, gone);
    throw error;
  }
}

/**
 * All ranges of a program. The cluster's ranges are part of it, so that a change of the policy file reaches no running
 * pod.
 */
const wholeOf = (choice: Choice, cluster: readonly Prefix[]) => () => ({ matches: choice.whole(), cluster });

/**
 * A pod without a policy leaves as if we were not there. Elements of an earlier attachment on its addresses, or of an
 * earlier ADD of its own, would steer it all the same: they go.
 */
async function passThrough(machine: Machine, { attachment, podNetwork: { addresses } }: AddRequest): Promise<void> {
  const { host, store } = machine;
  if (store.load(attachment) === undefined && !(await host.hasTable())) return;
  const stale = await host.findElements('', addresses);
  if (stale.length === 0 && store.load(attachment) === undefined) return;
  using _lock = await store.lock();
  await tearDown(machine, attachment, { addresses, keepLinks: true });
  const marks = new Set(stale.map(({ comment = '' }) => comment));
  marks.delete(markOf(attachment));
  if (marks.size > 0) await releaseMarks(machine, marks, addresses);
  for (const address of addresses) await host.deleteFlows(address);
}

/** A running pod without a policy, and without connections that stay with an exit: all others go on. */
async function leaveWithoutPolicy(
  machine: Machine,
  { attachment, podNetwork: { addresses } }: AddRequest,
  running: ChangedPod,
  moved: readonly MovedConnection[],
): Promise<void> {
  await tearDown(machine, attachment, { addresses, keepLinks: true, keepFlows: true });
  const late = await cutAndFindLate(machine, running, moved);
  await cut(
    machine,
    late.map((one) => ({ ...one, isHeld: false })), // nothing is there any more that would hold them
  );
}

/** Forgets connections that are cut, and holds those that began between the look and the change. */
async function holdLate(
  machine: Machine,
  node: NodeRecord,
  record: AttachmentRecord,
  { whole, running, moved }: { whole: () => ProgramContent; running: ChangedPod; moved: readonly MovedConnection[] },
): Promise<void> {
  const late = await cutAndFindLate(machine, running, moved);
  await cut(machine, late);
  const held = heldAmong(late);
  if (held.length === 0) return;
  const holding = { ...record, holds: true } as const;
  machine.store.save(holding);
  await setUp(machine, node, holding, { whole, thorough: false, held });
}

async function newRecord(
  { host }: Machine,
  request: AddRequest,
  { outline, digest }: Choice,
): Promise<AttachmentRecord> {
  const { attachment, pod, podNetwork } = request;
  if (podNetwork.addresses.length === 0) {
    throw new EgressError('no-address', `prevResult has no IP address for ${attachment.ifname}`);
  }
  const links = await hostLinks(request, host);
  for (const address of podNetwork.addresses) {
    if (await host.isOnLink(address)) continue;
    throw new EgressError(
      'not-routed',
      `The node reaches the pod's address ${address} through another host, not by an interface of its own`,
    );
  }
  const { clusterCIDRs } = request.policies.configuration;
  const subnets = podNetwork.subnets.filter((subnet) => !clusterCIDRs.some((cidr) => contains(cidr, subnet)));
  return {
    version: recordVersion,
    ...attachment,
    pod,
    addresses: podNetwork.addresses,
    subnets,
    links: links.filter(({ type }) => type === 'veth').map(({ name, index }) => ({ name, index })),
    cluster: outlineOfRanges(clusterCIDRs),
    program: programName(digest, subnets, clusterCIDRs),
    outline,
    ...sourcesOf(request.policies.configuration, pod, links),
  };
}

/** Only a veth tells which pod a packet comes from. */
function sourcesOf(
  { checkSources, extraSources }: Configuration,
  pod: Pod,
  links: readonly Link[],
): { sources?: Sources } {
  const devices = links.filter(({ type }) => type === 'veth').map(({ name }) => name);
  if (!checkSources || devices.length === 0) return {};
  const others = extraSources.filter((extra) => hasName(extra, pod)).flatMap(({ addresses }) => addresses);
  return { sources: { devices, others: [...new Set(others)] } };
}

/** Packets of a macvlan, ipvlan or moved device never pass the host's routing: there is nothing on the host's side. */
async function hostLinks({ podNetwork }: AddRequest, host: Machine['host']): Promise<Link[]> {
  const links: Link[] = [];
  for (const name of podNetwork.hostInterfaces) {
    const link = await host.readLink(name);
    if (link !== undefined) links.push(link);
  }
  if (links.length > 0) return links;
  const named = podNetwork.hostInterfaces.map((name) => `"${name}"`).join(', ') || 'none';
  throw new EgressError('not-routed', `prevResult names no interface on the host's side that exists here (${named})`);
}

/** The node's record as it is, and with the exits of a program as they are now. */
interface NodeForProgram {
  readonly known: NodeRecord | undefined;
  readonly node: NodeRecord;
  /** Those of the program. */
  readonly exits: readonly ResolvedExit[];
  readonly ownEnd: OwnEnd | undefined;
}

async function nodeFor(machine: Machine, configuration: Configuration, program: Program): Promise<NodeForProgram> {
  const { host, store } = machine;
  const names = new Set(program.map(({ exit }) => exit));
  const used = configuration.exits.filter(({ name }) => names.has(name));
  const ownEnd = used.some(({ gateways }) => gateways.length > 0) ? await findOwnEnd(host, configuration) : undefined;
  const [previous, moves] = [store.loadNode(), ownEnd ? store.loadGateways() : {}];
  const exits: ResolvedExit[] = [];
  for (const exit of used) exits.push(await resolveForPod(host, exit, ownEnd, moves));
  const node = await nextNode(machine, configuration, previous, { exits, ownEnd, gateway: previous?.gateway });
  return { known: previous, node, exits, ownEnd };
}

/** The other attachments to the node. */
interface Others {
  readonly others: readonly AttachmentRecord[];
  /** Pods with ports of their own whose address another pod gets: they are gone, though their DEL has not come. */
  readonly gone: readonly AttachmentRecord[];
}

const noOthers: Others = { others: [], gone: [] };

function othersThan({ store }: Machine, { attachment, podNetwork }: AddRequest): Others {
  const all = store.list().filter((record) => markOf(record) !== markOf(attachment));
  const isGone = ({ addresses }: AttachmentRecord) => addresses.some((own) => podNetwork.addresses.includes(own));
  return {
    others: all.filter((other) => !isGone(other)),
    gone: all.filter((other) => isGone(other) && other.ports !== undefined),
  };
}

/** Takes down the objects that only the earlier ADD needed, after a repeated ADD with another outcome. */
async function leavePrevious(
  machine: Machine,
  node: NodeRecord,
  previous: AttachmentRecord,
  record: AttachmentRecord,
): Promise<void> {
  if (isEqual(previous, record)) return;
  const { ports } = needsOf(node, steeredOf(record));
  const blockKeys = ports.map(({ id, address }) => blockKey(id, address));
  const keys = new Set([...record.addresses.map(addressHex), ...blockKeys]);
  const { devices } = record.sources ?? {};
  const isStale = ({ set, key }: Element) => set !== setNames.held && !keys.has(key);
  await releaseStale(machine, previous, isStale, devices);
  if (!isEqual(previous.ports, record.ports)) await forgetOutsidePorts(machine, node, record);
}

/**
 * A repeated ADD that failed leaves the attachment as the earlier one made it. The DEL that follows undoes the rest:
 * the runtime shall hear why ADD failed, not why undoing failed.
 */
async function undo(
  machine: Machine,
  { attachment, isRunning }: AddRequest,
  previous: AttachmentRecord | undefined,
  gone: Others['gone'],
): Promise<void> {
  try {
    for (const record of gone) machine.store.save(record); // the ports are theirs again, or two would get them
    if (previous === undefined) {
      await tearDown(machine, attachment, { keepLinks: true, ...(isRunning && { keepFlows: true }) });
      return;
    }
    machine.store.save(previous);
    const node = isRunning && machine.store.loadNode();
    if (!node) return;
    const whole = () => wholeProgram(machine, previous);
    await setUp(machine, node, previous, { whole, thorough: true, held: [] }); // its connections go on
  } catch (error) {
    machine.log.warn({ attachment, error: String(error) }, 'ADD failed, and could not be undone');
  }
}
