import { markOf } from '../base/attachment.ts';
import type { AddRequest } from './add.ts';
import type { Machine } from './machine.ts';
import { releaseMarks, tearDown } from './tear-down.ts';

/**
 * A pod without a policy leaves as if we were not there. Elements of an earlier attachment on its addresses, or of an
 * earlier ADD of its own, would steer it all the same: they go.
 */
export async function passThrough(
  machine: Machine,
  { attachment, podNetwork: { addresses } }: AddRequest,
): Promise<void> {
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
