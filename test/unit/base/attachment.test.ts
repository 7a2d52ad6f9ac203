import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Attachment, markOf, networkMark } from '../../../src/base/attachment.ts';

const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/);
const attachment: fc.Arbitrary<Attachment> = fc.record({
  network: name,
  containerId: name,
  ifname: fc.stringMatching(/^[!-.0-9;-~]{1,15}$/),
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('the mark of an attachment', () => {
  test('is its three names', () => {
    const containerId = 'a'.repeat(64);
    assert.equal(markOf({ network: 'pods', containerId, ifname: 'eth0' }), `pods/${containerId}/eth0`);
  });

  test('holds digits of a hash in place of a name that is too long', () => {
    const [network, containerId] = ['n'.repeat(41), 'c'.repeat(65)];
    assert.equal(
      markOf({ network, containerId, ifname: 'eth0' }),
      `~${sha256(network).slice(0, 31)}/~${sha256(containerId).slice(0, 63)}/eth0`,
    );
  });

  test('fits into an nftables comment, and begins with the mark of its network', () => {
    fc.assert(
      fc.property(attachment, (attachment) => {
        const mark = markOf(attachment);
        assert.ok(Buffer.byteLength(mark) <= 127, mark);
        assert.ok(mark.startsWith(networkMark(attachment.network)), mark);
      }),
    );
  });

  test('is never that of another attachment, and never begins with the mark of another network', () => {
    const nearby = fc.tuple(attachment, attachment, fc.subarray(['network', 'containerId', 'ifname'] as const));
    fc.assert(
      fc.property(nearby, ([one, other, shared]) => {
        const second = { ...other, ...Object.fromEntries(shared.map((key) => [key, one[key]])) };
        const same = (['network', 'containerId', 'ifname'] as const).every((key) => one[key] === second[key]);
        assert.equal(markOf(one) === markOf(second), same);
        assert.equal(markOf(second).startsWith(networkMark(one.network)), one.network === second.network);
      }),
    );
  });
});
