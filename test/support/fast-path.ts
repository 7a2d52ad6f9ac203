import type { Json } from './chain.ts';
import type { LabNode } from './node.ts';

/** An element with a counter, as `nft -j` prints it. */
interface Counted {
  readonly elem: {
    readonly val: { readonly concat: readonly [mark: number] } | string;
    readonly counter: unknown;
  };
}

interface Listed {
  readonly rule?: { readonly chain: string; readonly expr: readonly Json[] };
  readonly set?: { readonly name: string; readonly elem?: readonly Counted[] };
}

const markOf = (key: Counted['elem']['val']): number => (typeof key === 'string' ? 0 : key.concat[0]);
const packetsOf = (counter: unknown): number => (counter as { packets: number } | undefined)?.packets ?? 0;
const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);

/** Packets that the chains of exits were given, by the rules, and those that a flowtable took: by the sets that count these. */
export async function fastCounts(node: LabNode): Promise<{ readonly slow: number; readonly fast: number }> {
  const list = async (family: string): Promise<readonly Listed[]> => {
    const text = await node.machine.must(['nft', '-j', 'list', 'table', family, 'cni-egress']);
    return JSON.parse(text).nftables;
  };
  const rules = (await list('inet')).flatMap(({ rule }) => (rule && /^exit-\d+$/.test(rule.chain) ? rule.expr : []));
  const sets = (await list('netdev')).flatMap(({ set }) => (set ? [set] : []));
  const took = sets.flatMap(({ name, elem = [] }) =>
    elem.filter(({ elem: { val } }) => /^(?:fast|taken)[46]$/.test(name) || (name === 'sent' && markOf(val) > 0x3fff)),
  );
  return {
    slow: sum(rules.map(({ counter }) => packetsOf(counter))),
    fast: sum(took.map(({ elem }) => packetsOf(elem.counter))),
  };
}

/** Whether the table of the fast path is there. */
export const hasFastTable = async (node: LabNode): Promise<boolean> =>
  (await node.machine.run(['nft', 'list', 'table', 'inet', 'cni-egress-fast'])).code === 0;
