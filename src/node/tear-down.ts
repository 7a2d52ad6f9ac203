import type { Address } from '../base/address.ts';
import { type Attachment, markOf } from '../base/attachment.ts';
import type { Change } from '../datapath/difference.ts';
import { addressHex, chainNames, exitIdOfKey } from '../datapath/layout.ts';
import { ownerOfSourceChain } from '../datapath/sources.ts';
import type { Chain, Element } from '../nftables/object.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { forgetFlowsOf } from './flows.ts';
import type { Machine } from './machine.ts';
import {
  devicesOf,
  forgetting,
  nothingStale,
  planElements,
  type Released,
  releaseElements,
  type Stale,
} from './release.ts';
import { releaseOwn } from './release-own.ts';

interface TearDown {
  readonly addresses?: readonly Address[];
  readonly hostInterfaces?: readonly string[];
  readonly keepLinks?: true;
  /** The pod goes on without a policy, and its connections with it. */
  readonly keepFlows?: true;
}

/**
 * Takes down what the attachment alone needs: by its record, and without one by its marks in the kernel, looked for at
 * `addresses` if some are given. Forgets the record last, so that a call that was killed is finished by the next. Needs
 * the store's lock.
 */
export async function tearDown(machine: Machine, attachment: Attachment, options: TearDown = {}): Promise<void> {
  const record = machine.store.load(attachment);
  const addresses = record?.addresses ?? options.addresses;
  await takeDown(machine, [attachment], record ? [record] : [], { ...options, ...(addresses && { at: addresses }) });
}

/**
 * The same for attachments of which nobody is there any more: the changes of {@link planRelease}, in one transaction
 * however many they are. Needs the store's lock.
 */
export async function tearDownAll(machine: Machine, attachments: readonly Attachment[]): Promise<void> {
  const records = attachments.flatMap((attachment) => machine.store.load(attachment) ?? []);
  await takeDown(machine, attachments, records, {});
}

/**
 * {@link tearDown} for pods that run on without a policy, and their connections with them: in one transaction however many they
 * are. Without a record they are looked for at the addresses given.
 */
export async function tearDownRunning(
  machine: Machine,
  pods: readonly { readonly attachment: Attachment; readonly addresses: readonly Address[] }[],
): Promise<void> {
  const known = pods.map(({ attachment, addresses }) => ({ record: machine.store.load(attachment), addresses }));
  await takeDown(
    machine,
    pods.map(({ attachment }) => attachment),
    known.flatMap(({ record }) => record ?? []),
    { at: known.flatMap(({ record, addresses }) => record?.addresses ?? addresses), keepLinks: true, keepFlows: true },
  );
}

/** @param options.at where elements are looked for; everywhere when it is absent */
async function takeDown(
  machine: Machine,
  attachments: readonly Attachment[],
  records: readonly AttachmentRecord[],
  { at, addresses: hints = [], hostInterfaces, keepLinks, keepFlows }: TearDown & { readonly at?: readonly Address[] },
): Promise<void> {
  const { host, store } = machine;
  // A pod that is still running must not go on by the node's way while its own is taken down.
  for (const record of keepLinks ? [] : records) await host.setDown(await linksOf(host, record, hostInterfaces));
  const marks = new Set(attachments.map(markOf));
  const found = await findMarked(machine, marks, at);
  const own = new Set(found.map(({ key }) => key));
  const [record, ...fellows] = records;
  const isDone =
    record !== undefined && fellows.length === 0 && !keepLinks && (await releaseOwn(machine, record, found));
  const { isLost } = isDone
    ? { isLost: false }
    : await releaseMarks(machine, marks, at, {
        recorded: new Set(records.map(markOf)),
        devices: keepLinks ? records.flatMap(devicesOf) : [],
      });
  for (const lost of isLost && !keepLinks ? records : []) tellOfParameters(machine, lost);
  const known = at ?? records.flatMap(({ addresses }) => addresses);
  const isOurs = (address: Address) => own.has(addressHex(address)) || hints.includes(address);
  await forgetFlows(machine, keepFlows ? [] : known.filter(isOurs));
  for (const attachment of attachments) forgetting(machine, () => store.forget(attachment));
}

/**
 * Removes all that carries one of the marks, at `addresses` if some are given, and all that nobody needs without it, at once.
 */
export const releaseMarks = (
  machine: Machine,
  marks: ReadonlySet<string>,
  addresses?: readonly Address[],
  more: Partial<Pick<Stale, 'recorded' | 'devices'>> = {},
): Promise<Pick<Released, 'isLost'>> =>
  releaseElements(machine, () => findMarked(machine, marks, addresses), {
    ...nothingStale,
    ...{ isStale: isMarked(marks), marks },
    ...more,
  });

