import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import type { Configuration } from '../../../src/config/configuration.ts';
import type { Gateway } from '../../../src/datapath/attachment.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { type NodeChanges, nextNode } from '../../../src/node/node.ts';
import type { NodeRecord } from '../../../src/store/record.ts';
import { sample } from '../store/records.ts';
import { type FakeMachine, gatewayConfiguration, newNode } from '../support/fake-machine.ts';

const way = { family: 4, addresses: ['192.0.2.50'] } as const;
const remote: ResolvedExit = { name: 'shared', id: 50, device: 'egress0', gateway: '172.18.0.6', ways: [way] };
const local: ResolvedExit = { name: 'partners', id: 7, device: 'eth2', ways: [way] };
const ownEnd = { address: '172.18.0.5', underlayMtu: 1500 };
const gateway: Gateway = {
  served: [50],
  owned: [],
  replies: [{ destination: '10.0.9.0/24', node: '172.18.0.9' }],
};

const changes = (more: Partial<NodeChanges> = {}): NodeChanges => ({ exits: [remote], ownEnd, ...more });

/** The record after the changes, on a node that has our table when there was a record. */
function next(
  machine: FakeMachine,
  previous: NodeRecord | undefined,
  more: Partial<NodeChanges> = {},
  configuration: Configuration = gatewayConfiguration(),
): Promise<NodeRecord> {
  if (previous !== undefined && !machine.host.kernel.hasTable) {
    machine.host.kernel.transact([{ verb: 'add', object: { kind: 'table' } }]);
  }
  return nextNode(machine, configuration, previous, changes(more));
}

const onNode = (t: TestContext) => newNode(t, '172.18.0.5');

describe('the node’s record', () => {
  test('has the tunnel while an exit goes through it: to all gateways, but not to the node itself', async (t) => {
    assert.deepEqual((await next(onNode(t), undefined)).tunnel, {
      ...{ vni: 14597, port: 4788, local: '172.18.0.5', mtu: 1450, families: [4] },
      senders: ['172.18.0.5/32', '172.18.0.6/32', '172.18.0.7/32'],
      peers: ['172.18.0.6', '172.18.0.7'],
    });
    const onGateway = await next(onNode(t), undefined, { ownEnd: { address: '172.18.0.7', underlayMtu: 1400 } });
    assert.deepEqual([onGateway.tunnel?.peers, onGateway.tunnel?.mtu], [['172.18.0.6'], 1350]);
  });

  test('has no tunnel when all exits leave from here', async (t) => {
    assert.equal('tunnel' in (await next(onNode(t), undefined, { exits: [local] })), false);
  });

  test('has the tunnel of a gateway, also to the nodes that answers go to', async (t) => {
    const { tunnel } = await next(onNode(t), undefined, { exits: [local], gateway });
    assert.deepEqual(tunnel?.peers, ['172.18.0.6', '172.18.0.7', '172.18.0.9']);
  });

  test('has the families of all exits through the tunnel, not of the others', async (t) => {
    const exits = [
      { name: 'shared', id: 50, gateways: ['172.18.0.6'], addresses: ['2001:db8::1', '192.0.2.50'] },
      { name: 'six', id: 51, gateways: ['172.18.0.6'], addresses: ['2001:db8::2'] },
    ];
    const families = async (listed: typeof exits) =>
      (await next(onNode(t), undefined, {}, gatewayConfiguration({ exits: listed }))).tunnel?.families;
    assert.deepEqual(await families(exits), [4, 6]);
    assert.deepEqual(await families(exits.slice(1)), [6]);
  });

  test('keeps the tunnel and the other exits when only an exit of this node changes', async (t) => {
    const machine = onNode(t);
    const before = await next(machine, undefined);
    const after = await next(machine, before, { exits: [local], ownEnd: undefined });
    assert.deepEqual(after.tunnel, before.tunnel);
    assert.deepEqual(
      after.exits.map(({ name }) => name),
      ['partners', 'shared'],
    );
  });

  test('has one exit of each id and of each name: the newer takes the place, when nothing is set up any more', async (t) => {
    const before = await next(onNode(t), undefined, { exits: [remote, local] });
    const renamed = await nextNode(
      onNode(t),
      gatewayConfiguration(),
      before,
      changes({ exits: [{ ...local, id: 50 }] }),
    );
    assert.deepEqual(renamed.exits, [{ ...local, id: 50 }]);
  });

  test('has no other id for an exit that is set up, nor its id for another: pods would leave by that', async (t) => {
    const machine = onNode(t);
    const before = await next(machine, undefined, { exits: [remote, local] });
    await assert.rejects(
      next(machine, before, { exits: [{ ...local, id: 8 }] }),
      /"partners" has the id 8, which .* with 7;/,
    );
    const other = { ...local, name: 'other' };
    await assert.rejects(
      next(machine, before, { exits: [other] }),
      /"other" has the id 7, which is that of exit "partners"/,
    );
  });

  test('has fewer ranges that no program steers while there are pods, and begins anew without one', async (t) => {
    const machine = onNode(t);
    const { inside = [], ...before } = await next(machine, undefined);
    assert.deepEqual(before.spared, inside);
    const narrow = { ...before, spared: inside.slice(0, 1) };
    assert.deepEqual((await next(machine, narrow)).spared, inside);
    using _lock = await machine.store.lock();
    machine.store.save(sample());
    assert.deepEqual((await next(machine, narrow)).spared, narrow.spared);
  });

  test('keeps what is to be put back', async (t) => {
    const machine = onNode(t);
    const kept = { sysctls: { 'net/x': '1' }, addresses: [{ device: 'eth1', address: '192.0.2.50' }] };
    const before = { ...(await next(machine, undefined)), ...kept };
    const { sysctls, addresses } = await next(machine, before);
    assert.deepEqual({ sysctls, addresses }, kept);
  });
});

