import type { Json } from './chain.ts';
import type { LabNode } from './node.ts';

/** Packets that the chains of exits were given, by the rules, and those that the flowtable took. */
export async function fastCounts(node: LabNode): Promise<{ readonly slow: number; readonly fast: number }> {
  const of = async (...table: readonly string[]) => await node.machine.must(['nft', '-j', 'list', 'table', ...table]);
  const sum = (text: string, chain: RegExp) =>
    (
      JSON.parse(text) as { nftables: readonly { rule?: { chain: string; comment?: string; expr: readonly Json[] } }[] }
    ).nftables
      .flatMap(({ rule }) => (rule && rule.comment !== 'of another exit' && chain.test(rule.chain) ? rule.expr : []))
      .map(({ counter }) => (counter as { packets: number } | undefined)?.packets ?? 0)
      .reduce((all, packets) => all + packets, 0);
  return {
    slow: sum(await of('inet', 'cni-egress'), /^exit-\d+$/),
    fast: sum(await of('netdev', 'cni-egress'), /^exit-\d+-fast$/),
  };
}

/** Whether the table of the fast path is there. */
export const hasFastTable = async (node: LabNode): Promise<boolean> =>
  (await node.machine.run(['nft', 'list', 'table', 'inet', 'cni-egress-fast'])).code === 0;
