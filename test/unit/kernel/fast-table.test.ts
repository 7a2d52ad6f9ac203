import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FastPath } from '../../../src/datapath/fast-path-plan.ts';
import { addToFastTable, deleteFastTable, makeFastTable } from '../../../src/kernel/nftables/fast-table.ts';
import { changesIn } from '../../../src/kernel/nftables/ruleset-changes.ts';

const use = (address: string, exit = 7) => ({ address, exit });
const one: FastPath = {
  ...{ fwmark: 0x40000000, devices: ['eth1', 'veth2'], pods: [use('10.0.0.2'), use('fd00:10::2')], into: [] },
};
const intoTunnel: FastPath = { ...one, devices: ['egress0', 'veth2'], into: [7] };
const served = { exits: [7], families: [4, 6], answersByTunnel: true } as const;
const gateway: FastPath = { ...one, devices: ['egress0', 'eth1'], pods: [], served };

/** The kernel tells of a change with the message that made it, in the end. */
const told = (requests: ReturnType<typeof makeFastTable>) =>
  requests.map((request) => {
    const change = changesIn(request);
    assert.ok(change !== undefined && change !== 'end');
    assert.equal(change.table, 'cni-egress-fast');
    const { verb, kind, name, isBase, keys, family } = change;
    const words = [verb, kind, name, ...(isBase ? ['base'] : []), ...(keys ?? [])];
    return [...(family === 'inet' ? [] : [family]), ...words].join(' ');
  });

describe('the table of the fast path', () => {
  test('is made as a whole: its chains behind the sets and the flowtable that they look into', () => {
    assert.deepEqual(told(makeFastTable(one)), [
      'new table ',
      'new set pods4',
      'new set pods6',
      'new element pods4 070000000a000002',
      'new element pods6 07000000fd000010000000000000000000000002',
      'new other ',
      'new chain offer base',
      'new rule offer',
      'new rule offer',
      'new chain from-pods-7',
      'new rule from-pods-7',
      'new rule from-pods-7',
      'new rule from-pods-7',
      'new set from-pods',
      'new element from-pods 07000000',
      'new chain from-pods',
      'new rule from-pods',
      'new chain take base',
      'new rule take',
      'new rule take',
      'new rule take',
    ]);
  });

  test('has a table beside it that gives packets their id where they go into the tunnel', () => {
    const made = told(makeFastTable(intoTunnel));
    assert.deepEqual(made.slice(0, -8), told(makeFastTable(one)));
    assert.deepEqual(made.slice(-8), [
      'netdev new table ',
      'netdev new set ids4',
      'netdev new set ids6',
      'netdev new element ids4 0a000002',
      'netdev new element ids6 fd000010000000000000000000000002',
      'netdev new chain into-tunnel base',
      'netdev new rule into-tunnel',
      'netdev new rule into-tunnel',
    ]);
    const more = { ...intoTunnel, pods: [...intoTunnel.pods, use('10.0.0.3')] };
    assert.deepEqual(told(addToFastTable(more, intoTunnel)), [
      'new element pods4 070000000a000003',
      'netdev new element ids4 0a000003',
    ]);
    assert.deepEqual(told(deleteFastTable(intoTunnel)), ['delete table ', 'netdev delete table ']);
    const withoutDevice = { ...intoTunnel, devices: ['veth2'] };
    assert.deepEqual(told(makeFastTable(withoutDevice)), told(makeFastTable({ ...one, devices: ['veth2'] })));
    assert.deepEqual(told(deleteFastTable(withoutDevice)), ['delete table ']);
  });

  test('of a gateway takes what comes out of the tunnel for its exits', () => {
    assert.deepEqual(told(makeFastTable(gateway)), [
      'new table ',
      'new set pods4',
      'new set pods6',
      'new set served',
      'new element served 07000000',
      'new other ',
      'new chain offer base',
      ...Array(2).fill('new rule offer'),
      'new chain from-tunnel-7',
      ...Array(3).fill('new rule from-tunnel-7'),
      'new set from-tunnel',
      'new element from-tunnel 07000000',
      'new chain from-tunnel',
      'new rule from-tunnel',
      'new chain take base',
      ...Array(3).fill('new rule take'),
    ]);
  });

  test('has no more rules on a packet’s way for a hundred exits than for one', () => {
    const many = { ...gateway, served: { ...served, exits: Array.from({ length: 100 }, (_, i) => i + 1) } };
    const ways = (fast: FastPath) =>
      told(makeFastTable(fast)).filter((text) => /^new rule (?:offer|take|from-tunnel)$/.test(text));
    assert.deepEqual(ways(many), ways(gateway));
  });

  test('is given what it lacks alone', () => {
    const two = { ...one, devices: [...one.devices, 'veth3'], pods: [...one.pods, use('10.0.0.3')] };
    assert.deepEqual(told(addToFastTable(two, one)), ['new element pods4 070000000a000003', 'new other ']);
    assert.deepEqual(addToFastTable(one, one), []);
  });

  test('has as many interfaces as there are: a message holds 255', () => {
    const devices = Array.from({ length: 401 }, (_, i) => `veth${i}`);
    assert.equal(told(makeFastTable({ ...one, devices })).filter((text) => text === 'new other ').length, 3);
  });

  test('goes with one message', () => assert.deepEqual(told(deleteFastTable(one)), ['delete table ']));
});

describe('a notification', () => {
  test('of a new generation is the end of a transaction', () =>
    assert.equal(changesIn({ type: (10 << 8) | 15, flags: 0, body: Buffer.alloc(4) }), 'end'));
  test('of another part of netfilter is none of a ruleset', () =>
    assert.equal(changesIn({ type: (1 << 8) | 0, flags: 0, body: Buffer.alloc(4) }), undefined));
});
