import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaults } from '../../../src/config/defaults.ts';
import type { Flow } from '../../../src/datapath/host.ts';
import { tunnelMac } from '../../../src/datapath/tunnel.ts';
import { bringDown, bringUp } from '../../../src/gateway/gateway.ts';
import { moveExit } from '../../../src/gateway/move.ts';
import { added, type FakeMachine, gatewayConfiguration, held, newNode, policyTo } from '../support/fake-machine.ts';

const [podsNode, first, second] = ['172.18.0.5', '172.18.0.6', '172.18.0.7'];
const configured = gatewayConfiguration();
const toSecond = { exit: 'shared', to: second };
const address = '10.0.0.5';
/** Through the node's own stack: the exit's id, and the bit that says "ours". */
const steered = Number(defaults.fwmark) | 50;

/** An established connection of the pod to a destination of the exit, but for the changes. */
const flow = (changes: Partial<Flow> = {}): Flow => ({
  ...{ family: 4, protocol: 6, source: address, sourcePort: 40000 },
  ...{ destination: '203.0.113.9', destinationPort: 443 },
  ...{ replySource: '203.0.113.9', replySourcePort: 443, replyDestination: address },
  established: true,
  ...changes,
});

const to = (destination: string) => flow({ destination, replySource: destination });

const pod = (machine: FakeMachine, policy = configured) => added(machine, 'a', address, { configuration: policy });

/** Forgets what was written down of the host until now. */
function fromNow({ host }: FakeMachine): void {
  for (const list of [host.calls, host.forgottenFlows, host.forgottenFlowsTo, host.pickedFlows, host.primed]) {
    list.length = 0;
  }
}

describe('when an exit moves from one gateway to another, a node with pods of it', () => {
  test('tells the new gateway of their established connections, after the route leads there', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const own = flow();
    machine.host.flows.push(own);
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    const ends = { sourceMac: tunnelMac(podsNode), destinationMac: tunnelMac(second) };
    assert.deepEqual(machine.host.primed, [{ mark: 50, hops: 2, ends, flows: [own] }]);
    assert.deepEqual(machine.host.calls, ['apply', 'primeFlows 50']);
  });

  test('does not tell of connections that are not established, or that the program sends elsewhere', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const { established: _, ...opening } = flow();
    machine.host.flows.push(opening, to('198.51.100.1'));
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.primed, []);
  });

  test('goes by the destination behind a Service, not by the Service’s address', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const behindService = flow({ destination: '10.96.0.9' });
    const away = flow({ replySource: '10.0.2.9' });
    machine.host.flows.push(behindService, away);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(
      machine.host.primed.flatMap(({ flows }) => flows),
      [behindService],
    );
  });

  test('goes by the protocol and the port behind a Service, when the policy has ports', async (t) => {
    const ports = ['tcp:443', 'udp:5060'];
    const policies = [
      { name: 'tls', namespaces: ['default'], destinations: ['203.0.113.0/24'], ports, exit: 'shared' },
    ];
    const web = gatewayConfiguration({ policies });
    const machine = newNode(t, podsNode);
    await pod(machine, web);
    const own = flow();
    const behindService = flow({ destination: '10.96.0.9', destinationPort: 80 });
    const otherBehindService = flow({ destination: '10.96.0.9', destinationPort: 443, replySourcePort: 8443 });
    const others = [flow({ destinationPort: 80, replySourcePort: 80 }), flow({ protocol: 17 })];
    machine.host.flows.push(own, ...others, behindService, otherBehindService);
    await moveExit(machine, web, toSecond);
    assert.deepEqual(
      machine.host.primed.flatMap(({ flows }) => flows),
      [own, behindService],
    );
  });

  test('leaves connections in the cluster and to the node alone, whatever the policy’s destinations', async (t) => {
    const everywhere = [{ name: 'all', namespaces: ['default'], destinations: ['0.0.0.0/0'], exit: 'shared' }];
    const all = gatewayConfiguration({ clusterCIDRs: ['10.96.0.0/12'], policies: everywhere });
    const machine = newNode(t, podsNode);
    const podNetwork = { addresses: [address], subnets: ['10.77.0.0/24'], hostInterfaces: ['veth1'] };
    await added(machine, 'a', address, { configuration: all, podNetwork });
    machine.host.linkAddresses.set('eth1', [held('198.18.0.9')]);
    const outside = flow();
    machine.host.flows.push(...['10.96.0.9', '10.77.0.9', '198.18.0.9'].map(to), outside);
    await moveExit(machine, all, toSecond);
    assert.deepEqual(
      machine.host.primed.flatMap(({ flows }) => flows),
      [outside],
    );
  });

  test('leaves pods of other exits alone', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const other = gatewayConfiguration({ policies: [] });
    await added(machine, 'b', '10.0.0.6', {
      configuration: { ...other, policies: policyTo('partners').policies },
    });
    machine.host.flows.push(flow({ source: '10.0.0.6', replyDestination: '10.0.0.6' }));
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.primed, []);
  });

  test('forgets no connection: inside the tunnel none is translated', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    machine.host.flows.push(flow());
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    const { forgottenFlows, forgottenFlowsTo, pickedFlows } = machine.host;
    assert.deepEqual([forgottenFlows, forgottenFlowsTo, pickedFlows], [[], [], []]);
  });
});

