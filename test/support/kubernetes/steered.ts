import type { WholeNode } from './whole.ts';

/**
 * Where the kernel of a node steers what pods send, read from the words of nft: the address of a pod → ranges of IPv4, sorted. It
 * follows a packet: the map of pods leads to the chain of a program, whose rules compare with sets of destinations.
 */
export async function steeredOn({ machine }: WholeNode): Promise<ReadonlyMap<string, readonly string[]>> {
  const listed = await machine.inside.run(['nft', '-j', 'list', 'table', 'inet', 'cni-egress']);
  if (listed.code !== 0) return new Map(); // no pod is steered, so there is no table
  const { nftables } = JSON.parse(listed.stdout) as { nftables: readonly Listed[] };
  const pods = nftables.find(({ map }) => map?.name === 'pods4')?.map?.elem ?? [];
  return new Map(pods.map(([key, { goto }]) => [addressOf(key), destinationsIn(nftables, goto.target)]));
}

/** What is listed, as far as it is read here. */
interface Listed {
  readonly map?: { readonly name: string; readonly elem?: readonly (readonly [Key, Verdict])[] };
  readonly set?: { readonly name: string; readonly elem?: readonly unknown[] };
  readonly rule?: { readonly chain: string; readonly expr: readonly object[] };
}
type Key = string | { readonly elem: { readonly val: string } };
interface Verdict {
  readonly goto: { readonly target: string };
}

const addressOf = (key: Key): string => (typeof key === 'string' ? key : key.elem.val);

function destinationsIn(nftables: readonly Listed[], chain: string): readonly string[] {
  const names = new Set(reachable(nftables, chain).flatMap((name) => setsIn(nftables, name)));
  const sets = nftables.flatMap(({ set }) => (set !== undefined && names.has(set.name) ? [set.elem ?? []] : []));
  return [...new Set(sets.flat().map(rangeOf))].filter((range) => !range.includes(':')).toSorted();
}

/** The chains of the program that begins with one. */
function reachable(nftables: readonly Listed[], entry: string): readonly string[] {
  const program = entry.replace(/-entry$/, '');
  const chains = new Set(nftables.flatMap(({ rule }) => (rule === undefined ? [] : [rule.chain])));
  return [...chains].filter((name) => name.startsWith(program));
}

/** The sets of destinations that lead to an exit. */
function setsIn(nftables: readonly Listed[], chain: string): readonly string[] {
  const rules = nftables.flatMap(({ rule }) => (rule?.chain === chain ? [JSON.stringify(rule.expr)] : []));
  const leading = rules.filter((text) => /"(goto|jump)":\{"target":"exit-/.test(text));
  return leading.flatMap((text) => [...text.matchAll(/"right":"@([^"]+)"/g)].map(([, name = '']) => name));
}

function rangeOf(element: unknown): string {
  if (typeof element === 'string') return element;
  const { prefix, elem } = element as { prefix?: { addr: string; len: number }; elem?: { val: unknown } };
  if (elem !== undefined) return rangeOf(elem.val);
  return prefix === undefined ? JSON.stringify(element) : `${prefix.addr}/${prefix.len}`;
}
