import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addToFastTable, deleteFastTable, makeFastTable } from '../../../src/kernel/nftables/fast-table.ts';
import { changesIn } from '../../../src/kernel/nftables/ruleset-changes.ts';

const one = { fwmark: 0x40000000, devices: ['eth1', 'veth2'], pods: ['10.0.0.2', 'fd00:10::2'] };

/** The kernel tells of a change with the message that made it, in the end. */
const told = (requests: ReturnType<typeof makeFastTable>) =>
  requests.map((request) => {
    const change = changesIn(request);
    assert.ok(change !== undefined && change !== 'end');
    assert.deepEqual([change.table, change.family], ['cni-egress-fast', 'inet']);
    const { verb, kind, name, isBase, keys } = change;
    return [verb, kind, name, ...(isBase ? ['base'] : []), ...(keys ?? [])].join(' ');
  });

describe('the table of the fast path', () => {
  test('is made as a whole: its chains behind the sets and the flowtable that they look into', () => {
    assert.deepEqual(told(makeFastTable(one)), [
      'new table ',
      'new set pods4',
      'new set pods6',
      'new element pods4 0a000002',
      'new element pods6 fd000010000000000000000000000002',
      'new other ',
      'new chain offer base',
      'new rule offer',
      'new rule offer',
      'new chain hand-over',
      'new rule hand-over',
      'new rule hand-over',
      'new rule hand-over',
      'new chain take base',
      'new rule take',
      'new rule take',
    ]);
  });

  test('is given what it lacks alone', () => {
    const two = { ...one, devices: [...one.devices, 'veth3'], pods: [...one.pods, '10.0.0.3'] };
    assert.deepEqual(told(addToFastTable(two, one)), ['new element pods4 0a000003', 'new other ']);
    assert.deepEqual(addToFastTable(one, one), []);
  });

  test('has as many interfaces as there are: a message holds 255', () => {
    const devices = Array.from({ length: 401 }, (_, i) => `veth${i}`);
    assert.equal(told(makeFastTable({ ...one, devices })).filter((text) => text === 'new other ').length, 3);
  });

  test('goes with one message', () => assert.deepEqual(told([deleteFastTable()]), ['delete table ']));
});

describe('a notification', () => {
  test('of a new generation is the end of a transaction', () =>
    assert.equal(changesIn({ type: (10 << 8) | 15, flags: 0, body: Buffer.alloc(4) }), 'end'));
  test('of another part of netfilter is none of a ruleset', () =>
    assert.equal(changesIn({ type: (1 << 8) | 0, flags: 0, body: Buffer.alloc(4) }), undefined));
});