describe('the gateway that an exit moves to', () => {
  test('forgets what was answered to the exit’s addresses while they were elsewhere', async (t) => {
    const machine = newNode(t, second);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.forgottenFlowsTo, ['192.0.2.50']);
  });

  test('forgets the connections of its own pods that went through the tunnel, those of the exit alone', async (t) => {
    const machine = newNode(t, second);
    await pod(machine);
    const { established: _, ...opening } = flow({ sourcePort: 40001 });
    const begunOutside = flow({ source: '203.0.113.9', destination: address, replySource: address });
    machine.host.flows.push(flow(), opening, to('198.51.100.1'), begunOutside);
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.pickedFlows, [flow(), opening]);
    assert.deepEqual(machine.host.forgottenFlows, []);
  });

  test('makes them known again, for one hop, before it announces the address', async (t) => {
    const machine = newNode(t, second);
    await pod(machine);
    const { established: _, ...opening } = flow({ sourcePort: 40001 });
    machine.host.flows.push(flow(), opening, to('198.51.100.1'));
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.primed, [{ mark: steered, hops: 1, flows: [flow()] }]);
    assert.deepEqual(machine.host.calls.slice(-6), [
      'deleteFlowsTo 192.0.2.50', // before the address is here: what is made known from then on stays
      'apply',
      'apply', // the route to the old gateway goes
      `deleteFlows ${address}`,
      `primeFlows ${steered}`,
      'announce 192.0.2.50',
    ]);
  });
});

// cni-egress 0.1.0 looked through the kernel's table twice for each pod: with 250 pods the exit was not served for ten seconds.
test('a gateway with many pods looks again only for connections of those that have some by the exit', async (t) => {
  const machine = newNode(t, second);
  for (let i = 1; i <= 40; i++) {
    const name = `veth-pod-${i}`;
    machine.host.links.set(name, { index: 1_000 + i, name, up: true, mtu: 1500, type: 'veth' });
    await added(machine, `pod-${i}`, `10.0.0.${i}`, { configuration: configured });
  }
  const own = [3, 30].map((i) => flow({ source: `10.0.0.${i}`, replyDestination: `10.0.0.${i}` }));
  machine.host.flows.push(...own, { ...to('198.51.100.1'), source: '10.0.0.7', replyDestination: '10.0.0.7' });
  fromNow(machine);
  await moveExit(machine, configured, toSecond);
  const looks = machine.host.calls.filter((call) => call.startsWith('deleteFlows '));
  assert.deepEqual(looks.toSorted(), ['deleteFlows 10.0.0.3', 'deleteFlows 10.0.0.30']);
  assert.deepEqual(new Set(machine.host.pickedFlows), new Set(own));
  assert.equal(machine.host.primed.flatMap(({ flows }) => flows).length, 2);
});

/** A port that the pod did not send from: it has those of its block. */
const translated = { sourcePort: 40000, replyDestinationPort: 1030 };

describe('connections whose port was translated keep it, and only those are made known with it,', () => {
  for (const [where, node, before, source] of [
    ['at the gateway that the exit moves to, with the exit’s address', second, address, '192.0.2.50'],
    ['at the gateway that it leaves, with the pod’s', first, '192.0.2.50', address],
  ] as const) {
    test(where, async (t) => {
      const machine = newNode(t, node);
      if (node === first) await bringUp(machine, configured);
      await pod(machine);
      const own = flow({ ...translated, replyDestination: before });
      const kept = flow({ sourcePort: 1031, replyDestinationPort: 1031, replyDestination: before });
      const { established: _, ...opening } = flow({ ...translated, destinationPort: 80, replyDestination: before });
      machine.host.flows.push(own, kept, opening);
      fromNow(machine);
      await moveExit(machine, configured, toSecond);
      assert.deepEqual(
        machine.host.calls.filter((call) => /^(restore|prime|deleteFlows )/.test(call)),
        [`restoreFlows ${source}:1030`, `deleteFlows ${address}`, `primeFlows ${steered}`],
      );
      assert.deepEqual(
        [...machine.host.pickedFlows],
        [kept, opening],
        'what is replaced is not forgotten before or after',
      );
    });
  }

  test('but not from one gateway to another, where conntrack goes on with what it knows', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    machine.host.flows.push(flow(translated));
    await moveExit(machine, configured, toSecond);
    assert.ok(machine.host.primed.length > 0);
    assert.deepEqual(
      machine.host.calls.filter((call) => call.startsWith('restoreFlows')),
      [],
    );
  });
});

