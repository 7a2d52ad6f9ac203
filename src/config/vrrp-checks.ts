import { vridOf } from '../policy/vrid.ts';
import { type Placed, placeOf, problem } from './placed.ts';
import type { Problem } from './problem.ts';
import type { PartialDocument } from './sound.ts';

type Exit = NonNullable<PartialDocument['exits']>[number];

/** An exit whose gateways elect. */
interface Elected {
  readonly exit: Placed<Exit>;
  readonly list: string;
  readonly vrid: number;
}

/**
 * Numbers of Virtual Routers that do not tell them apart: one number for two lists of gateways, or two numbers for one. Lists
 * that share no gateway may be on one segment as well.
 */
export function vrrpContradictions(exits: readonly Placed<Exit>[]): Problem[] {
  const elected = exits.flatMap((exit): Elected[] => {
    const { gateways = [], announce, vrid } = exit.value;
    if (gateways.length < 2 || announce === 'elsewhere') return [];
    return [{ exit, list: gateways.join(' '), vrid: vridOf({ gateways, ...(vrid !== undefined && { vrid }) }) }];
  });
  return elected.flatMap(({ exit, list, vrid }, i) => {
    const other = elected.slice(0, i).find((one) => (one.list === list) !== (one.vrid === vrid));
    if (other === undefined) return [];
    const where = placeOf(other.exit);
    const what =
      other.list === list
        ? `VRID ${vrid}, and the exit at ${where} with the same gateways has ${other.vrid}: give both the same "vrid"`
        : `VRID ${vrid}, which the exit at ${where} with other gateways has, too: set "vrid" of one to another number`;
    return [problem(exit, exit.value.vrid === undefined ? '' : '/vrid', what)];
  });
}
