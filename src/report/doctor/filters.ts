import { type Filter, filterText, judge } from '../../datapath/filter.ts';
import type { Counters } from '../../datapath/host.ts';
import type { Passage } from '../../datapath/passage.ts';
import type { Facts } from './facts.ts';
import { fault, ok, orOk, type Seen, warning } from './finding.ts';

/** Filters of others on the way from pods to exits, by their policies, and by whether anything has left. */
export async function filters({ host, node, passages }: Facts): Promise<readonly Seen[]> {
  if (passages.length === 0) return [ok('no packet of an exit passes any')];
  const all = await host.listFilters();
  const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
  const stuck = node?.exits.filter(({ id }) => counters && nothingLeft(counters, id)).map(({ device }) => device) ?? [];
  const found = new Map<string, Seen>();
  for (const passage of passages) {
    const { drops, mayDrop } = judge(all, passage);
    const isStuck = stuck.includes(passage.output);
    if (drops) found.set(filterText(drops), certain(drops, passage));
    for (const filter of mayDrop) found.set(filterText(filter), uncertain(filter, passage, isStuck));
  }
  const legacy = legacyTables(passages, (family) => host.listLegacyTables(family));
  return orOk([...found.values(), ...legacy], 'no chain of others has the policy drop');
}

/** Packets went to the exit, and none of them ever left. */
const nothingLeft = ({ steered, left }: Counters, id: number): boolean =>
  (steered.get(id)?.packets ?? 0n) > 0n && left.get(id)?.packets === 0n;

const certain = (filter: Filter, passage: Passage): Seen =>
  fault(
    `${filterText(filter)} drops all that pods send by exits: policy drop, and no rule`,
    accepting(filter, passage),
  );

function uncertain(filter: Filter, passage: Passage, isStuck: boolean): Seen {
  const what = `${filterText(filter)} has the policy drop`;
  const remedy = accepting(filter, passage);
  return isStuck
    ? fault(`${what}, and of all packets for exits by ${passage.output} none has left`, remedy)
    : warning(
        `${what}: what its rules do not accept does not leave, and they are not judged here`,
        `if packets do not leave: ${remedy}`,
      );
}

/** Commands that let packets pass, and their answers. */
function accepting({ family, table, chain, hook }: Filter, { input, output }: Passage): string {
  const isIptables = (family === 'ip' || family === 'ip6') && table === 'filter' && chain === 'FORWARD';
  const ways = [
    [input, output],
    [output, input],
  ] as const;
  if (isIptables) {
    const command = family === 'ip' ? 'iptables' : 'ip6tables';
    return ways.map(([from, to]) => `${command} -I FORWARD -i ${from} -o ${to} -j ACCEPT`).join(' && ');
  }
  if (hook !== 'forward')
    return `let packets from ${input} to ${output} pass there: nft list chain ${family} ${table} ${chain}`;
  return ways
    .map(([from, to]) => `nft insert rule ${family} ${table} ${chain} iifname ${from} oifname ${to} accept`)
    .join(' && ');
}

function legacyTables(passages: readonly Passage[], list: (family: 4 | 6) => readonly string[]): Seen[] {
  const families = [...new Set(passages.map(({ family }) => family))].filter((family) =>
    list(family).includes('filter'),
  );
  return families.map((family) => {
    const command = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
    return warning(
      'rules and policies of the older iptables are in use, and cannot be seen here',
      `look at them with ${command} -S FORWARD`,
    );
  });
}
