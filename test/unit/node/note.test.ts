import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { chainNames } from '../../../src/datapath/layout.ts';
import { type HostObject, ofKind } from '../../../src/datapath/objects.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { added, type FakeMachine, newMachine, policyTo, stateOf } from '../support/fake-machine.ts';

/** How often all of our tables were looked at from now on. */
function fullLooks({ host }: FakeMachine): () => number {
  let count = 0;
  const [observe, observeOurs] = [host.observe.bind(host), host.observeOurs.bind(host)];
  host.observe = (...given) => {
    count++;
    return observe(...given);
  };
  host.observeOurs = (...given) => {
    count++;
    return observeOurs(...given);
  };
  return () => count;
}

/** Whether it is none of the pod `b`'s. */
const isOfOther = (object: HostObject) => !/pods\/b\/eth0|veth-b/.test(JSON.stringify(object));

/** Takes away what goes with an interface: that is no change of the ruleset. */
function removeChain({ host: { kernel } }: FakeMachine, name: string): void {
  const chains = ofKind(kernel.contents(), 'chain').filter((chain) => chain.name === name);
  assert.equal(chains.length, 1);
  kernel.apply(chains.map((object) => ({ verb: 'remove', object })));
  kernel.generation--;
}

describe('beside a note of the last call', () => {
  test('a second pod of a program gets its own part alone, and is as complete', async (t) => {
    const [machine, without] = [newMachine(t), newMachine(t)];
    without.host.placeName = undefined;
    for (const each of [machine, without]) await added(each, 'a', '10.0.0.5');
    const looks = fullLooks(machine);
    machine.host.applied.length = 0;
    const attachment = await added(machine, 'b', '10.0.0.6');
    assert.equal(looks(), 0);
    assert.deepEqual(
      machine.host.applied.filter(({ object }) => isOfOther(object)),
      [],
    );
    await added(without, 'b', '10.0.0.6');
    assert.deepEqual(stateOf(machine), stateOf(without));
    await check(machine, attachment, () => true);
    assert.equal(looks(), 0);
  });

  test('DEL of one of two takes its own part alone; the last one takes all, and the note', async (t) => {
    const machine = newMachine(t);
    const before = stateOf(machine);
    const first = await added(machine, 'a', '10.0.0.5');
    const one = stateOf(machine);
    const second = await added(machine, 'b', '10.0.0.6');
    const looks = fullLooks(machine);
    await del(machine, second, []);
    assert.equal(looks(), 0);
    assert.deepEqual(stateOf(machine), one);
    await del(machine, first, []);
    assert.ok(looks() > 0);
    assert.deepEqual(stateOf(machine), before);
    assert.equal(existsSync(join(machine.dataDir, 'look')), false);
  });

  test('DEL of the last pod of a program takes that, though another program has pods', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('backup') });
    const one = stateOf(machine);
    const second = await added(machine, 'b', '10.0.0.6');
    await del(machine, second, []);
    assert.deepEqual(stateOf(machine), one);
  });

  test('a repeated ADD leaves none: what only the earlier one needed may be there', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const second = await added(machine, 'b', '10.0.0.6');
    await added(machine, 'b', '10.0.0.6', { configuration: policyTo('partners', ['198.51.100.0/24']) });
    const looks = fullLooks(machine);
    await del(machine, second, []);
    assert.ok(looks() > 0);
  });

  for (const [what, change] of Object.entries<(machine: FakeMachine) => void>({
    'somebody deleted the tables': ({ host }) => host.kernel.deleteTables(),
    'somebody changed the ruleset': ({ host }) => void host.kernel.generation++,
    'it is another network namespace, or the machine was started again': ({ host }) => {
      host.placeName = 'there';
    },
    'the kernel does not tell which ruleset it is': ({ host }) => {
      host.placeName = undefined;
    },
    'another build of the program wrote it': ({ dataDir }) => {
      const path = join(dataDir, 'look/noted.json');
      writeFileSync(path, readFileSync(path, 'utf8').replace('"build":"this"', '"build":"that"'));
    },
    'half of it is missing': ({ dataDir }) => {
      const path = join(dataDir, 'look/noted.json');
      writeFileSync(path, readFileSync(path, 'utf8').slice(0, -20));
    },
    'the chain at the exit’s interface went with that': (machine) => removeChain(machine, chainNames.sent('eth1')),
  })) {
    test(`everything is looked at when ${what}`, async (t) => {
      const machine = newMachine(t);
      await added(machine, 'a', '10.0.0.5');
      change(machine);
      const looks = fullLooks(machine);
      const attachment = await added(machine, 'b', '10.0.0.6');
      assert.ok(looks() > 0);
      await check(machine, attachment, () => true);
    });
  }

  test('CHECK names what went with the interface, without a change of the ruleset', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const attachment = await added(machine, 'b', '10.0.0.6');
    removeChain(machine, chainNames.from('veth-b'));
    await assert.rejects(
      check(machine, attachment, () => true),
      /from-veth-b/,
    );
  });

  test('CHECK reads the ranges of a program that was there before the note', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.generation++; // whoever changed something: the next note knows names of sets alone
    const attachment = await added(machine, 'b', '10.0.0.6');
    await check(machine, attachment, () => true);
    const set = ofKind(machine.host.kernel.contents(), 'set').find(({ name }) => /^program-.*-1$/.test(name));
    assert.ok(set);
    machine.host.kernel.transact([{ verb: 'flush', object: set }]);
    machine.host.kernel.generation--;
    await assert.rejects(
      check(machine, attachment, () => true),
      /is not as expected/,
    );
  });

  test('a pod that another one’s address is given to has everything looked at', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const looks = fullLooks(machine);
    await added(machine, 'b', '10.0.0.5');
    assert.ok(looks() > 0);
  });
});
