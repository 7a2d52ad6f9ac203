import { markOf, networkMark } from '../base/attachment.ts';
import { asEgressError, EgressError } from '../base/errors.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';
import { releaseMarks, tearDown, tearDownAll } from './tear-down.ts';

/**
 * GC (CNI specification, "Garbage collection"): takes down attachments of the network that are not valid, in two
 * transactions: one by the records, and one by the marks in the kernel. Goes on after an error, and throws
 * `partly-done` at the end.
 */
export async function gc(machine: Machine, network: string, valid: ReadonlySet<string>): Promise<void> {
  const { host, store } = machine;
  if (store.list().length === 0 && !(await host.hasTable())) return;
  using _lock = await store.lockInAnyCase();
  const dead = store.list().filter((record) => record.network === network && !valid.has(markOf(record)));
  const strays = () => strayMarks(machine, network, valid);
  try {
    if (dead.length > 0) await tearDownAll(machine, dead);
    const marks = await strays();
    if (marks.size > 0) await releaseMarks(machine, marks);
  } catch {
    await oneByOne(machine, dead, strays);
  }
}

/** Takes attachments down one by one, after a failure of all at once. It names each failure. */
async function oneByOne(
  machine: Machine,
  dead: readonly AttachmentRecord[],
  strays: () => Promise<ReadonlySet<string>>,
): Promise<void> {
  const failures: string[] = [];
  const attempt = async (mark: string, action: () => Promise<unknown>) => {
    await action().catch((error) => failures.push(`${mark}: ${asEgressError(error).message}`));
  };
  for (const record of dead) await attempt(markOf(record), () => tearDown(machine, record));
  for (const mark of await strays()) await attempt(mark, () => releaseMarks(machine, new Set([mark])));
  if (failures.length > 0) throw new EgressError('partly-done', failures.join('; '));
}

/** Marks in the kernel without a record, and not valid either. */
async function strayMarks({ host }: Machine, network: string, valid: ReadonlySet<string>): Promise<Set<string>> {
  const elements = await host.findElements(networkMark(network));
  return new Set(elements.flatMap(({ comment = '' }) => (valid.has(comment) ? [] : [comment])));
}
