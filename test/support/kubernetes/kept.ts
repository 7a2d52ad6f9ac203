import assert from 'node:assert/strict';
import type { Connections } from '../connections.ts';
import type { WholeCluster } from './whole.ts';

/** A round of connections gives up after 20 s; TCP may wait longer before it sends again, when it was long in vain. */
const rounds = 8;

/**
 * Fails unless long connections go on, as soon as TCP sends again: none has ended, and the other end saw these addresses alone. Returns
 * the longest time in which one of them was silent since it was asked last, in seconds.
 */
export async function requireKept(
  cluster: WholeCluster,
  connections: Connections,
  addresses: readonly string[],
  when: string,
): Promise<number> {
  let longest = 0;
  for (let round = 1; ; round++) {
    const { silent, broken, peers, gap } = await connections.round();
    assert.deepEqual(broken, [], when);
    for (const peer of new Set(peers)) assert.ok(addresses.includes(peer), `${when}: ${peer}`);
    longest = Math.max(longest, gap / 1000);
    if (silent.length === 0) return longest;
    if (round === rounds) assert.fail(`${when}: ${silent.length} are silent\n${await cluster.state()}`);
  }
}
