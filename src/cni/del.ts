import type { Address } from '../base/address.ts';
import type { Attachment } from '../base/attachment.ts';
import type { Machine } from './machine.ts';
import { tearDown } from './tear-down.ts';

/**
 * DEL (CNI specification, "Remove container from network"): takes down what the attachment alone needs. Whatever is
 * gone already is no error. Needs neither the pod's namespace nor prevResult; `hints` are the addresses that prevResult
 * has, which save a search when the record is lost.
 */
export async function del(machine: Machine, attachment: Attachment, hints: readonly Address[]): Promise<void> {
  const { host, store } = machine;
  // Most pods have no policy: they shall not wait for those that have.
  if (!store.has(attachment) && !(await host.hasTable())) return;
  using _lock = store.lock();
  await tearDown(machine, attachment, hints.length > 0 ? { addresses: hints } : {});
}
