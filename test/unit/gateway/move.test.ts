import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { bringDown, bringUp } from '../../../src/gateway/gateway.ts';
import { followGateways, moveExit, planMove } from '../../../src/gateway/move.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { added, type FakeMachine, gatewayConfiguration, newNode, stateOf } from '../support/fake-machine.ts';

const [podsNode, first, second] = ['172.18.0.5', '172.18.0.6', '172.18.0.7'];
const configured = gatewayConfiguration();
const toSecond = { exit: 'shared', to: second };
const toFirst = { exit: 'shared', to: first };

const pod = (machine: FakeMachine, name = 'a', address = '10.0.0.5') =>
  added(machine, name, address, { configuration: configured });

/** Where the exit’s default route leads. */
const wayOf = ({ host }: FakeMachine) =>
  host.kernel
    .contents()
    .flatMap((object) =>
      object.kind === 'route' && object.type === 'unicast' ? [`${object.via ?? 'on link'} ${object.device}`] : [],
    );

const ownAddresses = ({ host }: FakeMachine) =>
  host.kernel
    .contents()
    .flatMap((object) => (object.kind === 'address' && object.device !== 'egress0' ? [object.address] : []));

describe('a move, on a node with pods of the exit,', () => {
  test('changes one route, and nothing else in the kernel', async (t) => {
    const machine = newNode(t, podsNode);
    const attachment = await pod(machine);
    assert.deepEqual(wayOf(machine), [`${first} egress0`]);
    const { changes, node } = await moveExit(machine, configured, toSecond);
    assert.deepEqual(
      changes.map(({ verb, object }) => [verb, object.kind]),
      [['replace', 'route']],
    );
    assert.deepEqual(wayOf(machine), [`${second} egress0`]);
    assert.equal(node?.exits[0]?.gateway, second);
    assert.deepEqual([ownAddresses(machine), machine.host.announced], [[], []]);
    await check(machine, attachment, () => true);
  });

  test('back leaves what was there before', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const before = stateOf(machine);
    await moveExit(machine, configured, toSecond);
    assert.notDeepEqual(stateOf(machine), before);
    await moveExit(machine, configured, toFirst);
    assert.deepEqual(stateOf(machine), before);
  });

  test('is followed by pods that start later, and by no other exit', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    await moveExit(machine, configured, toSecond);
    await pod(machine, 'b', '10.0.0.6');
    assert.deepEqual(wayOf(machine), [`${second} egress0`]);
  });

  test('that is repeated changes nothing', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    await moveExit(machine, configured, toSecond);
    const before = stateOf(machine);
    assert.deepEqual((await moveExit(machine, configured, toSecond)).changes, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('plans what it then does, and a plan remembers nothing', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const before = stateOf(machine);
    assert.equal(
      await planMove(machine, configured, toSecond),
      `ip route replace default via ${second} dev egress0 onlink table 500050 metric 1024\n`,
    );
    assert.deepEqual(stateOf(machine), before);
  });
});

test('a move on a node without pods of the exit is remembered for those that start later', async (t) => {
  const machine = newNode(t, podsNode);
  assert.deepEqual((await moveExit(machine, configured, toSecond)).node, undefined);
  assert.deepEqual(machine.host.kernel.contents(), []);
  await pod(machine);
  assert.deepEqual(wayOf(machine), [`${second} egress0`]);
});

describe('a move on the gateway that the exit moves to', () => {
  test('serves it, takes its addresses, and announces them when it serves', async (t) => {
    const machine = newNode(t, second);
    await bringUp(machine, configured);
    machine.host.calls.length = 0;
    const { node } = await moveExit(machine, configured, toSecond);
    assert.deepEqual(node?.gateway?.served, [50]);
    assert.deepEqual(ownAddresses(machine), ['192.0.2.50']);
    assert.deepEqual(machine.host.calls, ['deleteFlowsTo 192.0.2.50', 'apply', 'announce 192.0.2.50']);
  });

  test('lets its own pods leave from here, who went through the tunnel', async (t) => {
    const machine = newNode(t, second);
    const attachment = await pod(machine);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(wayOf(machine), ['on link eth1']);
    await check(machine, attachment, () => true);
  });

  test('leaves the same as a gateway that was brought up after the move', async (t) => {
    const [machine, later] = [newNode(t, second), newNode(t, second)];
    await moveExit(machine, configured, toSecond);
    const lock = await later.store.lock();
    later.store.saveMoves({ shared: second });
    lock[Symbol.dispose]();
    await bringUp(later, configured);
    assert.deepEqual(stateOf(machine), stateOf(later));
  });
});

