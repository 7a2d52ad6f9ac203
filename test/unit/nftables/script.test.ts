import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printRule, printScript } from '../../../src/nftables/script.ts';
import { chains, counting, elements, sets } from './sample.ts';

describe('the script of a transaction', () => {
  test('is empty without operations', () => assert.equal(printScript([]), ''));

  test('has a line for a chain and for each of its rules', () => {
    assert.equal(
      printScript([{ verb: 'add', object: chains.exit }]),
      `add chain inet cni-egress exit-7
add rule inet cni-egress exit-7 counter meta mark set meta mark & 0xffffc007 | 0x00100007 comment "internet"
add rule inet cni-egress exit-7 counter drop
`,
    );
  });

  test('hooks a base chain in with its numbers, and lets pass what no rule decides', () => {
    assert.match(
      printScript([{ verb: 'add', object: chains.classify }]),
      /^add chain inet cni-egress classify \{ type filter hook prerouting priority -90; policy accept; \}\n/,
    );
  });

  test('hooks a chain in at a device, in the table of the family netdev', () => {
    assert.match(
      printScript([{ verb: 'add', object: counting.chain }]),
      /^add chain netdev cni-egress sent-lo \{ type filter hook egress device "lo" priority 0; policy accept; \}\nadd rule netdev /,
    );
  });

  test('names a set with a value a map, whatever is done with it', () => {
    assert.equal(
      printScript([
        { verb: 'add', object: sets.pods4 },
        { verb: 'flush', object: sets.pods4 },
        { verb: 'delete', object: sets.pods4 },
        { verb: 'delete', object: sets.lanes4 },
      ]),
      `add map inet cni-egress pods4 { type ipv4_addr : verdict; counter; }
flush map inet cni-egress pods4
delete map inet cni-egress pods4
delete set inet cni-egress lanes4
`,
    );
  });

  test('gives an interval set its merged ranges', () => {
    assert.equal(
      printScript([{ verb: 'add', object: sets.cluster4 }]),
      'add set inet cni-egress cluster4 { type ipv4_addr; flags interval; elements = { 10.0.0.0-10.1.0.255, 10.96.0.0/12, 192.0.2.7 }; }\n',
    );
  });

  test('gives an interval set without a range no elements', () => {
    assert.equal(
      printScript([{ verb: 'add', object: { ...sets.cluster4, intervals: [] } }]),
      'add set inet cni-egress cluster4 { type ipv4_addr; flags interval; }\n',
    );
  });

  test('reads an element by the types of its set, from the transaction or given beside it', () => {
    const { lane4, pod4, snat6, multicast } = elements;
    const known = [sets.lanes4, sets.pods4, sets.snat6];
    assert.equal(
      printScript(
        [
          { verb: 'add', object: sets.local },
          { verb: 'add', object: multicast },
          { verb: 'add', object: lane4 },
          { verb: 'add', object: pod4 },
          { verb: 'add', object: snat6 },
          { verb: 'delete', object: pod4 },
        ],
        known,
      ),
      `add set inet cni-egress local { type fib_addrtype; }
add element inet cni-egress local { multicast }
add element inet cni-egress lanes4 { 0x00000007 . "eth1" . 172.18.0.33 }
add element inet cni-egress pods4 { 10.0.0.174 comment "net/abc/eth0" : goto program-a }
add element inet cni-egress snat6 { 0x00000007 . "eth1" : fd00::33 }
delete element inet cni-egress pods4 { 10.0.0.174 }
`,
    );
  });

  test('shows the bytes of an element whose set is unknown', () => {
    assert.equal(
      printScript([{ verb: 'add', object: elements.snat4 }]),
      'add element inet cni-egress snat4 { 0x0700000065746831000000000000000000000000 : 0xac120021 }\n',
    );
  });

  test('shows an address type that has no name as a number', () => {
    const odd = { ...elements.local, key: '0b000000' };
    assert.match(printScript([{ verb: 'delete', object: odd }], [sets.local]), /local \{ 11 \}/);
  });
});

test('a rule is its statements in order, and its comment', () => {
  const statements = ['counter', 'drop'].map((text) => ({ text, expressions: [] }));
  assert.equal(printRule({ statements }), 'counter drop');
  assert.equal(printRule({ statements, comment: 'why' }), 'counter drop comment "why"');
});
