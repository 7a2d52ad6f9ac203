import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { toJson } from '../../../src/cli/command.ts';
import { printStatus } from '../../../src/cli/status-text.ts';
import type { Counters } from '../../../src/datapath/host.ts';
import { bringUp } from '../../../src/gateway/gateway.ts';
import { readStatus, type Status } from '../../../src/report/status.ts';
import { recordVersion } from '../../../src/store/migration.ts';
import {
  added,
  configuration,
  gatewayConfiguration,
  newMachine,
  newNode,
  noCounters,
  policyTo,
} from '../support/fake-machine.ts';

const counter = (packets: number, bytes = 100 * packets) => ({ packets: BigInt(packets), bytes: BigInt(bytes) });

/** What a table has counted that nothing went through, but for the changes. */
const counters = (changes: Partial<Counters>): Counters => ({ ...noCounters, ...changes });

const status: Status = {
  exits: [
    {
      name: 'partners',
      id: 7,
      device: 'eth1',
      health: 'works',
      ways: [
        { family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', neighbour: 'reachable' },
        { family: 6, addresses: ['fd00:168::245'], via: 'fd00:168::1' },
      ],
      steered: counter(1200),
      left: counter(1198),
      dropped: { packets: 2n },
    },
    {
      name: 'backup',
      id: 300,
      device: 'eth2',
      health: 'works',
      ways: [{ family: 4, addresses: ['172.19.0.5'] }],
      steered: counter(0),
      left: counter(0),
      dropped: { packets: 0n },
    },
  ],
  pods: [
    {
      network: 'pods',
      containerId: '5f1c0d',
      ifname: 'eth0',
      pod: { namespace: 'default', name: 'web-0' },
      addresses: ['10.0.0.174', 'fd00::ae'],
      exits: ['partners', 'drop'],
      policies: [
        { name: 'web', exit: 'partners' },
        { name: 'rest', exit: 'drop' },
      ],
      packets: 1300n,
    },
    {
      network: 'pods',
      containerId: '0123456789abcdef',
      ifname: 'eth0',
      pod: {},
      addresses: ['10.0.0.9'],
      exits: ['backup'],
      policies: [{ name: 'all', exit: 'backup' }],
      packets: 0n,
    },
  ],
  dropped: counter(100),
  guarded: counter(3),
  unmarked: counter(0),
  forged: counter(0),
};

describe('the status', () => {
  test('is two tables and a sum for a person', () => {
    assert.equal(
      printStatus(status, { colors: false }),
      `EXIT      ID   INTERFACE  ADDRESS                       NEXT HOP                              HEALTH  SERVED  STEERED  LEFT  DROPPED
partners  7    eth1       192.168.0.245, fd00:168::245  192.168.0.1 (reachable), fd00:168::1  works           1200     1198  2
backup    300  eth2       172.19.0.5                    on link                               works           0        0     0

POD            ADDRESS               EXITS           PACKETS
default/web-0  10.0.0.174, fd00::ae  partners, drop  1300
0123456789abc  10.0.0.9              backup          0

Dropped by policy: 100 packets. Kept from leaving wrongly: 3 packets.
`,
    );
  });

  test('tells ports of their own where pods have some, and of which exit where there are several', async () => {
    const [web, container] = status.pods;
    assert.ok(web && container);
    const ports = [
      { exit: 'partners', first: 1024, last: 2047 },
      { exit: 'backup', first: 2048, last: 2111 },
    ];
    const pods = [{ ...web, ports }, { ...container, ports: ports.slice(1) }, container];
    assert.match(
      printStatus({ ...status, pods }, { colors: false }),
      /^POD +ADDRESS +EXITS +PORTS +PACKETS\n.* partners 1024-2047, backup 2048-2111 +1300\n.* backup +2048-2111 +0\n.* backup +0\n/m,
    );
  });

  test('has the ports of a pod as its record has them', async (t) => {
    const machine = newMachine(t);
    const exits = [{ name: 'backup', interface: 'eth2', addresses: ['172.19.0.5'], portsPerPod: 64 }];
    await added(machine, 'a', '10.0.0.5', {
      configuration: configuration({
        exits,
        policies: [{ name: 'all', namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'backup' }],
      }),
    });
    await added(machine, 'b', '10.0.0.6');
    machine.host.counters = counters({});
    assert.deepEqual(
      (await readStatus(machine)).pods.map(({ ports }) => ports),
      [[{ exit: 'backup', first: 1024, last: 1087 }], undefined],
    );
  });

  test('tells of a gateway what it served for others, and of an exit behind one where it leaves', () => {
    const [partners, backup] = status.exits;
    assert.ok(partners && backup);
    const { left: _, ...tunnelled } = backup;
    const printed = printStatus(
      {
        ...{ pods: [], dropped: counter(0), guarded: counter(0), unmarked: counter(0), forged: counter(0) },
        exits: [
          { ...partners, served: counter(700) },
          { ...tunnelled, health: 'unknown', device: 'egress0', gateway: '172.18.0.6', tunnelled: counter(0) },
        ],
        tunnel: {
          ...{ vni: 14597, port: 4788, local: '172.18.0.5', mtu: 1450 },
          ...{ unserved: counter(4), strangers: counter(5) },
        },
      },
      { colors: false },
    );
    assert.equal(
      printed,
      `EXIT      ID   INTERFACE  ADDRESS                       NEXT HOP                              HEALTH   SERVED  STEERED  LEFT  TUNNELLED  DROPPED
partners  7    eth1       192.168.0.245, fd00:168::245  192.168.0.1 (reachable), fd00:168::1  works    700     1200     1198  -          2
backup    300  egress0    172.19.0.5                    gateway 172.18.0.6                    unknown          0        -     0          0

Dropped by policy: 0 packets. Kept from leaving wrongly: 0 packets.

Tunnel: VXLAN 14597 on UDP port 4788, from 172.18.0.5, MTU 1450.
Came for an exit that is not served here: 4 packets. From strangers: 5 packets.
`,
    );
  });

  test('has bold heads where colours are wanted, and otherwise the same words', () => {
    const styled = printStatus(status, { colors: true });
    assert.ok(styled.startsWith('\x1b[1mEXIT'), styled);
    const words = stripVTControlCharacters(styled).replace(/ +$/gm, '');
    assert.equal(words, printStatus(status, { colors: false }));
  });

  test('says whether an agent runs, when it looked last, what it mended last, and what it could not do', () => {
    const agent = {
      runs: true,
      startedAt: '2026-11-28T18:50:34.123Z',
      lookedAt: '2026-11-29T07:00:01.9Z',
      mended: { at: '2026-11-29T06:59:59.001Z', what: ['table inet cni-egress is missing', 'set a is missing'] },
      failures: ['Interface eth1 of exit "partners" is down', 'pod default/web: it has no address'],
    };
    const printed = (changes: object) =>
      printStatus({ exits: [], pods: [], agent: { ...agent, ...changes } }, { colors: false });
    assert.equal(
      printed({}),
      `No pod on this node has an egress policy.

An agent runs since 2026-11-28 18:50:34 UTC, and looked last at 2026-11-29 07:00:01 UTC.
It mended last at 2026-11-29 06:59:59 UTC: table inet cni-egress is missing, and 1 more.
It could not be done: Interface eth1 of exit "partners" is down
It could not be done: pod default/web: it has no address
`,
    );
    assert.match(printed({ runs: false }), /\nNo agent runs; one looked last at 2026-11-29 07:00:01 UTC\.\n/);
    assert.ok(printStatus({ ...status, agent: { runs: true } }, { colors: false }).endsWith('\n\nAn agent runs.\n'));
  });

  test('of a node without pods is a sentence', () => {
    assert.equal(
      printStatus({ ...status, exits: [], pods: [] }, { colors: false }),
      'No pod on this node has an egress policy.\n',
    );
  });

  test('is numbers, not texts, for programs', () => {
    const parsed = JSON.parse(toJson(status)) as { exits: { steered: unknown }[]; pods: { packets: unknown }[] };
    assert.deepEqual(parsed.exits[0]?.steered, { packets: 1200, bytes: 120000 });
    assert.equal(parsed.pods[0]?.packets, 1300);
  });
});

describe('what the status says', () => {
  test('is nothing on a node where nothing is set up, and no counter is read', async (t) => {
    assert.deepEqual(await readStatus(newMachine(t)), {
      exits: [],
      pods: [],
    });
  });

  test('has what an agent wrote down, and whether it holds its lock', async (t) => {
    const machine = newMachine(t);
    const asked: string[] = [];
    const agentOf = async (runs: boolean) => {
      const isClaimed = (path: string) => asked.push(path) > 0 && runs;
      return (await readStatus(machine, undefined, isClaimed)).agent;
    };
    assert.deepEqual([await agentOf(false), await agentOf(true)], [undefined, { runs: true }]);
    const times = { startedAt: '2026-11-28T18:50:34.123Z', lookedAt: '2026-11-28T18:50:35.123Z' };
    machine.store.agent.save({ version: recordVersion, ...times, failures: ['a'] });
    assert.deepEqual(await agentOf(false), { runs: false, ...times, failures: ['a'] });
    assert.deepEqual(await agentOf(true), { runs: true, ...times, failures: ['a'] });
    assert.deepEqual([...new Set(asked)], [machine.store.agent.lock]);
  });

  test('comes from the records, the counters and the neighbours', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.6', { configuration: policyTo('drop') });
    machine.host.neighbours.set('192.168.0.1', 'stale');
    machine.host.counters = counters({
      steered: new Map([[7, counter(10)]]),
      left: new Map([[7, counter(8)]]),
      pods: new Map([['pods/a/eth0', counter(12)]]),
      dropped: counter(5),
      guarded: counter(2),
      forged: counter(0),
    });
    const { exits, pods, dropped, guarded } = await readStatus(machine);
    assert.deepEqual(exits, [
      {
        name: 'partners',
        id: 7,
        device: 'eth1',
        ways: [
          {
            ...{ family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', neighbour: 'stale' },
          },
        ],
        steered: counter(10),
        left: counter(8),
        dropped: { packets: 2n },
        health: 'works',
      },
    ]);
    assert.deepEqual(
      pods.map(({ containerId, exits, packets }) => [containerId, exits, packets]),
      [
        ['a', ['partners'], 12n],
        ['b', ['drop'], undefined],
      ],
    );
    assert.deepEqual([dropped, guarded], [counter(5), counter(2)]);
  });

  test('says of an address that the exit’s interface does not have that it is not here', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.counters = counters({});
    machine.host.linkAddresses.set('eth1', []);
    const status = await readStatus(machine);
    assert.deepEqual(status.exits[0]?.ways[0]?.notHere, ['192.168.0.245']);
    assert.match(printStatus(status, { colors: false }), /192\.168\.0\.245 \(not here\)/);
  });

  test('has the gateway of an exit that leaves elsewhere, and what the tunnel refused', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
    machine.host.counters = counters({ unserved: counter(4), strangers: counter(5) });
    const { exits, tunnel } = await readStatus(machine);
    assert.deepEqual(
      exits.map(({ name, gateway, served }) => [name, gateway, served]),
      [['shared', '172.18.0.6', undefined]],
    );
    assert.deepEqual(tunnel, {
      ...{ vni: 14597, port: 4788, local: '172.18.0.5', mtu: 1450 },
      ...{ unserved: counter(4), strangers: counter(5) },
    });
  });

  test('has what a gateway served, without any pod of its own', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    await bringUp(machine, gatewayConfiguration());
    machine.host.counters = counters({ served: new Map([[50, counter(9)]]), steered: new Map([[50, counter(9)]]) });
    const { exits, pods } = await readStatus(machine);
    assert.deepEqual(pods, []);
    assert.deepEqual(
      exits.map(({ name, gateway, served }) => [name, gateway, served]),
      [['shared', undefined, counter(9)]],
    );
    machine.host.counters = counters({});
    assert.deepEqual((await readStatus(machine)).exits[0]?.served, counter(0));
  });

  test('has the pods in the order of the names that it prints', async (t) => {
    const machine = newMachine(t);
    for (const [i, name] of ['web-2', 'web-0', 'web-1'].entries()) {
      await added(machine, `c${i}`, `10.0.0.${i + 5}`, { pod: { namespace: 'default', name } });
    }
    machine.host.counters = counters({});
    const { pods } = await readStatus(machine);
    assert.deepEqual(
      pods.map(({ pod }) => pod.name),
      ['web-0', 'web-1', 'web-2'],
    );
  });

  test('never has more packets leave than were steered: the counters are read one after the other', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.counters = counters({ steered: new Map([[7, counter(10)]]), left: new Map([[7, counter(11)]]) });
    assert.deepEqual((await readStatus(machine)).exits[0]?.dropped, { packets: 0n });
  });

  test('is nothing where nothing counts: no number is made up', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.counters = counters({ steered: new Map([[7, counter(10)]]) });
    const unfed = await readStatus(machine);
    const { steered, left, dropped } = unfed.exits[0] ?? {};
    assert.deepEqual([steered, left, dropped], [counter(10), undefined, undefined]);
    assert.match(printStatus(unfed, { colors: false }), /^partners .* 10 +- +-$/m);
    machine.host.kernel.deleteTables();
    const flushed = await readStatus(machine);
    assert.deepEqual(
      [flushed.exits[0]?.steered, flushed.pods[0]?.packets, flushed.dropped],
      [undefined, undefined, undefined],
    );
    assert.match(printStatus(flushed, { colors: false }), /^partners .* - +- +-$/m);
    assert.match(
      printStatus(flushed, { colors: false }),
      /^Nothing is counted, and no pod is steered: table inet cni-egress is missing\./m,
    );
  });

  test('has what went into the tunnel, and does not say that it left: only the gateway knows that', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
    machine.host.counters = counters({ steered: new Map([[50, counter(9)]]), left: new Map([[50, counter(7)]]) });
    const { left, tunnelled, dropped } = (await readStatus(machine)).exits[0] ?? {};
    assert.deepEqual([left, tunnelled, dropped], [undefined, counter(7), { packets: 2n }]);
  });

  test('has no drops of an exit whose packets may leave with the node’s address: nobody counts those', async (t) => {
    const machine = newMachine(t);
    const exits = [
      { name: 'partners', id: 7, interface: 'eth1', addresses: ['192.168.0.245'], onUnavailable: 'node' as const },
    ];
    await added(machine, 'a', '10.0.0.5', { configuration: configuration({ exits }) });
    machine.host.counters = counters({ steered: new Map([[7, counter(9)]]), left: new Map([[7, counter(7)]]) });
    const { left, dropped } = (await readStatus(machine)).exits[0] ?? {};
    assert.deepEqual([left, dropped], [counter(7), undefined]);
  });
});
