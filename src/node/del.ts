import type { Address } from '../base/address.ts';
import { type Attachment, markOf } from '../base/attachment.ts';
import type { Machine } from './machine.ts';
import { tearDown } from './tear-down.ts';

/**
 * DEL (CNI specification, "Remove container from network"): takes down what the attachment alone needs. Whatever is
 * gone already is no error. Needs neither the pod's namespace nor prevResult; `hints` are the addresses of prevResult.
 * They save a search when the record is lost; `hostInterfaces` those of its interfaces that are the pod's on the host's
 * side.
 */
export async function del(
  machine: Machine,
  attachment: Attachment,
  hints: readonly Address[],
  hostInterfaces?: readonly string[],
): Promise<void> {
  // Most pods have no policy, and shall not wait for pods with one.
  if (await isUnknown(machine, attachment, hints)) return;
  using _lock = await machine.store.lockInAnyCase();
  await tearDown(machine, attachment, {
    ...(hints.length > 0 && { addresses: hints }),
    ...(hostInterfaces && { hostInterfaces }),
  });
}

/** There is neither a record of the attachment, nor an element in the kernel that carries its mark. */
async function isUnknown(
  { host, store }: Machine,
  attachment: Attachment,
  hints: readonly Address[],
): Promise<boolean> {
  if (store.has(attachment)) return false;
  if (!(await host.hasTable())) return true;
  const mark = markOf(attachment);
  const elements = await host.findElements(mark, hints.length > 0 ? hints : undefined);
  return !elements.some(({ comment }) => comment === mark);
}
