import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { describe as inWords } from '../../../src/datapath/describe.ts';
import { difference } from '../../../src/datapath/difference.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { desiredWayBack, isSpareWayBack, tunnelWayBack } from '../../../src/datapath/way-back.ts';
import { partners, remote } from './samples.ts';

const numbers = { fwmark: 0x40000000, routeTable: 500000, rulePriority: 700 };
const gateway = { served: [7], owned: [] };

describe('the way back of answers on a node without a default route', () => {
  test('is a mark without our bit, the parameter that has the filter look at it, and a rule behind all routes', () => {
    const [parameter, rule, chain] = desiredWayBack(numbers, partners);
    assert.deepEqual(parameter, { kind: 'sysctl', name: 'net/ipv4/conf/eth1/src_valid_mark', value: '1' });
    const fwmark = { value: 7, mask: 0x40003fff };
    assert.deepEqual(rule, { kind: 'rule', family: 4, priority: 33000, action: { lookup: 500007 }, fwmark });
    assert.ok(chain?.kind === 'chain');
    const words = chain.rules.map(({ statements }) => statements.map(({ text }) => text).join(' '));
    assert.match(words.join(), /^iifname "eth1" meta nfproto ipv4 ct direction reply ct status snat .* \| 0x00000007$/);
  });

  test('is not for IPv6, nor for what leaves from another node', () => {
    const six: ResolvedExit = { ...partners, ways: partners.ways.filter(({ family }) => family === 6) };
    assert.deepEqual([desiredWayBack(numbers, six), desiredWayBack(numbers, remote)], [[], []]);
  });

  test('of a gateway that answers through the tunnel is for IPv4 alone as well', () => {
    const to = (destination: string) =>
      tunnelWayBack(numbers, { ...gateway, replies: [{ destination, node: '172.18.0.6' }] }).map(({ kind }) => kind);
    assert.deepEqual([to('10.0.1.0/24'), to('fd00:10::/64')], [['sysctl', 'route'], []]);
  });

  test('is no fault where it is needed no more, and one where it is missing', () => {
    const all = desiredWayBack(numbers, partners).filter(({ kind }) => kind !== 'sysctl');
    assert.ok(difference([], all).every(isSpareWayBack));
    assert.deepEqual(difference([], all).flatMap(inWords), []);
    assert.equal(difference(all, []).flatMap(inWords).length, all.length);
  });
});
