import { printScript } from '../nftables/script.ts';
import type { Change } from './difference.ts';
import type { Verb } from './kinds/kind.ts';
import { setTunnelUp } from './kinds/tunnel.ts';
import { type OutsideObject, outsideKindOf } from './objects.ts';
import { planOf } from './operations.ts';
import { tunnelDevice } from './tunnel.ts';

/** Changes as the commands that would make them, in their order; empty when there is nothing to do. */
export function printChanges(changes: readonly Change[]): string {
  const { shut, first, before, ahead, transaction, sets, open, after, last, closing } = planOf(changes);
  // The kernel changes little of an existing device. Objects on it come back by the next look.
  const remade = changes.some(({ verb, object }) => verb === 'replace' && object.kind === 'tunnel');
  const nft = [ahead, transaction]
    .map((operations) => printScript(operations, sets))
    .flatMap((script) => (script === '' ? [] : [`nft -f - <<'EOT'\n${script}EOT`]));
  const gone = remade ? [`ip link del ${tunnelDevice}`] : [];
  return [
    ...gone,
    ...shut.map(setTunnelUp),
    ...first.map((object) => command(object, 'del')),
    ...before.map((object) => command(object, 'add')),
    ...nft,
    ...open.map((object) => (object.kind === 'tunnel' ? setTunnelUp(object) : command(object, 'add'))),
    ...after.map((object) => command(object, 'del')),
    ...[...last, ...closing].map((object) => command(object, 'add')),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

const command = (object: OutsideObject, verb: Verb): string => outsideKindOf(object).command(object, verb);
