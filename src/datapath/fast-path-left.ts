import { type Change, difference, keyOf } from './difference.ts';
import { sentChains } from './egress-counters.ts';
import { type AroundFast, desiredFastCounters, desiredFastJudge } from './fast-path.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { type OurState, servedLeft } from './release.ts';

/**
 * What becomes of that which all exits with a fast path share, when some of them go, or are not served any more. Without a record nobody
 * knows which ones have a fast path: then it stays as it is, until its table goes.
 *
 * @param left the node with the exits that stay
 */
export function fastPathLeft(
  { chains, sent = [], fast, exitElements }: Pick<OurState, 'chains' | 'sent' | 'fast' | 'exitElements'>,
  gone: readonly HostObject[],
  left: Omit<AroundFast, 'gateway'> | undefined,
): Change[] {
  if (left === undefined) return [];
  const goneKeys = new Set(gone.map(keyOf));
  const isGone = (object: HostObject) => goneKeys.has(keyOf(object));
  const elements = gone.filter((object) => object.kind === 'element');
  const node = { ...left, gateway: { served: [...servedLeft({ exitElements }, elements)] } };
  const counting = node.exits.length > 0 ? [...desiredFastCounters(node), ...sentChains(node, node.exits)] : [];
  const names = new Set(counting.flatMap((object) => (object.kind === 'chain' ? [object.name] : [])));
  names.add(layout.chainNames.fastServed);
  const ofForward = chains.filter(({ name }) => name === layout.chainNames.fast);
  const atInterfaces = [...fast, ...sent.filter(({ name }) => names.has(name))];
  return [
    ...(isGone({ kind: 'table' }) ? [] : difference(desiredFastJudge(node), ofForward)),
    ...(isGone(layout.netdevTable) ? [] : difference(counting, atInterfaces)),
  ].filter(({ verb }) => verb !== 'add'); // what is missing is no matter of what goes
}
