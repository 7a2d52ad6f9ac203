import { families } from '../base/address.ts';
import { heirOf } from '../datapath/answers.ts';
import { placesOf } from '../datapath/behind.ts';
import { countedTogether } from '../datapath/counting.ts';
import { desired } from '../datapath/desired.ts';
import { type Change, difference, keyOf } from '../datapath/difference.ts';
import { needsEgressHook, withoutEgressHook } from '../datapath/egress-counters.ts';
import { setNames } from '../datapath/layout.ts';
import { chainsLeftElsewhere } from '../datapath/left-elsewhere.ts';
import type { Needs } from '../datapath/needs.ts';
import { desiredBesideNoted } from '../datapath/noted.ts';
import type { Behind, HostObject, Sysctl } from '../datapath/objects.ts';
import { needsLabels, withoutLabels } from '../datapath/remembered.ts';
import { carrierNames, looseReversePath, parameterValue, reversePathName } from '../datapath/reverse-path.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Element } from '../nftables/object.ts';
import type { NodeRecord } from '../store/record.ts';
import { isMarking } from './change.ts';
import type { Machine } from './machine.ts';
import { wayBackOf } from './way-back.ts';

/** What is missing, different or too much of all that is needed. */
export async function differenceNow(
  { host }: Machine,
  node: NodeRecord,
  needs: Needs,
  observed: readonly HostObject[],
): Promise<Change[]> {
  const wanted = await withNode(host, node, needs, () => possible(host, desiredNow(node, needs, observed), observed));
  const known = new Set(wanted.map(keyOf));
  const missing = await missingElements(host, observed);
  wanted.push(...missing.filter((element) => !known.has(keyOf(element))));
  wanted.push(...chainsLeftElsewhere(node, needs.exits, observed));
  const changes = differenceOf(host, wanted, observed).map((change) => inherited(change, node));
  return markable(node, countedTogether(changes, wanted));
}

/** Answers to an address that one of the exits has not any more are another's where that has it, too. */
function inherited(change: Change, { exits }: NodeRecord): Change {
  const { verb, object } = change;
  const heir = verb === 'remove' && object.kind === 'element' ? heirOf(object, exits) : undefined;
  return heir === undefined ? change : { verb: 'replace', object: heir, observed: object };
}

/** The same beside what a note says is as it should be: see {@link desiredBesideNoted}. */
export async function differenceBesideNoted(
  { host }: Machine,
  node: NodeRecord,
  needs: Needs,
  observed: readonly HostObject[],
): Promise<Change[]> {
  const wanted = await withNode(host, node, needs, async () => desiredBesideNoted(node, needs));
  return markable(node, differenceOf(host, wanted, observed));
}

/** Beside what is desired: what depends on the node as it is now. */
async function withNode(
  host: Machine['host'],
  node: NodeRecord,
  needs: Needs,
  desired: () => Promise<readonly HostObject[]>,
): Promise<HostObject[]> {
  const behind = await othersBehind(host, needs);
  return [
    ...parametersOf(host, needs),
    ...behind,
    ...(await desired()),
    ...(await wayBackOf(host, node, needs)), // behind the table that its chains are in
  ];
}

function differenceOf(host: Machine['host'], wanted: readonly HostObject[], observed: readonly HostObject[]): Change[] {
  const sysctls = wanted.flatMap((object) => (object.kind === 'sysctl' ? observedSysctl(host, object) : []));
  return difference(wanted, [...sysctls, ...observed]);
}

/** A mark that the kernel refused is no difference. */
const markable = ({ unmarked }: NodeRecord, changes: Change[]): Change[] =>
  unmarked ? changes.filter((change) => !isMarking(change)) : changes;

/**
 * Pods of a version that did not know the guard's own maps and sets get their elements there, before rules ask for them:
 * with those of the pods' maps, as the kernel has them.
 */
async function missingElements(host: Machine['host'], observed: readonly HostObject[]): Promise<Element[]> {
  const hasSet = (name: string) => observed.some((object) => object.kind === 'set' && object.name === name);
  const old = families.flatMap((family) => {
    const [pods, programs, steered] = [setNames.pods(family), setNames.programs(family), setNames.steered(family)];
    return hasSet(pods)
      ? [programs, steered].filter((set) => !hasSet(set)).map((set) => ({ pods, programs, set }))
      : [];
  });
  const elements = old.length > 0 ? await host.findElements('') : [];
  return old.flatMap(({ pods, programs, set }) =>
    elements
      .filter((element) => element.set === pods)
      .map(({ verdict, ...element }) => ({ ...element, set, ...(set === programs && verdict && { verdict }) })),
  );
}

/** With all ranges of an outlined program, if one of its sets has to be written; else their names say what is in them. */
function desiredNow(node: NodeRecord, needs: Needs, observed: readonly HostObject[]): HostObject[] {
  const [wanted, { attachment }] = [desired(node, needs), needs];
  if (attachment?.whole === undefined) return wanted;
  const isOwn = (object: HostObject) => object.kind === 'set' && object.name.startsWith(`${attachment.program}-`);
  const changes = difference(wanted.filter(isOwn), observed.filter(isOwn));
  return changes.length === 0
    ? wanted
    : desired(node, { ...needs, attachment: { ...attachment, ...attachment.whole() } });
}

/** Parameters of the interfaces that exits leave by; the tunnel's are part of the tunnel. */
function parametersOf(host: Machine['host'], { exits }: Needs): Sysctl[] {
  const all = host.readSysctl(reversePathName('all'));
  const local = exits.filter(({ device }) => device !== tunnelDevice);
  const filters = [...new Set(local.map(({ device }) => device))].flatMap(
    (device) => looseReversePath(device, all, host.readSysctl(reversePathName(device))) ?? [],
  );
  const names = new Set(local.flatMap(carrierNames).filter((name) => host.readSysctl(name) !== undefined));
  return [...filters, ...[...names].map((name): Sysctl => ({ kind: 'sysctl', name, value: parameterValue(name) }))];
}

/** Addresses that the kernel finds on interfaces of others, and not on that of their exit. */
async function othersBehind(host: Machine['host'], { exits }: Needs): Promise<Behind[]> {
  const behind: Behind[] = [];
  for (const { device, address } of placesOf(exits)) {
    const holder = await host.firstHolder(address);
    if (holder === undefined || holder.behind || holder.device === device) continue;
    behind.push({ kind: 'behind', device: holder.device, address });
  }
  return behind;
}

function observedSysctl(host: Machine['host'], sysctl: Sysctl): Sysctl[] {
  const value = host.readSysctl(sysctl.name);
  return value === undefined ? [] : [{ ...sysctl, value }];
}

/** What the kernel can have of what is desired. It is asked only while nothing that is there tells. */
async function possible(
  host: Machine['host'],
  wanted: readonly HostObject[],
  observed: readonly HostObject[],
): Promise<readonly HostObject[]> {
  const isUnknown = (needs: (object: HostObject) => boolean) => wanted.some(needs) && !observed.some(needs);
  const counted = isUnknown(needsEgressHook) && !(await host.hasEgressHook()) ? withoutEgressHook(wanted) : wanted;
  return isUnknown(needsLabels) && !(await host.hasLabels()) ? withoutLabels(counted) : counted;
}
