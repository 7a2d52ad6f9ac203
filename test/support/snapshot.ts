import assert from 'node:assert/strict';
import type { Namespace } from './namespace.ts';

/**
 * What a node's kernel holds that egress could have left something in: one part for each command that shows it, in the
 * words of the tools that everybody uses. Equal texts mean equal kernels, except for what `volatile` names.
 */
const commands: readonly (readonly string[])[] = [
  // Without the values of counters.
  ['nft', '-s', 'list', 'ruleset'],
  ['ip', '-4', '-details', 'rule'],
  ['ip', '-6', '-details', 'rule'],
  ['ip', '-4', '-details', 'route', 'show', 'table', 'all'],
  ['ip', '-6', '-details', 'route', 'show', 'table', 'all'],
  ['ip', '-details', 'address'],
  ['ip', '-4', 'neigh', 'show', 'nud', 'permanent'],
  ['ip', '-6', 'neigh', 'show', 'nud', 'permanent'],
  ['bridge', 'fdb'],
  ['sysctl', '-a', '-r', '^net\\.(ipv[46]\\.(conf|ip_forward|route)|netfilter\\.nf_conntrack_tcp)'],
];

/**
 * What runs by itself: timers, lifetimes, a while after the last pod the news that a bridge has no carrier, what a
 * bridge has learned, and the number of our tunnel's device, which is another one when it was made anew.
 */
const volatile =
  /\b(\w+_timer +[\d.]+|(valid_lft|preferred_lft|expires) \w+|state (UP|DOWN)|NO-CARRIER,|,LOWER_UP|linkdown )|^\d+: (?=egress0:)|^\S+ dev \S+ (vlan \d+ )?master \S+ *\n/gm;

/**
 * The length of a queue, with the spaces before it, or where it would be: the kernel gives it to a veth with its first
 * queueing discipline, and does not take it back with that.
 */
const queue = / +(qlen 1000)?$/gm;

/** The state of a node's kernel as one text. */
export async function snapshot(node: { readonly machine: Namespace }): Promise<string> {
  // sysctl ends with an error for parameters that nobody may read.
  const outputs = await Promise.all(commands.map((command) => node.machine.run(command)));
  return outputs
    .map(({ stdout }, i) => `# ${commands[i]?.join(' ')}\n${stdout.replaceAll(volatile, '').replaceAll(queue, '')}`)
    .join('\n');
}

/** The lines that only one of two snapshots has: `- ` before those of the first, `+ ` before those of the second. */
export function changedLines(before: string, after: string): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of before.split('\n')) counts.set(line, (counts.get(line) ?? 0) - 1);
  for (const line of after.split('\n')) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].flatMap(([line, count]) =>
    Array<string>(Math.abs(count)).fill(`${count < 0 ? '-' : '+'} ${line}`),
  );
}

/** Fails unless two snapshots are equal byte for byte; the message is no longer than what differs. */
export function assertUnchanged(before: string, after: string, message = ''): void {
  assert.deepEqual(changedLines(before, after), [], message);
  assert.ok(before === after, `the order of lines differs ${message}`);
}