async function findMarked(
  { host }: Machine,
  marks: ReadonlySet<string>,
  addresses?: readonly Address[],
): Promise<readonly Element[]> {
  const [mark = '', ...others] = marks; // of one the kernel may be asked, of several everything is listed
  const found = await host.findElements(others.length > 0 ? '' : mark, addresses);
  return found.filter(({ comment }) => comment !== undefined && marks.has(comment));
}

const isMarked = (marks: ReadonlySet<string>) => (chain: Chain) => marks.has(ownerOfSourceChain(chain) ?? '');

/**
 * Those of a record's interfaces that are the pod's: named by the runtime, or else the pod's addresses are behind them, or
 * behind the bridge that they are ports of. A record may be wrong, and the node's own interface must not go down for it.
 */
async function linksOf(
  host: Machine['host'],
  { links, addresses }: AttachmentRecord,
  named: readonly string[] | undefined,
): Promise<AttachmentRecord['links']> {
  if (named !== undefined) return links.filter(({ name }) => named.includes(name));
  const ways: (string | undefined)[] = [];
  for (const address of addresses) ways.push((await host.routeTo(address))?.device);
  const own: AttachmentRecord['links'][number][] = [];
  for (const link of links) {
    const { master, type } = (await host.readLink(link.name)) ?? {};
    const bridge = master && (await host.readLink(master.index))?.name;
    if (type === 'veth' && (ways.includes(link.name) || (bridge && ways.includes(bridge)))) own.push(link);
  }
  return own;
}

/** The values are not guessed: the administrator may have chosen those that we set. */
function tellOfParameters({ log }: Machine, { outline }: AttachmentRecord): void {
  const exits = [...new Set(outline.map(({ exit }) => exit))];
  const message =
    'node.json and our table are both gone: rp_filter of the exits’ interfaces stays as it is, whatever it was before egress';
  log.warn({ exits }, message);
}

/** {@link releaseMarks} of what attachments were, for elements that are `stale` alone, and but for what is at `keptDevices`. */
export async function releaseStale(
  machine: Machine,
  previous: readonly AttachmentRecord[],
  stale: (element: Element) => boolean,
  keptDevices: readonly string[] = [],
): Promise<void> {
  const [marks, kept] = [new Set(previous.map(markOf)), new Set(keptDevices.map(chainNames.from))];
  const addresses = previous.flatMap((one) => one.addresses);
  const find = async () => (await findMarked(machine, marks, addresses)).filter(stale);
  await releaseElements(machine, find, {
    isStale: (chain) => isMarked(marks)(chain) && !kept.has(chain.name),
    ...{ marks, recorded: marks },
    devices: previous.flatMap(devicesOf).filter((device) => !keptDevices.includes(device)),
  });
}

/** Lets connections go that an attachment holds and that have ended, and all that nobody needs without them. */
export async function releaseHeld(machine: Machine, isStale: (element: Element) => boolean): Promise<void> {
  await releaseElements(machine, async () => (await machine.host.listHeld()).filter(isStale));
}

/** Stops to serve exits of this node to others, and removes all that nobody needs then. Needs the store's lock. */
export async function releaseServed(machine: Machine, stale: (id: number) => boolean): Promise<readonly Change[]> {
  return (await releaseElements(machine, () => findServed(machine, stale))).changes;
}

async function findServed({ host }: Machine, stale: (id: number) => boolean): Promise<readonly Element[]> {
  return (await host.listServed()).filter(({ key }) => stale(exitIdOfKey(key)));
}

/** The changes that taking down the attachments with the marks would make. Changes nothing. */
export const planRelease = (machine: Machine, marks: ReadonlySet<string>): Promise<Change[]> =>
  planElements(machine, () => findMarked(machine, marks), { ...nothingStale, isStale: isMarked(marks), marks });

/** The changes that {@link releaseServed} would make. Changes nothing. */
export async function planReleaseServed(machine: Machine, stale: (id: number) => boolean): Promise<Change[]> {
  return planElements(machine, () => findServed(machine, stale));
}

/** The connections of the addresses, unless another attachment has the address by now. */
async function forgetFlows(machine: Machine, addresses: readonly Address[]): Promise<void> {
  const taken = new Set((await machine.host.findElements('', addresses)).map(({ key }) => key));
  await forgetFlowsOf(
    machine,
    addresses.filter((address) => !taken.has(addressHex(address))),
  );
}
