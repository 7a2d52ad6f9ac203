import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { gc } from '../../../src/node/gc.ts';
import { findDead } from '../../../src/node/living.ts';
import { added, newMachine, policyTo, request, stateOf } from '../support/fake-machine.ts';

describe('GC', () => {
  test('of an empty node does nothing, not even take the lock', async (t) => {
    const machine = newMachine(t);
    using _lock = await machine.store.lock();
    await gc(machine, 'pods', new Set());
  });

  test('keeps what is valid and takes all else of its network', async (t) => {
    const [machine, alone] = [newMachine(t), newMachine(t)];
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    await added(machine, 'b', '10.0.0.6');
    await added(alone, 'b', '10.0.0.6');
    await gc(machine, 'pods', new Set(['pods/b/eth0']));
    assert.deepEqual(stateOf(machine), stateOf(alone));
    await gc(machine, 'pods', new Set());
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('leaves other networks alone, also one whose name begins the same', async (t) => {
    const machine = newMachine(t);
    const attachment = { ...request('a', '').attachment, network: 'pods2' };
    await added(machine, 'a', '10.0.0.5', { attachment });
    const before = stateOf(machine);
    await gc(machine, 'pods', new Set());
    assert.deepEqual(stateOf(machine), before);
  });

  test('finds by the marks in the kernel what has no record', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    rmSync(join(machine.dataDir, 'attachments'), { recursive: true });
    await gc(machine, 'pods', new Set(['pods/b/eth0']));
    assert.deepEqual(stateOf(machine), stateOf(newMachine(t)));
  });

  test('goes on after an error, and tells of it at the end', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    await added(machine, 'b', '10.0.0.6');
    const { apply } = machine.host;
    let calls = 0;
    machine.host.apply = async (...given) => {
      if (calls++ < 2) throw new EgressError('kernel-refused', 'delete: EBUSY'); // all at once, and the first alone
      return apply.call(machine.host, ...given);
    };
    await assert.rejects(gc(machine, 'pods', new Set()), (error) => {
      assert.ok(error instanceof EgressError);
      assert.deepEqual([error.code, error.message], ['partly-done', 'pods/a/eth0: delete: EBUSY']);
      return true;
    });
    assert.deepEqual(stateOf(machine).kernel, {});
    assert.deepEqual(Object.keys(stateOf(machine).store), ['attachments/pods+a+eth0.json']);
    await gc(machine, 'pods', new Set());
    assert.deepEqual(stateOf(machine).store, {});
  });

  test('takes down however many in one transaction', async (t) => {
    const machine = newMachine(t);
    for (let i = 0; i < 4; i++) await added(machine, `c${i}`, `10.0.0.${i + 5}`);
    await added(machine, 'b', '10.0.0.9');
    const before = machine.host.calls.filter((call) => call === 'apply').length;
    await gc(machine, 'pods', new Set(['pods/b/eth0']));
    assert.equal(machine.host.calls.filter((call) => call === 'apply').length - before, 1);
    assert.deepEqual(
      machine.store.list().map(({ containerId }) => containerId),
      ['b'],
    );
  });

  test('refuses when a newer egress wrote a record', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const kernel = stateOf(machine).kernel;
    writeFileSync(join(machine.dataDir, 'attachments', 'pods+b+eth0.json'), '{"version": 3}');
    await assert.rejects(gc(machine, 'pods', new Set()), /has version 3/);
    assert.deepEqual(stateOf(machine).kernel, kernel);
  });
});

describe('a dead attachment', () => {
  test('is one whose interface is gone, or is another one by now', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(await findDead(machine), []);
    machine.host.links.set('veth1', { index: 1000, name: 'veth1', up: true, mtu: 1500 });
    assert.deepEqual(
      (await findDead(machine)).map(({ containerId }) => containerId),
      [attachment.containerId],
    );
    machine.host.links.delete('veth1');
    assert.equal((await findDead(machine)).length, 1);
  });

  test('is not one whose interface on the host is no veth: what became of that nobody knows', async (t) => {
    const machine = newMachine(t);
    machine.host.links.set('tap1', { index: 50, name: 'tap1', up: true, mtu: 1500, type: 'tun' });
    const { podNetwork } = request('a', '10.0.0.5');
    await added(machine, 'a', '10.0.0.5', { podNetwork: { ...podNetwork, hostInterfaces: ['tap1'] } });
    assert.deepEqual(await findDead(machine), []);
  });
});
