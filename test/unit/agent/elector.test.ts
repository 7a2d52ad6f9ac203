import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Elector } from '../../../src/agent/elector.ts';
import { round } from '../../../src/agent/round.ts';
import type { Flow } from '../../../src/datapath/host.ts';
import type { ElectionStatus } from '../../../src/election/elections.ts';
import { type Instance, priorityOf } from '../../../src/election/plan.ts';
import { added, gatewayConfiguration, newNode } from '../support/fake-machine.ts';

const [first, second] = ['172.18.0.6', '172.18.0.7'];
const configuration = gatewayConfiguration();
const egress = '192.0.2.50';

/** What the process of elections tells of the exit: whether this node holds it, and that the other gateway was heard. */
const statusOf = (holds: boolean): ElectionStatus => {
  const instance = { key: 'eth1', exits: ['shared'], gateways: [first, second] } as unknown as Instance;
  const other = { source: second, priority: priorityOf(1, 2), at: '' };
  const router = {
    ...{ instance, holds, other, state: holds ? 'active' : 'initialize' },
    since: '',
    why: 'the agent ends',
  };
  const nothing = { transitions: 1, duplicates: [], foreign: [], bad: {} };
  return { isReady: true, bad: [], routers: [{ ...router, ...nothing }] } as unknown as ElectionStatus;
};

/** The first gateway of an exit, which holds it, with a pod that uses it; its elections say what the test says. */
async function holding(t: TestContext) {
  const machine = newNode(t, first);
  let tell: (status: unknown) => void = () => {};
  let started = 0;
  const elector = new Elector({
    log: machine.log,
    start: (told) => {
      started++;
      tell = told;
      return { want: () => {}, stop: async () => {} };
    },
    changed: () => {},
  });
  const look = async () => {
    await elector.prepare(machine, configuration, true);
    await round({ machine, configuration, adopt: async () => [] });
    elector.begin();
  };
  await look();
  tell({ vrrp: statusOf(true) });
  await look();
  await added(machine, 'a', '10.0.1.5', { configuration });
  await look();
  const end = () => elector.end('the agent ends');
  return { machine, look, end, started: () => started, tell: (holds: boolean) => tell({ vrrp: statusOf(holds) }) };
}

const flowFrom = (source: string, port: number): Flow => ({
  ...{ family: 4, protocol: 6, source, sourcePort: port, destination: '203.0.113.9', destinationPort: 8082 },
  ...{ replySource: '203.0.113.9', replySourcePort: 8082, replyDestination: egress, replyDestinationPort: port },
  established: true,
});

describe('a gateway that hands its addresses over', () => {
  test('introduces connections of its own pods to the next one, and forgets those of other nodes', async (t) => {
    const { machine, look, tell } = await holding(t);
    const [own, others] = [flowFrom('10.0.1.5', 40_000), flowFrom('10.0.0.9', 40_001)];
    machine.host.flows.push(own, others);
    tell(false);
    await look();
    assert.deepEqual(
      machine.host.primed.map(({ hops, flows }) => ({ hops, flows })),
      [{ hops: 2, flows: [own] }],
    );
    assert.equal(machine.host.flows.includes(others), false);
  });

  test('begins no election in the round behind its last word', async (t) => {
    const { look, end, started } = await holding(t);
    await end();
    await look();
    assert.equal(started(), 1);
  });
});
