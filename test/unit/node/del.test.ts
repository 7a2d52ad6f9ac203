import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Attachment } from '../../../src/base/attachment.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { added, type FakeMachine, newMachine, policyTo, request, stateOf } from '../support/fake-machine.ts';

const recordFile = ({ dataDir }: FakeMachine, { network, containerId, ifname }: Attachment) =>
  join(dataDir, 'attachments', `${network}+${containerId}+${ifname}.json`);

describe('DEL', () => {
  test('of what never was is no error, and touches nothing', async (t) => {
    const machine = newMachine(t);
    await del(machine, request('a', '').attachment, []);
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
    await added(machine, 'b', '10.0.0.6');
    const before = stateOf(machine);
    await del(machine, request('a', '').attachment, ['10.0.0.5']);
    assert.deepEqual(stateOf(machine), before);
  });

  test('repeated is no error', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    await del(machine, attachment, []);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('after a reboot forgets the record', async (t) => {
    const [machine, rebooted] = [newMachine(t), newMachine(t)];
    const attachment = await added(machine, 'a', '10.0.0.5');
    await del({ ...machine, host: rebooted.host }, attachment, []);
    assert.deepEqual(stateOf(machine).store, {});
    assert.deepEqual(stateOf(rebooted), stateOf(newMachine(t)));
  });

  test('takes rules and routes down also when somebody deleted the table', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.deleteTables();
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('opens no way for the pods whose table somebody deleted: their rules and routes go with the last of them', async (t) => {
    const machine = newMachine(t);
    const [first, second] = [await added(machine, 'a', '10.0.0.5'), await added(machine, 'b', '10.0.0.6')];
    const closed = () =>
      machine.host.kernel.contents().filter((object) => printChanges([{ verb: 'add', object }]).includes('516383'));
    const before = closed();
    assert.notDeepEqual(before, []);
    machine.host.kernel.deleteTables();
    await del(machine, first, []);
    assert.deepEqual(closed(), before);
    await del(machine, second, []);
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('sets the pod’s interface down before it takes its way', async (t) => {
    const machine = newMachine(t);
    await del(machine, await added(machine, 'a', '10.0.0.5'), [], ['veth1']);
    assert.deepEqual(machine.host.setDownLinks, ['veth1']);
  });

  test('sets no interface down that its record names, and that neither the runtime nor the node’s routes know as the pod’s', async (t) => {
    for (const hostInterfaces of [undefined, ['veth2']]) {
      const machine = newMachine(t);
      await del(machine, await added(machine, 'a', '10.0.0.5'), [], hostInterfaces);
      assert.deepEqual(machine.host.setDownLinks, []);
    }
  });

  test('without a runtime’s word sets the interface down that the pod’s address is behind', async (t) => {
    const machine = newMachine(t);
    const gateway = { address: '10.0.0.1', family: 4, prefixLength: 24, scope: 0, usable: true } as const;
    machine.host.linkAddresses.set('veth1', [gateway]);
    await del(machine, await added(machine, 'a', '10.0.0.5'), []);
    assert.deepEqual(machine.host.setDownLinks, ['veth1']);
  });

  test('leaves an interface up that is another one of the same name by now', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    machine.host.links.set('veth1', { index: 1000, name: 'veth1', up: true, mtu: 1500, type: 'veth' });
    await del(machine, attachment, []);
    assert.deepEqual(machine.host.setDownLinks, []);
  });

  test('leaves a parameter as it is that the administrator set meanwhile', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.sysctls.set('net/ipv4/conf/eth1/rp_filter', '0');
    await del(machine, attachment, []);
    assert.equal(machine.host.readSysctl('net/ipv4/conf/eth1/rp_filter'), '0');
  });

  test('forgets a parameter that the administrator took over: later it is theirs, whatever its value', async (t) => {
    const machine = newMachine(t);
    const { sysctls } = machine.host.kernel;
    const name = 'net/ipv4/conf/eth1/rp_filter';
    await added(machine, 'b', '10.0.0.6', { configuration: policyTo('backup') });
    const a = await added(machine, 'a', '10.0.0.5');
    sysctls.set(name, '0');
    await del(machine, a, []);
    sysctls.set(name, '2');
    await del(machine, await added(machine, 'c', '10.0.0.7', { configuration: policyTo('drop') }), []);
    assert.equal(sysctls.get(name), '2');
  });
});

describe('DEL of a pod whose address another pod took', () => {
  test('keeps what is the other’s: its element, its program and its connections', async (t) => {
    const [machine, alone] = [newMachine(t), newMachine(t)];
    const a = await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    const b = await added(machine, 'b', '10.0.0.5');
    await added(alone, 'b', '10.0.0.5');
    machine.host.forgottenFlows.length = 0;
    await del(machine, a, []);
    await check(machine, b, () => true);
    assert.deepEqual(stateOf(machine), stateOf(alone));
    assert.deepEqual(machine.host.forgottenFlows, []);
  });

  test('forgets its connections when nobody has the address', async (t) => {
    const machine = newMachine(t);
    const a = await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.6');
    machine.host.forgottenFlows.length = 0;
    await del(machine, a, []);
    assert.deepEqual(machine.host.forgottenFlows, ['10.0.0.5']);
  });
});

describe('DEL without a record', () => {
  for (const hints of [[], ['10.0.0.5']]) {
    test(`goes by the marks in the kernel, ${hints.length > 0 ? 'looking at the addresses of prevResult' : 'wherever they are'}`, async (t) => {
      const [machine, alone] = [newMachine(t), newMachine(t)];
      const a = await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
      await added(machine, 'b', '10.0.0.6');
      await added(alone, 'b', '10.0.0.6');
      rmSync(recordFile(machine, a));
      await del(machine, a, hints);
      assert.deepEqual(stateOf(machine), stateOf(alone));
    });
  }

  test('keeps another interface of the pod whose name begins the same', async (t) => {
    const machine = newMachine(t);
    const eth0 = await added(machine, 'a', '10.0.0.5');
    const eth01 = await added(machine, 'a', '10.0.0.6', { attachment: { ...eth0, ifname: 'eth01' } });
    rmSync(recordFile(machine, eth0));
    await del(machine, eth0, []);
    await check(machine, eth01, () => true);
  });

  test('that can be read goes on, and moves the file aside', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    writeFileSync(recordFile(machine, attachment), '{"version": 1, "netw');
    await del(machine, attachment, []);
    const { kernel, store } = stateOf(machine);
    assert.deepEqual(kernel, {});
    assert.deepEqual(Object.keys(store), ['broken/pods+a+eth0.json.1']);
    assert.match(machine.warnings.join(), /pods\+a\+eth0\.json is no record of egress/);
  });

  test('of the program goes on', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.0.5');
    rmSync(join(machine.dataDir, 'programs'), { recursive: true });
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('of the node takes all back, the parameters as well, for our table keeps what they were', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    rmSync(join(machine.dataDir, 'node.json'));
    await del(machine, attachment, []);
    const { kernel, store } = stateOf(machine);
    assert.deepEqual([kernel, store], [{}, {}]);
    assert.equal(machine.host.readSysctl('net/ipv4/conf/eth1/rp_filter'), '1');
  });

  test('of the node and of our table leaves parameters as they are, for nobody knows what they were', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    rmSync(join(machine.dataDir, 'node.json'));
    machine.host.kernel.deleteTables();
    await del(machine, attachment, []);
    assert.equal(machine.host.readSysctl('net/ipv4/conf/eth1/rp_filter'), '2');
    assert.match(machine.warnings.join(), /rp_filter of the exits’ interfaces stays as it is/);
  });
});

test('any pods, added and deleted in any order, leave what is left as if the others had never been', async (t) => {
  const step = fc.record({ pod: fc.nat(3), exit: fc.constantFrom('partners', 'backup', 'drop', 'none') });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const [machine, fresh] = [newMachine(t), newMachine(t)];
      const present = new Map<number, string>();
      for (const { pod, exit } of steps) {
        const address = `10.0.0.${pod + 5}`;
        if (present.has(pod)) await del(machine, request(`c${pod}`, address).attachment, []);
        else await added(machine, `c${pod}`, address, { configuration: configurationTo(exit) });
        if (!present.delete(pod)) present.set(pod, exit);
      }
      for (const [pod, exit] of present) {
        await added(fresh, `c${pod}`, `10.0.0.${pod + 5}`, { configuration: configurationTo(exit) });
      }
      assert.deepEqual(stateOf(machine), stateOf(fresh));
    }),
    { numRuns: 50 },
  );
});

const configurationTo = (exit: string) => policyTo(exit === 'none' ? 'node' : exit);