describe('a move on the gateway that the exit leaves', () => {
  test('gives up serving and the addresses, and leaves nothing of them', async (t) => {
    const machine = newNode(t, first);
    await bringUp(machine, configured);
    const { node } = await moveExit(machine, configured, toSecond);
    assert.equal(node, undefined);
    assert.deepEqual(machine.host.kernel.contents(), []);
    assert.deepEqual(machine.host.forgottenFlowsTo.at(-1), '192.0.2.50');
  });

  test('sends its own pods through the tunnel', async (t) => {
    const machine = newNode(t, first);
    const attachment = await pod(machine);
    await bringUp(machine, configured);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual([wayOf(machine), ownAddresses(machine)], [[`${second} egress0`], []]);
    assert.deepEqual(machine.store.loadNode()?.addresses, []);
    await check(machine, attachment, () => true);
  });

  test('leaves the exits that it still serves', async (t) => {
    const exits = ['shared', 'other'].map((name, i) => ({
      ...{ name, id: 50 + i, gateways: [first, second], interface: 'eth1', addresses: [`192.0.2.${50 + i}`] },
    }));
    const both = gatewayConfiguration({ exits });
    const machine = newNode(t, first);
    await bringUp(machine, both);
    const { node } = await moveExit(machine, both, toSecond);
    assert.deepEqual([node?.gateway?.served, ownAddresses(machine)], [[51], ['192.0.2.51']]);
    assert.deepEqual(
      machine.host.kernel.servedElements().map(({ key }) => key),
      ['33000000'],
    );
  });

  test('forgets the addresses that it gave up, while others stay', async (t) => {
    const exits = ['shared', 'other'].map((name, i) => ({
      ...{ name, id: 50 + i, gateways: [first, second], interface: 'eth1', addresses: [`192.0.2.${50 + i}`] },
    }));
    const both = gatewayConfiguration({ exits });
    const machine = newNode(t, first);
    await bringUp(machine, both);
    await moveExit(machine, both, toSecond);
    assert.deepEqual(machine.store.loadNode()?.addresses, [{ device: 'eth1', address: '192.0.2.51' }]);
  });
});

describe('a move of one exit', () => {
  const exits = ['shared', 'other'].map((name, i) => ({
    ...{ name, id: 50 + i, gateways: [second, first], interface: 'eth1', addresses: [`192.0.2.${50 + i}`] },
  }));
  const both = gatewayConfiguration({ exits });

  test('does not bring a gateway back that was brought down', async (t) => {
    const machine = newNode(t, second);
    await bringUp(machine, both);
    await bringDown(machine, both);
    await moveExit(machine, both, { exit: 'other', to: first });
    assert.deepEqual(machine.host.kernel.contents(), []);
  });

  test('to a gateway that was brought down serves this exit alone', async (t) => {
    const machine = newNode(t, second);
    await bringUp(machine, both);
    await bringDown(machine, both);
    const { node } = await moveExit(machine, both, toSecond);
    assert.deepEqual(node?.gateway?.served, [50]);
  });
});

