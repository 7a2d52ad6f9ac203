import { reversePathName, validMarkName } from '../../datapath/reverse-path.ts';
import type { Facts } from './facts.ts';
import { ok, type Seen } from './finding.ts';
import { hindrancesAbout } from './hindrances.ts';

/** Reverse path filters of the interfaces of pods and exits. IPv6 has none. */
export function reversePath(facts: Facts): readonly Seen[] {
  const found = hindrancesAbout(facts, 'reverse path');
  if (found.length > 0) return found;
  const ways = facts.passages.filter(({ family }) => family === 4);
  const names = [...new Set(['all', ...ways.flatMap(({ input, output }) => [input, output])])];
  return [ok(names.flatMap((name) => shown(facts, name)).join(', '))];
}

/** `eth1 2`; `cni0 1 with src_valid_mark`. */
function shown({ host }: Facts, device: string): string[] {
  const value = host.readSysctl(reversePathName(device));
  const marks = host.readSysctl(validMarkName(device)) === '1' ? ' with src_valid_mark' : '';
  return value === undefined ? [] : [`${device} ${value}${marks}`];
}
