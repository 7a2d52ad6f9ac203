import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Attachment } from '../../../src/base/attachment.ts';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import type { Flow } from '../../../src/datapath/host.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import { add } from '../../../src/node/add.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { type Policies, policiesOf } from '../../../src/sources/policies.ts';
import {
  added,
  configuration,
  type FakeMachine,
  held,
  newMachine,
  policyTo,
  type RequestChanges,
  request,
  stateOf,
} from '../support/fake-machine.ts';
import { isPending } from '../support/pending.ts';

const isError = (code: ErrorCode, details?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof EgressError, String(error));
  assert.equal(error.code, code);
  if (details) assert.match(error.message, details);
  return true;
};

const refusal = new EgressError('kernel-refused', 'add chain: EINVAL');

describe('ADD', () => {
  test('sets up what CHECK finds complete', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    await check(machine, attachment, () => true);
    assert.deepEqual([...new Set(machine.host.kernel.podElements().map(({ comment }) => comment))], ['pods/a/eth0']);
    assert.deepEqual(machine.warnings, []);
  });

  test('and DEL leave nothing, in the kernel or in the store', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.0.5');
    assert.notDeepEqual(stateOf(machine), before);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('repeated, changes nothing', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const before = stateOf(machine);
    machine.host.applied.length = 0;
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(stateOf(machine), before);
    assert.deepEqual(machine.host.applied, []);
  });

  test('repeated, puts right what somebody took away meanwhile', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const before = stateOf(machine);
    machine.host.kernel.deleteTables();
    machine.host.kernel.sysctls.set(reversePathName('eth1'), '1');
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(stateOf(machine), before);
  });

  test('forgets the connections that whoever had the address before left, but not its own', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(machine.host.forgottenFlows, ['10.0.0.5']);
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(machine.host.forgottenFlows, ['10.0.0.5']);
  });

  test('remembers only the host’s end of a pair: a bridge must never be set down', async (t) => {
    const machine = newMachine(t);
    machine.host.links.set('cni0', { index: 99, name: 'cni0', up: true, mtu: 1500, type: 'bridge' });
    const { podNetwork } = request('a', '10.0.0.5');
    const attachment = await added(machine, 'a', '10.0.0.5', {
      podNetwork: { ...podNetwork, hostInterfaces: ['cni0', 'veth1', 'gone'] },
    });
    assert.deepEqual(machine.store.load(attachment)?.links, [{ name: 'veth1', index: 4 }]);
  });

  test('leaves a filter alone that does not filter, and sets a strict one loose until the last pod goes', async (t) => {
    const machine = newMachine(t);
    const { sysctls } = machine.host.kernel;
    sysctls.set(reversePathName('eth2'), '0');
    const [one, other] = [
      await added(machine, 'a', '10.0.0.5'),
      await added(machine, 'b', '10.0.0.6', { configuration: policyTo('backup') }),
    ];
    const filters = () => ['eth1', 'eth2'].map((device) => sysctls.get(reversePathName(device)));
    assert.deepEqual(filters(), ['2', '0']);
    await del(machine, one, []);
    assert.deepEqual(filters(), ['1', '0']);
    await del(machine, other, []);
    assert.deepEqual(filters(), ['1', '0']);
  });
});

describe('the ranges of a program', () => {
  const long = configuration({
    policies: [
      { name: 'long', namespaces: ['*'], destinations: ['203.0.113.0/25', '198.51.100.0/24'], exit: 'partners' },
    ],
  });

  test('stand in one record for all pods that have it, until the last of them goes', async (t) => {
    const machine = newMachine(t);
    const files = () => Object.keys(stateOf(machine).store).filter((file) => file.includes('program'));
    const [a, b] = [
      await added(machine, 'a', '10.0.0.5', { configuration: long }),
      await added(machine, 'b', '10.0.0.6', { configuration: long }),
    ];
    assert.equal(files().length, 1);
    await del(machine, a, []);
    assert.equal(files().length, 1);
    await del(machine, b, []);
    assert.deepEqual(files(), []);
  });

  test('are written as a whole when the kernel has lost them, though the pod is new', async (t) => {
    const machine = newMachine(t);
    const { kernel } = machine.host;
    await added(machine, 'a', '10.0.0.5', { configuration: long });
    const isRanges = (object: HostObject) => object.kind === 'set' && object.name.startsWith('program-');
    const ranges = kernel.contents().filter(isRanges);
    kernel.deleteTables();
    const attachment = await added(machine, 'b', '10.0.0.6', { configuration: long });
    assert.deepEqual(kernel.contents().filter(isRanges), ranges);
    await check(machine, attachment, () => true);
  });
});