describe('the gateway that an exit leaves', () => {
  test('forgets the connections that have the exit’s addresses, after it gave them up', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    await pod(machine);
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.forgottenFlowsTo, ['192.0.2.50']);
    const last = machine.host.calls.lastIndexOf('apply');
    assert.ok(last >= 0 && last < machine.host.calls.indexOf('deleteFlowsTo 192.0.2.50'), String(machine.host.calls));
  });

  test('makes the connections of its own pods known anew, here and at the new gateway', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    await pod(machine);
    const own = flow({ replyDestination: '192.0.2.50' });
    machine.host.flows.push(own);
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.pickedFlows, [own]);
    assert.deepEqual(machine.host.primed, [{ mark: steered, hops: 2, flows: [own] }]);
    assert.ok(
      machine.host.calls.indexOf(`deleteFlows ${address}`) < machine.host.calls.indexOf(`primeFlows ${steered}`),
    );
  });

  test('forgets too what conntrack took for connections from the other end to its pods', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    await pod(machine);
    const own = flow({ replyDestination: '192.0.2.50' });
    const answer = { source: '203.0.113.9', sourcePort: 443, destination: address, destinationPort: 40000 };
    const reversed = flow({
      ...answer,
      ...{ replySource: address, replySourcePort: 40000, replyDestination: '203.0.113.9' },
    });
    const begunOutside = { ...reversed, sourcePort: 50000 };
    machine.host.flows.push(reversed, own, begunOutside);
    fromNow(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.host.pickedFlows, [reversed, own]);
  });
});

describe('a gateway that comes and goes without a move', () => {
  test('forgets what was answered to an address that it takes', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    assert.deepEqual(machine.host.forgottenFlowsTo, ['192.0.2.50']);
  });

  test('forgets nothing when it is there already', async (t) => {
    const machine = newNode(t, first);
    await pod(machine);
    await bringUp(machine, configured);
    fromNow(machine);
    await bringUp(machine, configured);
    assert.deepEqual(machine.host.calls, []);
  });

  test('forgets nothing of its own pods when it goes: their exit stays', async (t) => {
    const machine = newNode(t, first);
    await pod(machine);
    await bringUp(machine, configured);
    machine.host.flows.push(flow({ replyDestination: '192.0.2.50' }));
    fromNow(machine);
    await bringDown(machine, configured);
    const { forgottenFlows, forgottenFlowsTo, pickedFlows, primed } = machine.host;
    assert.deepEqual([forgottenFlows, forgottenFlowsTo, pickedFlows, primed], [[], [], [], []]);
  });
});

test('a gateway that begins to serve forgets what pods elsewhere sent from it with another address, and nothing else', async (t) => {
  const machine = newNode(t, first);
  const { host } = machine;
  host.defaultRoutes.set(4, { device: { index: 20, name: 'eth0', up: true, mtu: 1500 }, via: '172.18.0.254' });
  const pod = { source: '10.0.0.9', protocol: 17 };
  const masqueraded = flow({ ...pod, replyDestination: first });
  const bare = flow({ ...pod, sourcePort: 40001, replyDestination: pod.source });
  const right = flow({ ...pod, sourcePort: 40002, replyDestination: '192.0.2.50' });
  const inside = flow({ ...pod, sourcePort: 40003, replySource: '172.18.0.5', replyDestination: pod.source });
  const stranger = flow({ source: '198.51.100.7', replyDestination: first });
  host.flows.push(masqueraded, bare, right, inside, stranger);
  await bringUp(machine, gatewayConfiguration({ clusterCIDRs: ['10.0.0.0/16'] }));
  assert.deepEqual(host.pickedFlows, [masqueraded, bare]);
  host.flows.push(masqueraded);
  fromNow(machine);
  await bringUp(machine, gatewayConfiguration({ clusterCIDRs: ['10.0.0.0/16'] }));
  assert.deepEqual(host.pickedFlows, []);
});