describe('the numbers of the tunnel', () => {
  /** The place in the error → what was configured before, and what is now. */
  const rows: readonly (readonly [string, Configuration, Partial<NodeChanges>])[] = [
    ['/tunnel/vni', gatewayConfiguration({ tunnel: { vni: 7 } }), {}],
    ['/tunnel/port', gatewayConfiguration({ tunnel: { port: 4789 } }), {}],
    ['/node', gatewayConfiguration(), { ownEnd: { address: '172.18.0.7', underlayMtu: 1500 } }],
  ];
  for (const [place, configuration, more] of rows) {
    test(`cannot change under those who use it: ${place}`, async (t) => {
      const machine = onNode(t);
      const before = await next(machine, undefined);
      await assert.rejects(next(machine, before, more, configuration), (error) => {
        assert.ok(error instanceof EgressError && error.code === 'invalid-configuration', String(error));
        assert.ok(error.message.startsWith(`#${place}: `), error.message);
        return true;
      });
    });

    test(`can change when our table is gone: ${place}`, async (t) => {
      const machine = onNode(t);
      const before = await next(machine, undefined);
      await assert.doesNotReject(nextNode(machine, configuration, before, changes(more)));
    });

    test(`can change when nobody uses the tunnel: ${place}`, async (t) => {
      const machine = onNode(t);
      const { tunnel: _, ...before } = await next(machine, undefined, { exits: [local] });
      await assert.doesNotReject(next(machine, before, more, configuration));
    });
  }

  test('but for the MTU and the peers, which may change as they run', async (t) => {
    const machine = onNode(t);
    const before = await next(machine, undefined);
    const nodes = [...gatewayConfiguration().nodes.map(({ address }) => ({ address })), { address: '172.18.0.8' }];
    const after = await next(
      machine,
      before,
      { ownEnd: { address: '172.18.0.5', underlayMtu: 9000 } },
      gatewayConfiguration({ nodes }),
    );
    assert.equal(after.tunnel?.mtu, 8950);
    assert.ok(after.tunnel?.senders.includes('172.18.0.8/32'));
  });
});
