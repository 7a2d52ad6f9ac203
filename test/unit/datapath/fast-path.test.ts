import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsEgressHook } from '../../../src/datapath/egress-counters.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { desiredFastPath, fastPathOf, fastPriorities, isMore, offeredBit } from '../../../src/datapath/fast-path.ts';

const fwmark = 0x40000000;
const partners: ResolvedExit = {
  ...{ name: 'partners', id: 7, device: 'eth1', fastPath: true },
  ways: [
    { family: 4, addresses: ['192.0.2.10', '192.0.2.11'] },
    { family: 6, addresses: ['fd00:2::10'] },
  ],
};
const { fastPath: _, ...slow } = { ...partners, name: 'slow', id: 8, device: 'eth2' };
const sources = (device: string) => ({ devices: [device], others: [] });
const pod = (address: string, device: string, ...exits: readonly string[]) => ({
  ...{ addresses: [address], sources: sources(device), exits },
});

describe('the chains of a fast path', () => {
  test('ask what the guard asks, with the source that the packet will have, and give it its own back', () => {
    const [judge] = desiredFastPath(fwmark, [partners, slow]);
    assert.deepEqual(judge?.hook, { type: 'filter', hook: 'forward', priority: fastPriorities.judge });
    assert.deepEqual(
      judge?.rules.map(({ statements }) => statements.map(({ text }) => text).join(' ')),
      [
        'meta mark & 0x60003fff != 0x60000007 return',
        'ip saddr set ct reply ip daddr',
        'ip6 saddr set ct reply ip6 daddr',
        'fib saddr . oif type local meta mark & 0x00003fff . oifname . ip saddr @lanes4 meta mark set meta mark & 0xdfffffff',
        'fib saddr . oif type local meta mark & 0x00003fff . oifname . ip6 saddr @lanes6 meta mark set meta mark & 0xdfffffff',
        'ip saddr set ct original ip saddr',
        'ip6 saddr set ct original ip6 saddr',
      ],
    );
  });

  test('count by the proof and each of the exit’s addresses, where they leave', () => {
    const [, left] = desiredFastPath(fwmark, [partners]);
    assert.deepEqual([left?.family, left?.hook?.hook], ['netdev', 'egress']);
    assert.deepEqual(
      left?.rules.map(({ statements }) => statements[1]?.text),
      ['ip saddr 192.0.2.10', 'ip saddr 192.0.2.11', 'ip6 saddr fd00:2::10'],
    );
  });

  test('are there for exits that have one, and on kernels that can count', () => {
    assert.deepEqual(desiredFastPath(fwmark, [slow]), []);
    assert.ok(desiredFastPath(fwmark, [partners]).every(needsEgressHook));
  });

  test('ask another interface for the address where the exit allows one', () => {
    const [judge] = desiredFastPath(fwmark, [{ ...partners, addressesOn: ['lo'] }]);
    assert.match(judge?.rules[3]?.statements[0]?.text ?? '', /^fib saddr type local$/);
  });

  test('have a bit of the mark that is not ours', () => {
    for (const own of [0x40000000, 0x20000000, 0x10000000]) assert.equal(offeredBit(own) & (own | 0x3fff), 0);
  });
});

describe('a fast path', () => {
  const node = { fwmark, exits: [partners, slow] };

  test('is for checked pods of exits that have one', () => {
    const pods = [pod('10.0.0.3', 'veth3', 'partners', 'slow'), pod('10.0.0.2', 'veth2', 'slow')];
    const { sources: _, ...unchecked } = pod('10.0.0.4', 'veth4', 'partners');
    assert.deepEqual(fastPathOf(node, [...pods, unchecked]), {
      ...{ fwmark, devices: ['eth1', 'veth3'], pods: ['10.0.0.3'] },
    });
  });

  test('is none without such a pod', () => {
    assert.equal(fastPathOf(node, [pod('10.0.0.2', 'veth2', 'slow')]), undefined);
    assert.equal(fastPathOf({ fwmark, exits: [slow] }, [pod('10.0.0.2', 'veth2', 'slow')]), undefined);
  });

  test('becomes more with a pod, and less without one', () => {
    const one = { fwmark, devices: ['eth1', 'veth2'], pods: ['10.0.0.2'] };
    const two = { fwmark, devices: ['eth1', 'veth2', 'veth3'], pods: ['10.0.0.2', '10.0.0.3'] };
    assert.deepEqual([isMore(two, one), isMore(one, one), isMore(one, two)], [true, true, false]);
    assert.equal(isMore({ ...two, fwmark: 0x20000000 }, one), false);
  });
});
