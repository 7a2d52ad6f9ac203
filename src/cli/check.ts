import { markOf } from '../base/attachment.ts';
import { problemsOf } from '../cni/check.ts';
import type { Machine } from '../cni/machine.ts';
import { podName } from './asked-pod.ts';

/** An attachment, and what is missing or different of what it needs. */
export interface CheckResult {
  readonly attachment: string;
  readonly pod: string;
  readonly problems: readonly string[];
}

/** Checks every attachment on this node, as CHECK does for one. */
export async function checkAll(machine: Machine): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const record of machine.store.list()) {
    results.push({ attachment: markOf(record), pod: podName(record), problems: await problemsOf(machine, record) });
  }
  return results;
}

/** One line for each problem, and one that sums up. */
export function printCheck(results: readonly CheckResult[]): string {
  const lines = results.flatMap(({ pod, problems }) => problems.map((problem) => `${pod}: ${problem}`));
  const wrong = results.filter(({ problems }) => problems.length > 0).length;
  const sum =
    wrong === 0
      ? `${results.length} attachments are as they should be.`
      : `${wrong} of ${results.length} attachments are not as they should be.`;
  return [...lines, sum, ''].join('\n');
}
