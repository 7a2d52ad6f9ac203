import type { LabNode } from './node.ts';

/** Our table of the family inet, as nft takes it. */
export const table = 'inet cni-egress';

/** Runs commands of nft on a node, all in one transaction. */
export const nft = (node: LabNode, ...commands: readonly string[]): Promise<string> =>
  node.machine.must(['nft', commands.join('; ')]);

/** Runs a command of ip on a node: `ip(node, '-6 rule')`. */
export const ip = (node: LabNode, command: string): Promise<string> => node.machine.must(['ip', ...command.split(' ')]);

/** Deletes the first rule of one of our chains that holds the words. nft names a rule by a handle, which only the list tells. */
export async function deleteRule(node: LabNode, chain: string, words: string): Promise<void> {
  const list = await node.machine.must(['nft', '-a', 'list', 'chain', 'inet', 'cni-egress', chain]);
  const line = list.split('\n').find((text) => text.includes(words)) ?? '';
  await nft(node, `delete rule ${table} ${chain} handle ${/# handle (\d+)/.exec(line)?.[1]}`);
}
