import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  addressHex,
  addressMaps,
  chainNames,
  deviceOfKey,
  exitIdOfChain,
  exitIdOfKey,
  exitIdOfPart,
  exitKey,
  isProgramChain,
  laneKey,
  rulePriorities,
  sentKey,
  tunnelPriorities,
} from '../../../src/datapath/layout.ts';
import { looseReversePath, reversePathName } from '../../../src/datapath/reverse-path.ts';

const anyId = fc.integer({ min: 1, max: 0x3fff });

describe('the names and keys of an exit', () => {
  test('tell its id', () => {
    fc.assert(
      fc.property(anyId, fc.stringMatching(/^[a-z0-9.]{1,15}$/), (id, device) => {
        assert.equal(exitIdOfChain(chainNames.exit(id)), id);
        for (const name of [
          chainNames.exitSnat(id),
          chainNames.exitBack(id),
          chainNames.exitBack(id),
          ...addressMaps(id).map(({ name }) => name),
        ]) {
          assert.deepEqual([exitIdOfPart(name), exitIdOfChain(name)], [id, undefined], name);
        }
        assert.equal(exitIdOfKey(exitKey(id)), id);
        for (const key of [laneKey(id, device, '10.0.0.1'), sentKey(id, device)]) {
          assert.equal(exitIdOfKey(key), id);
          assert.equal(deviceOfKey(key), device);
        }
      }),
    );
  });

  test('are not those of anything else', () => {
    for (const chain of [
      chainNames.drop,
      chainNames.nat,
      chainNames.sent('7'),
      'program-5f1c',
      'exit-',
      'exit-7-x',
      'xexit-7',
    ]) {
      assert.ok(!exitIdOfChain(chain), chain);
      assert.equal(exitIdOfPart(chain), undefined, chain);
    }
    assert.deepEqual([isProgramChain('program-5f1c'), isProgramChain('exit-7')], [true, false]);
  });
});

test('a lane is the exit’s id, its interface in 16 bytes, and its address', () => {
  assert.equal(laneKey(300, 'eth1', '172.18.0.33'), `2c010000${'65746831'.padEnd(32, '0')}ac120021`);
  assert.equal(laneKey(1, 'a'.repeat(15), '::1'), `01000000${'61'.repeat(15)}00${addressHex('::1')}`);
});

test('the priorities of policy rules are three in a row, and those of the tunnel three behind them', () => {
  assert.deepEqual(rulePriorities(700), { skip: 700, exits: 701, end: 702 });
  assert.deepEqual(tunnelPriorities(700), { noExit: 703, stray: 704, end: 705 });
});

describe('the reverse path filter of an exit’s interface', () => {
  /** Values of `all` and of the interface, and what the interface must have. */
  const rows: readonly (readonly [string | undefined, string | undefined, string | undefined])[] = [
    ['0', '0', undefined],
    ['0', '1', '2'],
    ['1', '0', '2'],
    ['1', '1', '2'],
    ['0', '2', '2'],
    [undefined, '1', '2'],
    [undefined, '0', undefined],
    ['1', undefined, undefined],
  ];
  for (const [all, own, wanted] of rows) {
    test(`with all at ${all} and its own at ${own} must be ${wanted ?? 'left alone'}`, () => {
      assert.equal(looseReversePath('eth1', all, own)?.value, wanted);
    });
  }

  test('is found by a path, since an interface’s name may hold dots', () => {
    assert.equal(reversePathName('eth1.100'), 'net/ipv4/conf/eth1.100/rp_filter');
    assert.equal(looseReversePath('eth1.100', '0', '1')?.name, reversePathName('eth1.100'));
  });
});
