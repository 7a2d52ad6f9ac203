import { type Address, familyOf } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import { addressHex, endsSet, exitAddressKey, podKey, setNames } from '../datapath/layout.ts';
import { needsOf } from '../datapath/needs.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { forgetOutsidePorts } from './flows.ts';
import type { Machine } from './machine.ts';
import { devicesOf } from './release.ts';
import { steeredOf } from './set-up.ts';
import { releaseStale } from './tear-down.ts';

/** An attachment that was set up, and how it was before, if it was. */
interface Repeated {
  readonly previous: AttachmentRecord | undefined;
  readonly record: AttachmentRecord;
}

/** Takes down the objects that only earlier ADDs needed, after repeated ADDs with another outcome. */
export async function leavePrevious(machine: Machine, node: NodeRecord, members: readonly Repeated[]): Promise<void> {
  const changed = changedAmong(members);
  if (await mayLeave(machine, members)) {
    const keys = new Map(changed.map(({ record }) => [markOf(record), new Set(keysOf(node, record))]));
    const isStale = ({ set, key, comment = '' }: Element) =>
      set !== setNames.held && keys.get(comment)?.has(key) !== true;
    const devices = changed.flatMap(({ record }) => devicesOf(record));
    await releaseStale(
      machine,
      changed.map(({ previous }) => previous),
      isStale,
      devices,
    );
  }
  for (const { previous, record } of changed)
    if (!isEqual(previous.ports, record.ports)) await forgetOutsidePorts(machine, node, record);
}

const keysOf = (node: NodeRecord, record: AttachmentRecord): string[] => [
  ...record.addresses.map(addressHex),
  ...(record.sources?.others.length === 0 ? record.addresses.map(endsKey) : []),
  ...needsOf(node, steeredOf(record)).ports.map(({ id, address }) => exitAddressKey(id, address)),
];

const endsKey = (address: Address) => podKey(endsSet(familyOf(address)), address);

const changedAmong = (members: readonly Repeated[]) =>
  members.flatMap(({ previous, record }) =>
    previous === undefined || isEqual(previous, record) ? [] : [{ previous, record }],
  );

/**
 * Whether something may be there that nobody needs any more. Not when all keep their places, and others keep what they had: the
 * chain of a program is led to by its entry at most once, and else by pods.
 */
export async function mayLeave({ host }: Machine, members: readonly Repeated[]): Promise<boolean> {
  const changed = changedAmong(members);
  const places = ({ addresses, sources, ports }: AttachmentRecord) => ({ addresses, sources, ports });
  if (changed.some(({ previous, record }) => !isEqual(places(previous), places(record)))) return true;
  for (const program of new Set(changed.map(({ previous }) => previous.program)))
    if ((await host.countReferences(program)) < 2) return true;
  return false;
}
