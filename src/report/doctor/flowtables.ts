import type { ForeignChain, ForeignFlowtable, ForeignRule } from '../../datapath/examiner.ts';
import type { MetaKey } from '../../nftables/expression.ts';
import { deviceHex } from '../../nftables/statement.ts';
import type { Facts } from './facts.ts';
import { few, orOk, type Seen, warning } from './finding.ts';
import { type Placed, placeText, rulesIn } from './foreign-rules.ts';

/**
 * Rules of others that hand connections over to a flowtable at the pods' side: what pods send by an exit is taken there, whatever
 * interface it leaves by. Of their conditions only those are judged that spare the exits' interfaces, as the remedy here makes them.
 */
export async function flowtables({ examiner, node, pods, inputs }: Facts): Promise<readonly Seen[]> {
  const exits = [...new Set(node?.exits.map(({ device }) => device) ?? [])];
  const sides = new Set([
    ...inputs.map(({ input }) => input),
    ...pods.flatMap(({ sources }) => sources?.devices ?? []),
  ]);
  const tables = exits.length > 0 ? await examiner.listFlowtables() : [];
  const met = tables.filter(({ devices }) => devices.some((device) => sides.has(device)));
  const rules = met.length > 0 ? rulesIn(await examiner.listForeignChains()) : [];
  const found = met.flatMap((table) =>
    rules
      .filter(({ rule, chain }) => handsOver(rule, chain, table) && !exits.every((device) => spares(rule, device)))
      .map((placed) => seen(placed, table, { sides, exits })),
  );
  return orOk(few(found), 'no connection of an exit is handed over to a flowtable of others');
}

type Part = ForeignRule['expressions'][number];

/** NFTA_FLOW_TABLE_NAME: the name stands behind the header of the one attribute. */
const headerDigits = 8;

const handsOver = (rule: ForeignRule, chain: ForeignChain, { family, table, name }: ForeignFlowtable): boolean =>
  chain.family === family &&
  chain.table === table &&
  rule.expressions.some(
    (part) =>
      part.name === 'unknown' &&
      part.expression === 'flow_offload' &&
      part.data.slice(headerDigits).startsWith(Buffer.from(`${name}\0`).toString('hex')),
  );

/** Packets by the interface, in either direction, are no matter of the rule. */
const spares = ({ expressions }: ForeignRule, device: string): boolean =>
  (['iifname', 'oifname'] as const).every((key) => isOther(expressions, key, deviceHex(device)));

const isOther = (expressions: readonly Part[], key: MetaKey, data: string): boolean =>
  expressions.some((part, at) => {
    const next = expressions[at + 1];
    const isCompared = part.name === 'meta' && part.key === key && next?.name === 'cmp' && next.op === 'neq';
    return isCompared && next.data === data;
  });

function seen(
  placed: Placed,
  { family, table, name, devices }: ForeignFlowtable,
  { sides, exits }: { readonly sides: ReadonlySet<string>; readonly exits: readonly string[] },
): Seen {
  const at = devices.filter((device) => sides.has(device)).join(' and ');
  const others = exits.map((device) => `iifname != "${device}" oifname != "${device}"`).join(' ');
  const { chain, rule } = placed;
  return warning(
    `${placeText(placed)} hands connections over to flowtable ${name}, which is at ${at}: they pass no chain any more, are not counted, and go on as they are when a policy changes`,
    `take ${at} out of the flowtable (firewalld: NftablesFlowtable), or put ${others} before "flow add @${name}": nft replace rule ${family} ${table} ${chain.chain} handle ${rule.handle}`,
  );
}
