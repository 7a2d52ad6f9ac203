import type { Packet } from '../policy/terms.ts';
import { readIfThere } from '../report/configured.ts';
import { type Explanation, explain } from '../report/explain.ts';
import { type LabelsOf, labelsIfTold } from '../sources/labels.ts';
import { type CliCommand, toJson } from './command.ts';
import { parseDestination } from './destination.ts';
import { type NodeOptions, onNode, type PolicyOptions, withPolicyIfThere } from './options.ts';

/** Explanations for a person: the answer, the policies considered, the kernel's objects, and notes. */
export const printExplanations = (explanations: readonly Explanation[]): string =>
  explanations.map(printExplanation).join('\n');

function printExplanation({ sentence, considered, kernel, way, notes }: Explanation): string {
  const policies = considered.map(({ policy, exit, words }) => [`  ${policy}`, exit, words]);
  const steps = kernel.map(({ what, text, problem }) => [`  ${what}`, problem ? `${problem}: ${text}` : text]);
  const hop = way?.neighbour ? [['  neighbour', `${way.nextHop ?? 'the destination'} is ${way.neighbour}`]] : [];
  return [
    `${sentence}\n`,
    ...notes.map((note) => `${note}\n`),
    ...section('Policies, in the order in which they decide:', policies),
    ...section('In the kernel:', [...steps, ...hop]),
  ].join('');
}

const section = (title: string, rows: readonly (readonly string[])[]): string[] =>
  rows.length === 0 ? [] : [`${title}\n`, aligned(rows)];

/** Columns, but for the last one, as wide as their longest cell. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

export const explainCommand: CliCommand = {
  name: 'explain',
  summary: 'tell what becomes of packets of a pod, and why: policies, exit, and what in the kernel does it',
  options: (command) =>
    withPolicyIfThere(
      onNode(command)
        .argument('<pod>', 'namespace/name, address, or container ID (its first 6 characters are enough)')
        .argument(
          '<destination...>',
          'address, address:port (TCP) or protocol/address:port, like udp/203.0.113.9:5060',
          (text: string, before: readonly Packet[] = []) => [...before, parseDestination(text)],
        ),
    ),
  run: async (
    { openMachine, readFile, askLabels, write },
    pod: string,
    packets: Packet[],
    options: NodeOptions & PolicyOptions,
  ) => {
    using machine = await openMachine(options);
    const labelsOf: LabelsOf = (unset) => labelsIfTold(askLabels)(unset, options.dataDir);
    const explanations = await explain(machine, readIfThere(options.policy, readFile), pod, packets, labelsOf);
    write(options.json ? toJson(explanations) : printExplanations(explanations));
  },
};
