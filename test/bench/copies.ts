import type { BenchNode, BenchPod } from './node.ts';

// What a node's rules would be with more pods: those of a pod that had a real ADD, once more for each.

/** What of the rules of one pod is another pod's in a copy. */
export interface Copied {
  /** What stands in the rules of `model`. */
  readonly address: string;
  readonly model: BenchPod;
  readonly pods: readonly BenchPod[];
}

const copiesOf = (line: string, { address, model, pods }: Copied): readonly string[] =>
  pods.map((pod) =>
    line
      .replaceAll(model.containerId, pod.containerId)
      .replaceAll(address, pod.address)
      .replaceAll(String(model.hostPort), String(pod.hostPort)),
  );

/**
 * What iptables-restore has to be given, of what iptables-save says of the table `nat`. Each pod has a chain of its own, whose name
 * begins with `prefix`.
 */
export function iptablesCopies(saved: string, prefix: string, { model, pods, ...rest }: Copied): string {
  const lines = saved.split('\n');
  const own = new RegExp(`-j (${prefix}\\w+)`);
  const chain = lines.find((line) => line.includes(model.containerId) && own.test(line))?.match(own)?.[1];
  if (chain === undefined) throw new Error(`${model.containerId} has no chain ${prefix}…`);
  const rules = lines.filter((line) => line.includes(chain));
  const copies = pods.flatMap((pod) =>
    rules.flatMap((rule) =>
      copiesOf(rule.replaceAll(chain, `${prefix}${pod.hostPort}`), { ...rest, model, pods: [pod] }),
    ),
  );
  const chains = copies.filter((line) => line.startsWith(':'));
  const others = copies.filter((line) => !line.startsWith(':'));
  return ['*nat', ...chains, ...others, 'COMMIT', ''].join('\n');
}

/** What `nft -f` has to be given, of how `nft list table` shows `table` (`ip cni_hostport`). */
export function nftCopies(listed: string, table: string, copied: Copied): string {
  const commands: string[] = [];
  let chain = '';
  for (const line of listed.split('\n').map((each) => each.trim())) {
    chain = /^chain (\w+) \{/.exec(line)?.[1] ?? chain;
    if (line.includes(`${copied.model.containerId}"`))
      commands.push(...copiesOf(line, copied).map((rule) => `add rule ${table} ${chain} ${rule}\n`));
  }
  if (commands.length === 0) throw new Error(`${copied.model.containerId} has no rule in ${table}`);
  return commands.join('');
}

/** Copies rules of iptables. `address` is how the model's address is found in them, when it is not the pod's own. */
export async function copyIptables(
  { machine }: BenchNode,
  prefix: string,
  model: BenchPod,
  pods: readonly BenchPod[],
  address?: RegExp,
): Promise<void> {
  const saved = await machine.must(['iptables-save', '-t', 'nat']);
  const own = address === undefined ? model.address : addressIn(saved, address);
  await machine.must(['iptables-restore', '--noflush'], {
    stdin: iptablesCopies(saved, prefix, { address: own, model, pods }),
  });
}

/** Copies rules of a table of nftables. */
export async function copyNft(
  { machine }: BenchNode,
  table: string,
  model: BenchPod,
  pods: readonly BenchPod[],
  address?: RegExp,
): Promise<void> {
  const listed = await machine.must(['nft', 'list', 'table', ...table.split(' ')]);
  const own = address === undefined ? model.address : addressIn(listed, address);
  await machine.must(['nft', '-f', '-'], { stdin: nftCopies(listed, table, { address: own, model, pods }) });
}

function addressIn(rules: string, address: RegExp): string {
  const found = address.exec(rules)?.[0];
  if (found === undefined) throw new Error(`No address ${address.source} is in the rules`);
  return found;
}
