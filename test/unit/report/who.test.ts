import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { parseSeen, printOwner } from '../../../src/cli/who.ts';
import type { Flow } from '../../../src/datapath/host.ts';
import { isKnown, type Owner, whoHas } from '../../../src/report/who.ts';
import { added, gatewayConfiguration, held, newNode } from '../support/fake-machine.ts';

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
          'invalid-argument',
          `Expected an address and a port like 192.0.2.50:40000 or [2001:db8::50]:40000, got "${text}"`,
        ),
      );
    });
  }
});

/** With 1024 ports for each pod: at 192.0.2.50 by the gateway exit `shared` of three nodes, at 172.19.0.5 by `backup`. */
const ported = gatewayConfiguration({
  exits: [
    { name: 'shared', id: 50, gateways: ['172.18.0.6'], addresses: ['192.0.2.50'], portsPerPod: 1024 },
    { name: 'backup', interface: 'eth2', addresses: ['172.19.0.5'], portsPerPod: 1024 },
  ],
  policies: [
    { name: 'shared', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'shared' },
    { name: 'backup', namespaces: ['default'], exit: 'backup' },
  ],
});

describe('whose an address and a port are', () => {
  /** The second node of three. */
  async function machineWithPods(t: TestContext) {
    const machine = newNode(t, '172.18.0.6');
    machine.host.linkAddresses.set('eth2', [held('172.19.0.5')]);
    machine.host.defaultRoutes.set(4, { device: machine.host.links.get('eth0') ?? assert.fail() });
    for (const [i, name] of ['a', 'b'].entries())
      await added(machine, name, `10.0.0.${5 + i}`, { configuration: ported });
    return machine;
  }
  const at = (address: string, port: number) => ({ address, port });
  const namesOf = ({ pods }: Owner) => pods.map(({ pod, ports }) => `${pod.name} ${ports.exit}`);

  test('the pod’s that has the block, first and last port included, at the address of that exit alone', async (t) => {
    const machine = await machineWithPods(t);
    const first = 1024 * 22;
    for (const [seen, names] of [
      [at('192.0.2.50', first), ['pod-a shared']],
      [at('192.0.2.50', first + 1023), ['pod-a shared']],
      [at('192.0.2.50', first + 1024), ['pod-b shared']],
      [at('172.19.0.5', 1024), ['pod-a backup']],
      [at('172.19.0.5', 2048), ['pod-b backup']],
      [at('172.19.0.5', first), []],
      [at('198.51.100.1', 1024), []],
    ] as const) {
      const owner = await whoHas(machine, ported, seen);
      assert.deepEqual([namesOf(owner), owner.node], [names, undefined], JSON.stringify(seen));
    }
  });

  test('another node’s, as its place in the list tells', async (t) => {
    const machine = await machineWithPods(t);
    const { pods, node } = await whoHas(machine, ported, at('192.0.2.50', 1024));
    assert.deepEqual([pods, node], [[], { address: '172.18.0.5', exit: 'shared' }]);
    assert.equal((await whoHas(machine, ported, at('192.0.2.50', 1023))).node, undefined);
  });

  test('nobody’s while no pod of this node has it: to ask here again would help nobody', async (t) => {
    const owner = await whoHas(await machineWithPods(t), ported, at('192.0.2.50', 1024 * 24));
    assert.deepEqual([owner.pods, owner.node], [[], undefined]);
    assert.ok(!isKnown(owner));
  });

  test('of pods here also without a policy file, while those of other nodes are not known then', async (t) => {
    const machine = await machineWithPods(t);
    const unknown = { unknown: 'there is no policy file' };
    assert.deepEqual(namesOf(await whoHas(machine, unknown, at('172.19.0.5', 1024))), ['pod-a backup']);
    assert.ok(!isKnown(await whoHas(machine, unknown, at('192.0.2.50', 1024))));
  });

  test('and which connections leave with them now, pings left out', async (t) => {
    const machine = await machineWithPods(t);
    const flow: Flow = {
      ...{ family: 4, protocol: 17, source: '10.0.1.9', sourcePort: 5060, destination: '203.0.113.9' },
      ...{ destinationPort: 5061, replySource: '203.0.113.9', replySourcePort: 5061, replyDestination: '192.0.2.50' },
      replyDestinationPort: 1030,
    };
    const { sourcePort: _, destinationPort: __, replySourcePort: ___, replyDestinationPort: ____, ...ping } = flow;
    machine.host.flows.push(flow, { ...flow, replyDestinationPort: 1031 }, { ...ping, protocol: 1 });
    const { family: _family, replySource, replySourcePort, replyDestination, replyDestinationPort, ...expected } = flow;
    assert.deepEqual((await whoHas(machine, ported, at('192.0.2.50', 1030))).connections, [expected]);
  });
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
    const shared = { ...seen, sharing: 'internet' };
    assert.match(
      printOwner(shared),
      /^Nobody on this node has 192\.0\.2\.50:1100 now\. Pods of exit "internet" share all ports: /,
    );
    assert.ok(!isKnown(shared));
  });
});
