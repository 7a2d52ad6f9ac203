import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { isKnown, type Owner, parseSeen, printOwner } from '../../../src/cli/who.ts';

describe('what is seen outside', () => {
  for (const [text, seen] of [
    ['192.0.2.50:40000', { address: '192.0.2.50', port: 40000 }],
    ['[2001:DB8::0:50]:1', { address: '2001:db8::50', port: 1 }],
  ] as const) {
    test(`${text} is an address and a port`, () => assert.deepEqual(parseSeen(text), seen));
  }

  for (const text of [
    '192.0.2.50',
    '192.0.2.50:0',
    '192.0.2.50:65536',
    '2001:db8::50:1',
    'web:80',
    '[192.0.2.50:80',
    '',
  ]) {
    test(`"${text}" is none, and the error tells what is`, () => {
      assert.throws(
        () => parseSeen(text),
        new EgressError(
          'unknown-pod',
          `Expected an address and a port like 192.0.2.50:40000 or [2001:db8::50]:40000, got "${text}"`,
        ),
      );
    });
  }
});

const seen = { address: '192.0.2.50', port: 1100, pods: [], connections: [] } satisfies Owner;
const pod = {
  ...{ network: 'net', containerId: '0123456789abcdef', ifname: 'eth0' },
  pod: { namespace: 'default', name: 'web' },
  addresses: ['10.0.0.174', 'fd00::ae'],
  ports: { exit: 'internet', first: 1024, last: 2047 },
};

describe('the answer', () => {
  test('names the pod, its addresses and all its ports', () => {
    const owner = { ...seen, pods: [pod] };
    assert.equal(
      printOwner(owner),
      '192.0.2.50:1100 is default/web (10.0.0.174, fd00::ae): it has the ports 1024 to 2047 of exit "internet".\n',
    );
    assert.ok(isKnown(owner));
  });

  test('names a container of a runtime that knows no pods by its ID', () => {
    assert.match(printOwner({ ...seen, pods: [{ ...pod, pod: {} }] }), /is 0123456789abc \(/);
  });

  test('names the node to ask, and the connections that there are', () => {
    const connection = {
      protocol: 6,
      source: '10.0.2.5',
      sourcePort: 40000,
      destination: '203.0.113.9',
      destinationPort: 443,
    };
    const node = { address: '172.18.0.5', exit: 'internet' };
    const owner = { ...seen, address: '2001:db8::50', node, connections: [connection] };
    assert.equal(
      printOwner(owner),
      '[2001:db8::50]:1100 belongs to a pod on node 172.18.0.5, by exit "internet": ask there.\n' +
        'A connection from 10.0.2.5 port 40000 to 203.0.113.9 port 443 leaves with it now.\n',
    );
    assert.ok(isKnown(owner));
  });

  test('says that nothing is known', () => {
    assert.equal(printOwner(seen), 'Nobody on this node has 192.0.2.50:1100.\n');
    assert.ok(!isKnown(seen));
  });
});
