import { markOf } from '../base/attachment.ts';
import { problemsSeen } from '../node/check.ts';
import { checkNode, type NodeCheck } from '../node/check-node.ts';
import type { Machine } from '../node/machine.ts';
import { settled } from '../node/settled.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { podName } from './asked-pod.ts';
import { nothingSaid, type WhyOutdated } from './outdated.ts';

/** The findings of `egress check`, for people and with `--json` for programs. */
export interface CheckReport {
  readonly attachments: readonly CheckResult[];
  readonly node: NodeCheck;
}

/** The part of a report that tells whether something is wrong. */
interface Checked {
  readonly attachments: readonly Pick<CheckResult, 'problems'>[];
  readonly node: NodeCheck;
}

/** An attachment, and the missing and different ones of its objects. */
export interface CheckResult {
  readonly attachment: string;
  readonly pod: string;
  readonly problems: readonly string[];
  /** Why a new pod like it would be given something else; that is no problem. */
  readonly outdated?: string;
}

/**
 * Checks every attachment on this node, as CHECK does for one, and the node as a whole. Waits for a call that is
 * changing something.
 */
export async function checkAll(machine: Machine, whyOutdated: WhyOutdated = nothingSaid): Promise<CheckReport> {
  const fine = new Set<string>();
  const { attachments, node } = await settled(machine, () => lookAtAll(machine, fine), isFine);
  const results: CheckResult[] = [];
  for (const { record, problems } of attachments) {
    const outdated = await whyOutdated(record);
    results.push({ attachment: markOf(record), pod: podName(record), problems, ...(outdated && { outdated }) });
  }
  return { attachments: results, node };
}

/** The findings of one look at the kernel. Attachments that were fine in an earlier look are not looked at again. */
async function lookAtAll(machine: Machine, fine: Set<string>) {
  using host = machine.host.look();
  const looking = { ...machine, host };
  const attachments: { readonly record: AttachmentRecord; readonly problems: readonly string[] }[] = [];
  for (const record of machine.store.list()) {
    const problems = fine.has(markOf(record)) ? [] : await problemsSeen(looking, record);
    if (problems === undefined) continue; // it has ended meanwhile
    attachments.push({ record, problems });
    if (problems.length === 0) fine.add(markOf(record));
  }
  return { attachments, node: await checkNode(looking) };
}

/** The report with more warnings about the node. */
export const withWarnings = ({ attachments, node }: CheckReport, more: readonly string[]): CheckReport => ({
  attachments,
  node: { ...node, warnings: [...node.warnings, ...more] },
});

/** Whether nothing is wrong. Warnings do not count. */
export const isFine = ({ attachments, node: { gateway = [], problems } }: Checked): boolean =>
  gateway.length + problems.length === 0 && attachments.every(({ problems }) => problems.length === 0);