describe('a pod without a policy', () => {
  test('leaves as before: nothing is set up, nothing stored', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'other' } });
    assert.deepEqual(stateOf(machine), before);
  });

  test('may have no address and no interface on the host', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '', {
      pod: { namespace: 'other' },
      podNetwork: { addresses: [], subnets: [], hostInterfaces: [] },
    });
  });

  test('is not steered by what an earlier pod left on its address', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    await added(machine, 'dead', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'other' } });
    assert.deepEqual(stateOf(machine).kernel, before.kernel);
    assert.equal(machine.host.forgottenFlows.at(-1), '10.0.0.5');
  });

  test('leaves those alone that have other addresses', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'b', '10.0.0.6');
    const before = stateOf(machine);
    await added(machine, 'a', '10.0.0.5', { pod: { namespace: 'other' } });
    assert.deepEqual(stateOf(machine), before);
  });

  test('loses what its own earlier ADD set up, when that had a policy', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: configuration({ policies: [] }) });
    assert.deepEqual(stateOf(machine), before);
    assert.deepEqual(machine.host.setDownLinks, []);
  });
});

describe('ADD with another outcome than before', () => {
  // An agent killed in between (0.1.0, 29 November 2026) left pods with a record of a program of which nobody knew what it says.
  test('writes down the program before the record that names it', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const { store } = machine;
    const saveAll = store.saveAll.bind(store);
    const seen: boolean[] = [];
    store.saveAll = (records, staged) => {
      seen.push(...records.map(({ program }) => store.hasProgram(program)));
      saveAll(records, staged);
    };
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    assert.deepEqual(seen, [true]);
  });

  test('releases the program and the exit that the changed policy no longer names', async (t) => {
    const [machine, fresh] = [newMachine(t), newMachine(t)];
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    await added(fresh, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('releases what keeps ICMP errors to the pod’s own connections when it has sources of others now', async (t) => {
    const [machine, fresh] = [newMachine(t), newMachine(t)];
    const extraSources = [{ namespaces: ['default'], addresses: ['192.0.2.0/24'] }];
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: configuration({ extraSources }) });
    await added(fresh, 'a', '10.0.0.5', { configuration: configuration({ extraSources }) });
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('releases the addresses that the pod has no more', async (t) => {
    const [machine, fresh] = [newMachine(t), newMachine(t)];
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.6');
    await added(fresh, 'a', '10.0.0.6');
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('follows an exit that moved to another interface', async (t) => {
    const moved = configuration({
      exits: [{ name: 'partners', id: 7, interface: 'eth2', addresses: ['172.19.0.7'] }],
    });
    const machine = newMachine(t);
    machine.host.linkAddresses.set('eth2', [held('172.19.0.7')]);
    const attachment = await added(machine, 'a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: moved });
    await check(machine, attachment, () => true);
    const { kernel } = stateOf(machine);
    assert.deepEqual(Object.keys(kernel).filter((key) => key.includes('lanes4 ')).length, 1);
    assert.deepEqual(kernel['route 4 500007 default unicast'], {
      kind: 'route',
      family: 4,
      table: 500007,
      type: 'unicast',
      device: 'eth2',
      metric: 1024,
    });
  });
});

describe('an address that two exits have', () => {
  const both = (first: object) =>
    configuration({
      exits: [
        { name: 'first', id: 7, interface: 'eth1', addresses: ['192.168.0.245'], ...first },
        { name: 'second', id: 8, interface: 'eth1', addresses: ['192.168.0.245'] },
      ],
      policies: [
        { name: 'first', pods: ['pod-a', 'pod-c'], namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'first' },
        { name: 'second', pods: ['pod-b'], namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'second' },
      ],
    });

  test('is the other’s when the first exit goes to another', async (t) => {
    const machine = newMachine(t);
    machine.host.linkAddresses.set('eth2', [held('172.19.0.7')]);
    const elsewhere = both({ interface: 'eth2', addresses: ['172.19.0.7'] });
    const attachments = [
      await added(machine, 'a', '10.0.0.5', { configuration: both({}) }),
      await added(machine, 'b', '10.0.0.6', { configuration: both({}) }),
      await added(machine, 'c', '10.0.0.7', { configuration: elsewhere }),
    ];
    for (const one of attachments) await check(machine, one, () => true);
  });
});

describe('ADD with ports of the pod’s own', () => {
  const ported = (changes: object = {}) => {
    const exits = [
      { name: 'backup', id: 300, interface: 'eth2', addresses: ['172.19.0.5'], portsPerPod: 1024, ...changes },
    ];
    return configuration({
      exits,
      policies: [{ name: 'all', namespaces: ['*'], destinations: ['203.0.113.0/24'], exit: 'backup' }],
    });
  };
  const configured = ported();
  const blockOf = ({ store }: FakeMachine, attachment: Attachment) =>
    store.load(attachment)?.ports?.map(({ first, last }) => [first, last]);
  /** Exit, address, and who has them in the kernel. */
  const blocksIn = ({ host }: FakeMachine) =>
    host.kernel
      .contents()
      .filter((object) => object.kind === 'element')
      .filter(({ set }) => set === 'blocks4')
      .map(({ key, comment }) => `${key} ${comment}`);
  const flow = (replyDestinationPort: number, destination = '203.0.113.9', protocol = 6): Flow => ({
    ...{ family: 4, protocol, source: '10.0.0.5', sourcePort: 45000, destination, destinationPort: 443 },
    ...{ replySource: destination, replySourcePort: 443, replyDestination: '172.19.0.5', replyDestinationPort },
  });

  test('gives the next pod the next ones, and those of a pod that went to the one after', async (t) => {
    const machine = newMachine(t);
    const first = await added(machine, 'a', '10.0.0.5', { configuration: configured });
    const second = await added(machine, 'b', '10.0.0.6', { configuration: configured });
    assert.deepEqual([blockOf(machine, first), blockOf(machine, second)], [[[1024, 2047]], [[2048, 3071]]]);
    await del(machine, first, []);
    const third = await added(machine, 'c', '10.0.0.7', { configuration: configured });
    assert.deepEqual(blockOf(machine, third), [[1024, 2047]]);
  });

  test('on an address whose last pod got no DEL yet takes that one’s over, and the late DEL does no harm', async (t) => {
    const machine = newMachine(t);
    const late = await added(machine, 'a', '10.0.0.5', { configuration: configured });
    const next = await added(machine, 'b', '10.0.0.5', { configuration: configured });
    assert.deepEqual([blockOf(machine, late), blockOf(machine, next)], [undefined, [[1024, 2047]]]);
    const other = await added(machine, 'c', '10.0.0.6', { configuration: configured });
    const blocks = ['2c0100000a000005 pods/b/eth0', '2c0100000a000006 pods/c/eth0'];
    assert.deepEqual(blocksIn(machine).sort(), blocks);
    await del(machine, late, []);
    assert.deepEqual(blocksIn(machine).sort(), blocks);
    for (const attachment of [next, other]) await check(machine, attachment, () => true);
  });

  test('of other pods, too, follows an exit to another interface, even when no pod gets ports any more', async (t) => {
    const machine = newMachine(t);
    const first = await added(machine, 'a', '10.0.0.5', { configuration: configured });
    const { portsPerPod: _, ...exit } = configured.exits[0] ?? assert.fail();
    const moved = { ...configured, exits: [{ ...exit, interface: 'eth1' }] };
    machine.host.linkAddresses.set('eth1', machine.host.linkAddresses.get('eth2') ?? []);
    machine.host.linkAddresses.delete('eth2');
    await added(machine, 'b', '10.0.0.6', { configuration: moved });
    await check(machine, first, () => true);
  });

  test('repeated with other ports forgets the connections that have others by that exit', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5', { configuration: ported({ portsPerPod: 64 }) });
    assert.deepEqual(blockOf(machine, attachment), [[1024, 1087]]);
    const gone = [flow(1020), flow(0, '203.0.113.9', 1)];
    const kept = [flow(1024), flow(2047), flow(45000, '198.51.100.1'), flow(45000, '10.0.0.9')];
    machine.host.flows.push(...gone, ...kept);
    await added(machine, 'a', '10.0.0.5', { configuration: configured });
    assert.deepEqual(blockOf(machine, attachment), [[1024, 2047]]);
    assert.deepEqual(machine.host.flows, kept);
    await added(machine, 'a', '10.0.0.5', { configuration: ported({ portsPerPod: undefined }) });
    assert.deepEqual([blockOf(machine, attachment), blocksIn(machine)], [undefined, []]);
  });

  test('fails when there are none, and leaves nothing', async (t) => {
    const machine = newMachine(t);
    const few = { configuration: ported({ portsPerPod: 32768 }) };
    await added(machine, 'a', '10.0.0.5', few);
    const before = stateOf(machine);
    await assert.rejects(added(machine, 'b', '10.0.0.6', few), isError('ports-exhausted'));
    assert.deepEqual(stateOf(machine), before);
  });
});

describe('ADD that fails', () => {
  /** Why, what is different → the code of the error. */
  const rows: readonly (readonly [string, RequestChanges, ErrorCode])[] = [
    ['for want of an address', { podNetwork: { addresses: [], subnets: [], hostInterfaces: ['veth1'] } }, 'no-address'],
    [
      'for want of an interface on the host',
      { podNetwork: { addresses: ['10.0.0.5'], subnets: [], hostInterfaces: ['gone'] } },
      'not-routed',
    ],
    [
      'because another host has the address',
      { podNetwork: { addresses: ['10.9.9.9'], subnets: [], hostInterfaces: ['veth1'] } },
      'not-routed',
    ],
    [
      'because the exit’s interface does not exist',
      { configuration: configuration({ exits: [{ name: 'partners', interface: 'eth9', addresses: ['192.0.2.1'] }] }) },
      'exit-interface',
    ],
    [
      'because the exit has no address',
      { configuration: configuration({ exits: [{ name: 'partners', interface: 'eth1' }] }) },
      'exit-address',
    ],
    ['because the mark is in use', { configuration: configuration({ fwmark: 0x4000 }) }, 'mark-conflict'],
  ];
  for (const [why, changes, code] of rows) {
    test(`${why} leaves nothing`, async (t) => {
      const machine = newMachine(t);
      machine.host.linkAddresses.delete('eth1');
      machine.host.remote.add('10.9.9.9');
      machine.host.foreignRules.push({
        kind: 'rule',
        protocol: 0,
        family: 4,
        priority: 30,
        action: { lookup: 7 },
        fwmark: { value: 0x4000, mask: 0x4000 },
      });
      const before = stateOf(machine);
      await assert.rejects(added(machine, 'a', '10.0.0.5', changes), isError(code));
      assert.deepEqual(stateOf(machine), before);
    });
  }

  test('because the kernel refuses leaves nothing, and says what the kernel said', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    machine.host.refusal = refusal;
    await assert.rejects(added(machine, 'a', '10.0.0.5'), refusal);
    assert.deepEqual(stateOf(machine), before);
  });

  test('leaves a pod whose address it was to take over its block of ports', async (t) => {
    const machine = newMachine(t);
    const exits = [{ name: 'partners', interface: 'eth1', addresses: ['192.168.0.245'], portsPerPod: 1024 }];
    const ported = { configuration: configuration({ exits }) };
    await added(machine, 'b', '10.0.0.6', ported);
    const before = stateOf(machine);
    machine.host.refusal = refusal;
    await assert.rejects(added(machine, 'a', '10.0.0.6', ported), refusal);
    assert.deepEqual(stateOf(machine).store, before.store);
  });

  test('beside other pods leaves what those need', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'b', '10.0.0.6');
    const before = stateOf(machine);
    machine.host.refusal = refusal;
    const changes = { configuration: policyTo('backup') };
    await assert.rejects(added(machine, 'a', '10.0.0.5', changes), refusal);
    machine.host.refusal = undefined;
    await del(machine, request('a', '').attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('when it is repeated, keeps the record of the one that did not', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    const record = machine.store.load(attachment);
    machine.host.refusal = refusal;
    await assert.rejects(added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') }), refusal);
    assert.deepEqual(machine.store.load(attachment), record);
  });

  test('because the policy file changes while it is read leaves nothing, or what an earlier ADD made', async (t) => {
    const changing: Policies = {
      ...policiesOf(policyTo('backup')),
      choose: (pod) => ({ ...policiesOf(policyTo('backup')).choose(pod), whole: () => assert.fail(refusal) }),
    };
    const machine = newMachine(t);
    await added(machine, 'b', '10.0.0.6');
    const before = stateOf(machine);
    await assert.rejects(added(machine, 'a', '10.0.0.5', { policies: changing }), refusal);
    assert.deepEqual(stateOf(machine), before);
    await assert.rejects(added(machine, 'b', '10.0.0.7', { policies: changing }), refusal);
    assert.deepEqual(stateOf(machine), before);
  });

  test('because the numbers changed under pods that are there names them', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const before = stateOf(machine);
    for (const change of [{ routeTable: 1000 }, { rulePriority: 5 }]) {
      const [key] = Object.keys(change);
      const failing = added(machine, 'b', '10.0.0.6', { configuration: configuration(change) });
      await assert.rejects(failing, isError('invalid-configuration', new RegExp(`^#/${key}: `)));
    }
    assert.deepEqual(stateOf(machine), before);
  });
});

describe('when somebody else changes the ruleset between look and change,', () => {
  test('ADD decides again, and remembers what the administrator had set', async (t) => {
    const [machine, calm] = [newMachine(t), newMachine(t)];
    machine.host.interferences = 3;
    const attachment = await added(machine, 'a', '10.0.0.5');
    await added(calm, 'a', '10.0.0.5');
    assert.equal(machine.host.interferences, 0);
    assert.deepEqual(stateOf(machine), stateOf(calm));
    machine.host.interferences = 3;
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('ADD gives up some day, asks to be called again and leaves nothing', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'b', '10.0.0.6');
    const before = stateOf(machine);
    machine.host.interferences = 101; // once what the note says is believed
    await assert.rejects(added(machine, 'a', '10.0.0.5'), isError('try-again', /100 times/));
    assert.deepEqual(stateOf(machine), before);
  });
});

test('an address that moved to another pod is that pod’s: its element has one owner', async (t) => {
  const machine = newMachine(t);
  await added(machine, 'a', '10.0.0.5');
  await added(machine, 'b', '10.0.0.5', { configuration: policyTo('backup') });
  assert.deepEqual([...new Set(machine.host.kernel.podElements().map(({ comment }) => comment))], ['pods/b/eth0']);
});

test('ADD takes the store’s lock, and gives it back also when it fails', async (t) => {
  const machine = newMachine(t);
  const lock = await machine.store.lock();
  const added = add(machine, request('a', '10.0.0.5'));
  assert.ok(await isPending(added));
  lock[Symbol.dispose]();
  await added;
  machine.host.refusal = refusal;
  await assert.rejects(add(machine, request('b', '10.0.0.6')), refusal);
  (await machine.store.lock())[Symbol.dispose]();
});
