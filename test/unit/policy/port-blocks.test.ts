import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError } from '../../../src/base/errors.ts';
import {
  type BlockRequest,
  blockCount,
  chooseBlock,
  type PortBlock,
  placeOfPort,
} from '../../../src/policy/port-blocks.ts';

const request = (more: Partial<BlockRequest> = {}): BlockRequest => ({
  exit: 'internet',
  portsPerPod: 1024,
  share: { place: 0, nodes: 1 },
  own: undefined,
  taken: [],
  ...more,
});

const block = (first: number, last: number): PortBlock => ({ exit: 'internet', first, last });

/** Blocks one after the other until none is left. */
function all(options: Partial<BlockRequest>): PortBlock[] {
  const taken: PortBlock[] = [];
  for (;;) {
    try {
      taken.push(chooseBlock(request({ ...options, taken })));
    } catch (error) {
      assert.ok(error instanceof EgressError && error.code === 'ports-exhausted');
      return taken;
    }
  }
}

describe('a pod’s own source ports', () => {
  test('are the lowest that are free, and none below 1024', () => {
    assert.deepEqual(chooseBlock(request()), block(1024, 2047));
    assert.deepEqual(chooseBlock(request({ taken: [block(1024, 2047), block(3072, 4095)] })), block(2048, 3071));
  });

  test('stay what they are, when ADD is repeated', () => {
    assert.deepEqual(chooseBlock(request({ own: block(5120, 6143) })), block(5120, 6143));
  });

  test('become others when they do not fit any more: another size, another share, somebody else has them', () => {
    assert.deepEqual(chooseBlock(request({ own: block(5120, 5631) })), block(1024, 2047));
    assert.deepEqual(
      chooseBlock(request({ own: block(1024, 2047), share: { place: 1, nodes: 2 } })),
      block(32768, 33791),
    );
    assert.deepEqual(chooseBlock(request({ own: block(1024, 2047), taken: [block(1024, 2047)] })), block(2048, 3071));
  });

  test('do not overlap those that another size made', () => {
    assert.deepEqual(chooseBlock(request({ taken: [block(1000, 1100), block(2200, 2210)] })), block(3072, 4095));
  });

  test('are found by looking at each block that is taken a few times, however many there are', () => {
    let looks = 0;
    const taken = Array.from({ length: 4000 }, (_, i) => ({
      exit: 'internet',
      last: 1024 + 16 * i + 15,
      get first() {
        looks++;
        return 1024 + 16 * i;
      },
    }));
    assert.deepEqual(chooseBlock(request({ portsPerPod: 16, taken })), block(65024, 65039));
    assert.ok(looks <= 3 * taken.length, `${looks} looks`);
  });

  test('are refused with the numbers when there are none', () => {
    const [first = block(0, 0), second = block(0, 0)] = all({ portsPerPod: 32256 });
    assert.throws(
      () => chooseBlock(request({ portsPerPod: 32256, taken: [first, second] })),
      new EgressError(
        'ports-exhausted',
        'Exit "internet" gives each pod 32256 source ports. An address has 2 such blocks, and all are taken',
      ),
    );
    assert.throws(
      () => chooseBlock(request({ portsPerPod: 32768, share: { place: 0, nodes: 3 } })),
      /One of 3 nodes has 0 such blocks, and all are taken$/,
    );
  });
});

const anySharing = fc.record({
  portsPerPod: fc.integer({ min: 16, max: 32768 }),
  nodes: fc.integer({ min: 1, max: 40 }),
});

describe('nodes that share the ports of an address', () => {
  test('have all blocks between them, and none of them twice', () => {
    fc.assert(
      fc.property(
        anySharing.filter(({ portsPerPod }) => portsPerPod > 500),
        ({ portsPerPod, nodes }) => {
          const shares = Array.from({ length: nodes }, (_, place) => all({ portsPerPod, share: { place, nodes } }));
          const firsts = shares.flat().map(({ first }) => first);
          assert.equal(new Set(firsts).size, firsts.length);
          assert.equal(firsts.length, blockCount(portsPerPod));
          const sizes = shares.map(({ length }) => length);
          assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('are told by a port, both ends of each block included', () => {
    fc.assert(
      fc.property(anySharing, fc.nat(), ({ portsPerPod, nodes }, number) => {
        const place = number % nodes;
        const shared = request({ portsPerPod, share: { place, nodes } });
        if (blockCount(portsPerPod) < nodes) return;
        const { first, last } = chooseBlock(shared);
        assert.deepEqual(
          [first, last].map((port) => placeOfPort(port, portsPerPod, nodes)),
          [place, place],
        );
      }),
    );
  });

  test('have no port below 1024, nor one behind the last block', () => {
    assert.equal(placeOfPort(1023, 1000, 3), undefined);
    assert.equal(placeOfPort(65535, 1000, 3), undefined);
  });
});
