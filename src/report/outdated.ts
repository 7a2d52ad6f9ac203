import { canonicalJson } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { type ReadFile, readChainEntry, readConfiguration } from '../config/read.ts';
import { resolveForPod } from '../node/exits.ts';
import type { Machine } from '../node/machine.ts';
import { findOwnEnd } from '../node/own-end.ts';
import type { Program } from '../policy/match.ts';
import { programDigest, programName } from '../policy/program.ts';
import { programOf } from '../policy/wishes.ts';
import { type Chains, type Entry, readChains } from '../runtimes/conflists.ts';
import { type LabelsOf, withLabels } from '../sources/labels.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';

/** Tells why a new pod like that of a record would be given something else now; `undefined` when it would not. */
export type WhyOutdated = (record: AttachmentRecord) => Promise<string | undefined>;

/** Calls no record outdated. */
export const nothingSaid: WhyOutdated = async () => undefined;

/**
 * Compares records with the policies that are in force for their networks now. Where the policies cannot be read, nothing
 * is said.
 *
 * @param configurationOf the configuration of an entry; throws when it is none
 * @param labelsOf the labels of a pod now, where policies choose by them; without an answer those on record count
 */
export function outdatedBy(
  machine: Machine,
  { own: entries }: Pick<Chains, 'own'>,
  configurationOf: (entry: Entry) => Configuration,
  labelsOf: LabelsOf = async () => undefined,
): WhyOutdated {
  const known = new Map<Entry, Promise<Now | undefined>>();
  return async (record) => {
    const entry = entries.get(record.network);
    if (entry === undefined) return undefined;
    const found = known.get(entry) ?? now(machine, () => configurationOf(entry));
    known.set(entry, found);
    const current = await found;
    if (current === undefined) return undefined;
    const pod = await withLabels(current.configuration, record.pod, labelsOf);
    return whyOutdated({ ...record, pod }, current);
  };
}

/** The same by the network configurations in a folder, and the policy files that they name. */
export const outdatedIn = (machine: Machine, confDir: string, readFile: ReadFile, labelsOf?: LabelsOf): WhyOutdated =>
  outdatedBy(
    machine,
    readChains(confDir, readFile),
    (entry) => readConfiguration(readChainEntry(entry), readFile),
    labelsOf,
  );

/** What would be now. */
interface Now {
  readonly configuration: Configuration;
  readonly node: NodeRecord;
  /** Names of exits that are not as the next ADD would make them. */
  readonly changed: ReadonlySet<string>;
}

async function now(machine: Machine, read: () => Configuration): Promise<Now | undefined> {
  const node = machine.store.loadNode();
  try {
    const configuration = read();
    return node && { configuration, node, changed: await changedExits(machine, configuration, node) };
  } catch (error) {
    if (error instanceof EgressError) return undefined;
    throw error;
  }
}

async function changedExits({ host, store }: Machine, configuration: Configuration, node: NodeRecord) {
  const changed = new Set<string>();
  const used = configuration.exits.filter(({ name }) => node.exits.some((exit) => exit.name === name));
  const ownEnd = used.some(({ gateways }) => gateways.length > 0) ? await findOwnEnd(host, configuration) : undefined;
  for (const exit of used) {
    const before = node.exits.find(({ name }) => name === exit.name);
    // An exit that cannot be resolved now stays as it is.
    const after = await resolveForPod(host, exit, ownEnd, store.loadGateways()).catch(() => before);
    if (canonicalJson(before) !== canonicalJson(after)) changed.add(exit.name);
  }
  return changed;
}

function whyOutdated(record: AttachmentRecord, { configuration, node, changed }: Now): string | undefined {
  const program = programNow(configuration, record);
  if (typeof program === 'string') return program;
  // One without matches holds connections of a pod without a policy.
  if (program.length === 0) return record.outline.length === 0 ? undefined : 'no policy is for it any more';
  const digest = programDigest(program);
  const ranges = configuration.clusterCIDRs;
  const name = programName(digest, record.subnets, record.cluster && ranges);
  const sameRanges = record.cluster !== undefined || isSameSet(node.clusterCIDRs ?? [], ranges);
  if (name !== record.program || !sameRanges)
    return 'policies or clusterCIDRs are not what they were when it was set up';
  const exit = program.find((match) => changed.has(match.exit))?.exit;
  return exit && `exit "${exit}" is not what it was when it was set up`;
}

function programNow(configuration: Configuration, { pod }: AttachmentRecord): Program | string {
  try {
    return programOf(configuration, pod);
  } catch (error) {
    if (error instanceof EgressError) return `a new pod like it would be refused: ${error.message}`;
    throw error;
  }
}

const isSameSet = (a: readonly string[], b: readonly string[]): boolean =>
  canonicalJson([...new Set(a)].sort()) === canonicalJson([...new Set(b)].sort());

/** One line for each outdated pod, and a last one with the remedy. */
export function outdatedLines(
  pods: readonly { readonly name: string; readonly outdated?: string | undefined }[],
): string[] {
  const lines = pods.flatMap(({ name, outdated }) =>
    outdated === undefined ? [] : [`${name} is outdated: ${outdated}.`],
  );
  return lines.length === 0
    ? []
    : [...lines, 'It keeps what it has until it ends, or until "egress adopt --outdated".'];
}
