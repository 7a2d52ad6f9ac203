import { markOf } from '../base/attachment.ts';
import { connectionOf } from '../datapath/held.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';
import { setUp } from './set-up.ts';
import { releaseHeld, tearDown } from './tear-down.ts';

/**
 * Lets go what pods hold of connections that have ended, as conntrack knows them. A pod without any left comes to its
 * program as all others do, and one without a policy has nothing of ours any more. Returns how many ended. Takes the
 * store's lock where there is something to do.
 */
export async function endHeld(machine: Machine): Promise<number> {
  const holding = machine.store.list().filter(({ holds }) => holds);
  const elements = holding.length > 0 || (await machine.host.hasTable()) ? await machine.host.listHeld() : [];
  if (holding.length + elements.length === 0) return 0;
  const living = await livingOf(machine, holding);
  const isLiving = (element: Element) => living.has(`${element.comment} ${connectionOf(element)}`);
  const marks = new Set(elements.filter(isLiving).map(({ comment }) => comment));
  const ended = elements.filter((element) => !isLiving(element));
  const done = holding.filter((record) => !marks.has(markOf(record)));
  if (ended.length + done.length === 0) return 0;
  using _lock = await machine.store.lock();
  for (const { network, containerId, ifname } of done) {
    const record = machine.store.load({ network, containerId, ifname });
    if (record?.holds) await withoutHeld(machine, record);
  }
  const keys = new Set(ended.map(({ key }) => key));
  if (keys.size > 0) await releaseHeld(machine, ({ key }) => keys.has(key));
  return keys.size;
}

/** Marks with the numbers of the connections that conntrack knows of their pods. */
async function livingOf({ host }: Machine, records: readonly AttachmentRecord[]): Promise<ReadonlySet<string>> {
  const living = new Set<string>();
  for (const record of records) {
    for (const address of record.addresses) {
      for (const { id } of await host.listFlows(address)) living.add(`${markOf(record)} ${id}`);
    }
  }
  return living;
}

async function withoutHeld(machine: Machine, { holds: _, ...record }: AttachmentRecord): Promise<void> {
  const node = machine.store.loadNode();
  if (node === undefined || record.outline.length === 0) {
    await tearDown(machine, record, { addresses: record.addresses, keepLinks: true, keepFlows: true });
    return;
  }
  const content = machine.store.loadProgram(record.program) ?? { matches: record.outline };
  machine.store.save(record);
  await setUp(machine, node, record, { whole: () => content, thorough: true, held: [] });
}
