import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import type { Configuration } from '../../../src/config/configuration.ts';
import { bringDown, bringUp, planGateway } from '../../../src/gateway/gateway.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import {
  added,
  configuration,
  type FakeMachine,
  gatewayConfiguration,
  held,
  newNode,
  stateOf,
} from '../support/fake-machine.ts';
import { isPending } from '../support/pending.ts';

const isError = (code: ErrorCode, details: RegExp) => (error: unknown) => {
  assert.ok(error instanceof EgressError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, details);
  return true;
};

const first = '172.18.0.6';
const standby = '172.18.0.7';
const configured = gatewayConfiguration();

const planUp = (machine: FakeMachine, configuration: Configuration) => planGateway(machine, configuration, true);

const ownAddresses = ({ host }: FakeMachine) =>
  host.kernel
    .contents()
    .flatMap((object) =>
      object.kind === 'address' && object.device !== 'egress0' ? [`${object.device} ${object.address}`] : [],
    );

describe('a gateway that is brought up', () => {
  test('serves its exits, has their addresses and says so to the neighbours', async (t) => {
    const machine = newNode(t, first);
    const { node, changes } = await bringUp(machine, configured);
    const owned = [{ device: 'eth1', address: '192.0.2.50' }];
    assert.deepEqual(node?.gateway, { served: [50], owned, moving: ['192.0.2.50'], replies: [] });
    assert.deepEqual(node, machine.store.loadNode());
    assert.deepEqual(
      machine.host.kernel.servedElements().map(({ key, verdict }) => [key, verdict]),
      [['32000000', { code: 'goto', chain: 'exit-50' }]],
    );
    assert.deepEqual(ownAddresses(machine), ['eth1 192.0.2.50']);
    assert.deepEqual(machine.host.announced, [['eth1', ['192.0.2.50']]]);
    assert.ok(changes.length > 0);
  });

  test('announces only what is served already', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    assert.deepEqual(machine.host.calls, ['deleteFlowsTo 192.0.2.50', 'apply', 'announce 192.0.2.50']);
  });

  test('again changes nothing and tells nobody', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    const before = stateOf(machine);
    const { calls } = machine.host;
    calls.length = 0;
    assert.deepEqual((await bringUp(machine, configured)).changes, []);
    assert.deepEqual(stateOf(machine), before);
    assert.deepEqual(calls, []);
  });

  test('again changes nothing on a kernel that forgets whose addresses are', async (t) => {
    const machine = newNode(t, first);
    machine.host.kernel.outside.tellsWhoseAddresses = false;
    await bringUp(machine, configured);
    assert.deepEqual((await bringUp(machine, configured)).changes, []);
    assert.deepEqual(ownAddresses(machine), ['eth1 192.0.2.50']);
  });

  test('puts right what somebody took away', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    const before = stateOf(machine);
    machine.host.kernel.deleteTables();
    for (const object of machine.host.kernel.outside.list()) {
      if (object.kind === 'address' || object.kind === 'tunnel') machine.host.kernel.outside.takeDown(object);
    }
    await bringUp(machine, configured);
    assert.deepEqual(stateOf(machine), before);
  });

  test('leaves an address alone that an administrator put on the interface', async (t) => {
    const machine = newNode(t, first);
    machine.host.linkAddresses.set('eth1', [held('192.0.2.50')]);
    const { node } = await bringUp(machine, configured);
    assert.deepEqual(node?.gateway?.owned, []);
    assert.deepEqual([ownAddresses(machine), machine.host.announced], [[], []]);
  });

  test('puts an address on the interface that others hold elsewhere, and leaves it not deaf', async (t) => {
    const machine = newNode(t, first);
    machine.host.links.set('kube-ipvs0', { index: 77, name: 'kube-ipvs0', up: false, mtu: 1500, type: 'dummy' });
    machine.host.linkAddresses.set('kube-ipvs0', [held('192.0.2.50')]);
    const { node, changes } = await bringUp(machine, configured);
    assert.deepEqual(node?.gateway?.owned, [{ device: 'eth1', address: '192.0.2.50', shared: true }]);
    assert.deepEqual(ownAddresses(machine), ['eth1 192.0.2.50']);
    const deaf = changes.flatMap(({ object }) => (object.kind === 'set' && object.name === 'owned4' ? [object] : []));
    assert.deepEqual(deaf[0]?.intervals, []);
    assert.deepEqual(node.behind, [{ device: 'kube-ipvs0', address: '192.0.2.50' }]);
    await bringDown(machine, configured);
    assert.deepEqual([ownAddresses(machine), machine.store.loadNode()], [[], undefined]);
    assert.deepEqual(machine.host.kernel.outside.list(), []);
  });

  test('leaves an address where an administrator has it on an interface that the exit names', async (t) => {
    const machine = newNode(t, first);
    machine.host.links.set('lo', { index: 1, name: 'lo', up: true, mtu: 65536 });
    machine.host.linkAddresses.set('lo', [held('192.0.2.50')]);
    const exits = [
      {
        ...{ name: 'shared', id: 50, gateways: [first], interface: 'eth1', addresses: ['192.0.2.50'] },
        addressesOn: ['lo'],
      },
    ];
    const { node } = await bringUp(machine, gatewayConfiguration({ exits }));
    assert.deepEqual([node?.gateway?.owned, node?.behind, ownAddresses(machine)], [[], undefined, []]);
  });

  test('has the tunnel made anew with all that is on it when the port changes with nobody there', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    machine.host.kernel.deleteTables();
    const moved = gatewayConfiguration({ tunnel: { port: 4789 } });
    await bringUp(machine, moved);
    const fresh = newNode(t, first);
    await bringUp(fresh, moved);
    assert.deepEqual(stateOf(machine).kernel, stateOf(fresh).kernel);
  });

  test('sends answers through the tunnel to the nodes of the pods where that is the way', async (t) => {
    const machine = newNode(t, first);
    const { node } = await bringUp(machine, gatewayConfiguration({ tunnel: { replyPath: 'tunnel' } }));
    assert.deepEqual(node?.gateway?.replies, [
      { destination: '10.0.0.0/24', node: '172.18.0.5' },
      { destination: '10.0.2.0/24', node: '172.18.0.7' },
    ]);
    assert.deepEqual(node?.tunnel?.peers, ['172.18.0.7', '172.18.0.5']);
  });

  test('has no ways of answers any more when they go directly from now on', async (t) => {
    const [machine, fresh] = [newNode(t, first), newNode(t, first)];
    await bringUp(machine, gatewayConfiguration({ tunnel: { replyPath: 'tunnel' } }));
    await bringUp(machine, configured);
    await bringUp(fresh, configured);
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('keeps no rules of a family that no answer is of any more', async (t) => {
    const nodes = (podCIDRs: string[]) => ({
      nodes: [...[first, standby].map((address) => ({ address })), { address: '172.18.0.5', podCIDRs }],
      tunnel: { replyPath: 'tunnel' as const },
    });
    const [machine, fresh] = [newNode(t, first), newNode(t, first)];
    await bringUp(machine, gatewayConfiguration(nodes(['10.0.0.0/24', 'fd00::/64'])));
    await bringUp(machine, gatewayConfiguration(nodes(['10.0.0.0/24'])));
    await bringUp(fresh, gatewayConfiguration(nodes(['10.0.0.0/24'])));
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('stops to serve an exit that the configuration does not have any more', async (t) => {
    const exits = [
      { name: 'shared', id: 50, gateways: [first], interface: 'eth1', addresses: ['192.0.2.50'] },
      { name: 'other', id: 51, gateways: [first], interface: 'eth2', addresses: ['192.0.2.51'] },
    ];
    const [machine, fresh] = [newNode(t, first), newNode(t, first)];
    await bringUp(machine, gatewayConfiguration({ exits }));
    assert.deepEqual(ownAddresses(machine), ['eth1 192.0.2.50', 'eth2 192.0.2.51']);
    await bringUp(machine, gatewayConfiguration({ exits: exits.slice(0, 1) }));
    await bringUp(fresh, gatewayConfiguration({ exits: exits.slice(0, 1) }));
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('has the new address of an exit, and not the old one', async (t) => {
    const exits = (address: string) => [
      { name: 'shared', id: 50, gateways: [first], interface: 'eth1', addresses: [address] },
    ];
    const [machine, fresh] = [newNode(t, first), newNode(t, first)];
    await bringUp(machine, gatewayConfiguration({ exits: exits('192.0.2.50') }));
    await bringUp(machine, gatewayConfiguration({ exits: exits('192.0.2.60') }));
    await bringUp(fresh, gatewayConfiguration({ exits: exits('192.0.2.60') }));
    assert.deepEqual(stateOf(machine), stateOf(fresh));
    assert.deepEqual(machine.host.announced.at(-1), ['eth1', ['192.0.2.60']]);
  });

  test('serves what it can, and says why it cannot serve the others', async (t) => {
    const exits = [
      { name: 'broken', id: 51, gateways: [first], interface: 'eth99', addresses: ['192.0.2.51'] },
      { name: 'shared', id: 50, gateways: [first], interface: 'eth1', addresses: ['192.0.2.50'] },
    ];
    const machine = newNode(t, first);
    const { node, failures } = await bringUp(machine, gatewayConfiguration({ exits }));
    assert.deepEqual(node?.gateway?.served, [50]);
    assert.deepEqual(
      failures.map(({ code, message }) => [code, message]),
      [['exit-interface', 'Exit "broken" leaves by interface "eth99", which does not exist on this node']],
    );
    assert.deepEqual((await bringUp(newNode(t, first), configured)).failures, []);
  });

  test('leaves the pods of its own as they are, whatever exit they use', async (t) => {
    const machine = newNode(t, first);
    const attachment = await added(machine, 'a', '10.0.1.5', { configuration: configured });
    await bringUp(machine, configured);
    await check(machine, attachment, () => true);
    assert.deepEqual(
      machine.host.kernel.podElements().map(({ set }) => set),
      ['answered4', 'checked4', 'ends4', 'steered4', 'programs4', 'pods4'],
    );
  });

  test('plans what it then does, and a plan changes nothing', async (t) => {
    const machine = newNode(t, first);
    const before = stateOf(machine);
    const plan = await planUp(machine, configured);
    assert.match(plan, /^ip link add egress0 /);
    assert.match(plan, /add element inet cni-egress served \{ 0x00000032 : goto exit-50 \}/);
    assert.deepEqual(stateOf(machine), before);
    await bringUp(machine, configured);
    assert.equal(await planUp(machine, configured), '');
  });
});

describe('a node that is not the gateway of any exit', () => {
  test('serves nothing and takes no address as a standby', async (t) => {
    const machine = newNode(t, standby);
    const { node } = await bringUp(machine, configured);
    assert.equal(node?.gateway, undefined);
    assert.deepEqual([ownAddresses(machine), machine.host.kernel.servedElements()], [[], []]);
    assert.deepEqual(machine.host.announced, []);
  });

  test('leaves nothing behind as a standby without pods', async (t) => {
    const machine = newNode(t, standby);
    const before = stateOf(machine);
    assert.equal((await bringUp(machine, configured)).node, undefined);
    assert.deepEqual(stateOf(machine), before);
  });

  test('is refused with its address when no exit names it', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    const before = stateOf(machine);
    for (const call of [bringUp, planUp]) {
      await assert.rejects(call(machine, configured), isError('unknown-exit', /names this node, 172\.18\.0\.5,/));
    }
    assert.deepEqual(stateOf(machine), before);
  });

  test('is refused when no exit has gateways', async (t) => {
    await assert.rejects(bringUp(newNode(t, first), configuration()), isError('unknown-exit', /No exit has gateways/));
  });
});

describe('a gateway that is brought down', () => {
  test('leaves nothing when it has no pods', async (t) => {
    const machine = newNode(t, first);
    const before = stateOf(machine);
    await bringUp(machine, configured);
    const { node } = await bringDown(machine, configured);
    assert.equal(node, undefined);
    assert.deepEqual(stateOf(machine), before);
  });

  test('leaves nothing on a kernel that forgets whose addresses are', async (t) => {
    const machine = newNode(t, first);
    machine.host.kernel.outside.tellsWhoseAddresses = false;
    const before = stateOf(machine);
    await bringUp(machine, configured);
    await bringDown(machine, configured);
    assert.deepEqual(stateOf(machine), before);
  });

  test('gives up its addresses, but keeps the exit of pods of its own', async (t) => {
    const machine = newNode(t, first);
    const attachment = await added(machine, 'a', '10.0.1.5', { configuration: configured });
    const before = stateOf(machine);
    await bringUp(machine, configured);
    const { node } = await bringDown(machine, configured);
    assert.deepEqual(ownAddresses(machine), []);
    assert.equal(node?.gateway, undefined);
    assert.deepEqual(
      node?.exits.map(({ name }) => name),
      ['shared'],
    );
    const lost = {
      message:
        /^exit "shared" drops what is to leave with 192\.0\.2\.50: 192\.0\.2\.50 is not an address of this node: [^;]*$/,
    };
    await assert.rejects(
      check(machine, attachment, () => true),
      lost,
    );
    assert.deepEqual(stateOf(machine).kernel, before.kernel);
  });

  test('leaves an address that an administrator put there', async (t) => {
    const machine = newNode(t, first);
    machine.host.linkAddresses.set('eth1', [held('192.0.2.50')]);
    await bringUp(machine, configured);
    await bringDown(machine, configured);
    assert.ok((await machine.host.listAllAddresses()).some(({ address }) => address === '192.0.2.50'));
  });

  test('twice is no error', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    await bringDown(machine, configured);
    assert.deepEqual((await bringDown(machine, configured)).node, undefined);
  });

  test('is taken down wholly by the last pod that goes after it', async (t) => {
    const machine = newNode(t, first);
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.1.5', { configuration: configured });
    await bringUp(machine, configured);
    await bringDown(machine, configured);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('goes on serving when a pod of its own goes', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.1.5', { configuration: configured });
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });
});

test('a gateway takes the store’s lock, and gives it back', async (t) => {
  const machine = newNode(t, first);
  const lock = await machine.store.lock();
  const calls = [bringUp, bringDown].map((call) => call(machine, configured));
  for (const call of calls) assert.ok(await isPending(call));
  lock[Symbol.dispose]();
  await Promise.all(calls);
  (await machine.store.lock())[Symbol.dispose]();
});
