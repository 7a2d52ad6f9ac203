import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Reply } from '../../../src/kernel/netlink/socket.ts';
import { HeardGenerations } from '../../../src/kernel/nftables/generations.ts';

/** NFT_MSG_NEWRULE and NFT_MSG_NEWGEN, with struct nfgenmsg and the attribute that comes first. */
const ofTable = (name: string): Reply => {
  const payload = Buffer.from(`${name}\0`);
  const padding = Buffer.alloc(-payload.length & 3);
  return {
    type: 0xa06,
    flags: 0,
    body: Buffer.concat([Buffer.of(1, 0, 0, 0, payload.length + 4, 0, 1, 0), payload, padding]),
  };
};
const generation = (id: number): Reply => {
  const body = Buffer.from('000000000800010000000000', 'hex');
  body.writeUInt32BE(id, 8);
  return { type: 0xa0f, flags: 0, body };
};
const [ours, others] = [ofTable('cni-egress'), ofTable('kube-proxy')];

/** Who hears from generation 10 on, and what the kernel tells. */
function hearing(from = 10, joins = true) {
  const told: (Reply | Error)[] = [];
  const heard = new HeardGenerations({
    join: () => joins,
    *unasked() {
      for (let next = told.shift(); next !== undefined; next = told.shift()) {
        if (next instanceof Error) throw next;
        yield next;
      }
    },
    close: () => {},
  });
  heard.read(from);
  const newestLike = (known: number, ...messages: readonly (Reply | Error)[]) => {
    told.push(...messages);
    return heard.newestLike(known);
  };
  return { heard, newestLike };
}

describe('a generation of the ruleset has our tables as an earlier one has them', () => {
  test('while others change theirs alone, each time anew', () => {
    const { newestLike } = hearing();
    assert.equal(newestLike(10), 10);
    assert.equal(newestLike(10, others, generation(11)), 11);
    assert.equal(newestLike(11, others, others, generation(12), others, generation(13)), 13);
    assert.equal(newestLike(10), 13);
  });

  test('not when a transaction changed ours, too; behind it again', () => {
    const { newestLike } = hearing();
    assert.equal(newestLike(10, others, ours, others, generation(11), others, generation(12)), undefined);
    assert.deepEqual([newestLike(11), newestLike(12)], [12, 12]);
  });

  test('not before a transaction has been told to its end', () => {
    const { newestLike } = hearing();
    assert.equal(newestLike(10, others, generation(11), ours), 11);
    assert.equal(newestLike(11, generation(12)), undefined);
  });

  test('as nobody knows, when it was read before anything was heard, or is not there yet', () => {
    const { heard, newestLike } = hearing();
    assert.equal(newestLike(9, others, generation(11)), undefined);
    assert.equal(newestLike(12), undefined);
    heard.read(20); // only the first counts
    assert.equal(newestLike(10), 11);
  });

  test('as nobody knows any more, when something was lost, or a generation was missed', () => {
    const lost = hearing();
    assert.equal(lost.newestLike(10, others, generation(11), new Error('ENOBUFS')), undefined);
    assert.equal(lost.newestLike(11, others, generation(12)), undefined);
    const missed = hearing();
    assert.equal(missed.newestLike(10, others, generation(12)), undefined);
    assert.equal(hearing(10, false).newestLike(10), undefined);
  });

  test('with what was told late of the one that was read', () => {
    const { newestLike } = hearing();
    assert.equal(newestLike(10, ours, generation(9), ours, generation(10), others, generation(11)), 11);
  });

  test('when the numbers begin anew', () => {
    const { newestLike } = hearing(0xffff_ffff);
    assert.equal(newestLike(0xffff_ffff, others, generation(1), others, generation(2)), 2);
    assert.equal(newestLike(1), 2);
  });
});
