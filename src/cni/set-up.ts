import { markOf } from '../base/attachment.ts';
import type { SteeredAttachment } from '../datapath/attachment.ts';
import { desired, exitsOf } from '../datapath/desired.ts';
import { type Change, difference } from '../datapath/difference.ts';
import { addressHex } from '../datapath/layout.ts';
import type { HostObject } from '../datapath/objects.ts';
import { looseReversePath, reversePathName } from '../datapath/reverse-path.ts';
import { needsEgressHook, withoutEgressHook } from '../datapath/sent.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { change } from './change.ts';
import type { Machine } from './machine.ts';

/** What an attachment's record says to the data path. */
export const steeredOf = (record: AttachmentRecord): SteeredAttachment => ({ ...record, mark: markOf(record) });

/** What is missing, different or too much of all that the attachment needs. */
export async function differenceNow(
  { host }: Machine,
  node: NodeRecord,
  attachment: SteeredAttachment,
  observed: readonly HostObject[],
): Promise<Change[]> {
  const all = host.readSysctl(reversePathName('all'));
  const filters = exitsOf(node, attachment).flatMap(
    ({ device }) => looseReversePath(device, all, host.readSysctl(reversePathName(device))) ?? [],
  );
  const observedFilters = filters.map((filter) => ({ ...filter, value: host.readSysctl(filter.name) ?? '' }));
  const wanted = await possible(host, desired(node, attachment), observed);
  return difference([...filters, ...wanted], [...observedFilters, ...observed]);
}

/** What the kernel can have of what is desired. It is asked only while nothing tells that it has the egress hook. */
async function possible(
  host: Machine['host'],
  wanted: readonly HostObject[],
  observed: readonly HostObject[],
): Promise<readonly HostObject[]> {
  if (!wanted.some(needsEgressHook) || observed.some(needsEgressHook)) return wanted;
  return (await host.hasEgressHook()) ? wanted : withoutEgressHook(wanted);
}

/**
 * Sets up what the attachment needs. `thorough` also reads the ranges of its program, which a new attachment may trust
 * because the program's name is made from them. Needs the store's lock, and both records in the store.
 */
export async function setUp(
  machine: Machine,
  node: NodeRecord,
  record: AttachmentRecord,
  thorough: boolean,
): Promise<void> {
  const attachment = steeredOf(record);
  const { changes } = await change(
    machine,
    () => machine.host.observe(node, attachment, { contents: thorough }),
    async (observed) => {
      const changes = await differenceNow(machine, node, attachment, observed);
      rememberOverwritten(machine, node, changes);
      return changes;
    },
  );
  await forgetOthersFlows(machine, attachment, changes);
}

/** Values of the administrator's go into the node's record before we overwrite them. */
function rememberOverwritten({ host, store }: Machine, node: NodeRecord, changes: readonly Change[]): void {
  const names = changes.flatMap(({ object }) => (object.kind === 'sysctl' ? [object.name] : []));
  if (names.length === 0) return;
  const values = Object.fromEntries(names.map((name) => [name, host.readSysctl(name) ?? '']));
  store.saveNode({ ...node, sysctls: { ...node.sysctls, ...values } });
}

/** Connections that whoever had the addresses before left behind; those of the attachment itself go on. */
async function forgetOthersFlows({ host }: Machine, { addresses }: SteeredAttachment, changes: readonly Change[]) {
  const written = new Set(changes.flatMap(({ object }) => (object.kind === 'element' ? [object.key] : [])));
  for (const address of addresses) if (written.has(addressHex(address))) await host.deleteFlows(address);
}