describe('moves are remembered', () => {
  const isRemembered = ({ dataDir }: FakeMachine) => existsSync(join(dataDir, 'moves.json'));

  test('until the exit uses its first gateway again', async (t) => {
    const machine = newNode(t, podsNode);
    await moveExit(machine, configured, toSecond);
    assert.deepEqual(machine.store.loadMoves(), { shared: second });
    await moveExit(machine, configured, toFirst);
    assert.deepEqual(machine.store.loadMoves(), {});
    assert.equal(isRemembered(machine), false);
  });

  test('longer than the pods', async (t) => {
    const machine = newNode(t, podsNode);
    const attachment = await pod(machine);
    await moveExit(machine, configured, toSecond);
    await del(machine, attachment, []);
    assert.equal(machine.store.loadNode(), undefined);
    assert.deepEqual(machine.store.loadMoves(), { shared: second });
  });

  test('not for exits that are configured no more', async (t) => {
    const machine = newNode(t, podsNode);
    await moveExit(machine, configured, toSecond);
    const exits = [{ name: 'new', id: 60, gateways: [first, second], addresses: ['192.0.2.60'] }];
    await moveExit(machine, gatewayConfiguration({ exits, policies: [] }), { exit: 'new', to: second });
    assert.deepEqual(machine.store.loadMoves(), { new: second });
  });
});

describe('a move is refused, and nothing is remembered,', () => {
  const rows = [
    ['of an exit that is not there', { exit: 'other', to: second }, /called "other", there are: "shared"/],
    ['of an exit without gateways', { exit: 'partners', to: second }, /called "partners", there are: "shared"/],
    ['to a node that is no gateway of it', { exit: 'shared', to: podsNode }, /172\.18\.0\.6, 172\.18\.0\.7, got 172/],
  ] as const;
  for (const [what, move, details] of rows) {
    test(what, async (t) => {
      const machine = newNode(t, podsNode);
      await pod(machine);
      const before = stateOf(machine);
      for (const call of [moveExit, planMove]) {
        await assert.rejects(call(machine, configured, move), (error) => {
          assert.ok(error instanceof EgressError && error.code === 'unknown-exit', String(error));
          assert.match(error.message, details);
          return true;
        });
      }
      assert.deepEqual(stateOf(machine), before);
    });
  }

  test('and leaves nothing when the new gateway has not the interface', async (t) => {
    const machine = newNode(t, second);
    machine.host.links.delete('eth1');
    const before = stateOf(machine);
    await assert.rejects(moveExit(machine, configured, toSecond), /"eth1", which does not exist/);
    assert.deepEqual(stateOf(machine), before);
  });
});

describe('gateways that are followed', () => {
  const moves = [toSecond];

  test('get the exit’s routes at once, without a look at the node, and its connections are made known there', async (t) => {
    const machine = newNode(t, podsNode);
    const attachment = await pod(machine);
    machine.host.calls.length = 0;
    assert.deepEqual(await followGateways(machine, configured, moves), []);
    assert.deepEqual(machine.host.calls, ['apply']);
    assert.deepEqual(wayOf(machine), [`${second} egress0`]);
    assert.equal(machine.store.loadNode()?.exits[0]?.gateway, second);
    await check(machine, attachment, () => true);
  });

  test('leave the node as a move would', async (t) => {
    const [followed, moved] = [newNode(t, podsNode), newNode(t, podsNode)];
    for (const machine of [followed, moved]) await pod(machine);
    await followGateways(followed, configured, moves);
    await moveExit(moved, configured, toSecond);
    assert.deepEqual(stateOf(followed), stateOf(moved));
  });

  test('are looked for in full on a node that knows nothing of them yet', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const node = machine.store.loadNode();
    assert.ok(node?.tunnel);
    {
      using _lock = await machine.store.lock();
      machine.store.saveNode({ ...node, tunnel: { ...node.tunnel, peers: [first] } });
    }
    assert.deepEqual(await followGateways(machine, configured, moves), []);
    assert.deepEqual(wayOf(machine), [`${second} egress0`]);
    assert.deepEqual(machine.store.loadNode()?.tunnel?.peers.toSorted(), [first, second]);
  });

  test('are as before when the kernel refuses', async (t) => {
    const machine = newNode(t, podsNode);
    await pod(machine);
    const before = stateOf(machine);
    machine.host.apply = async () => {
      throw new EgressError('kernel-refused', 'no');
    };
    await assert.rejects(followGateways(machine, configured, moves), /no/);
    assert.deepEqual(stateOf(machine), before);
  });
});
