import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { isKeeping } from '../../../src/datapath/kept.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { check } from '../../../src/node/check.ts';
import { added, type FakeMachine, newMachine, request, stateOf } from '../support/fake-machine.ts';

/** What CHECK of pod `a` says; undefined when it is content. */
async function complaint(machine: FakeMachine, hasPolicy = true): Promise<string | undefined> {
  try {
    await check(machine, request('a', '').attachment, () => hasPolicy);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof EgressError);
    assert.equal(error.code, 'check-failed');
    return error.message;
  }
}

describe('CHECK', () => {
  test('changes nothing, whatever is wrong', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.deleteTables();
    const before = stateOf(machine);
    await complaint(machine);
    assert.deepEqual(stateOf(machine), before);
  });

  test('is content with a pod that was passed through, as long as no policy is for it', async (t) => {
    const machine = newMachine(t);
    assert.equal(await complaint(machine, false), undefined);
    assert.equal(await complaint(machine), 'There is no record of pods/a/eth0, but a policy is for it');
  });

  test('names the node’s record when that is missing', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    rmSync(join(machine.dataDir, 'node.json'));
    assert.equal(await complaint(machine), 'The node’s record is missing');
  });

  test('names the record of the program when that is missing or broken', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const [file = ''] = readdirSync(join(machine.dataDir, 'programs'));
    writeFileSync(join(machine.dataDir, 'programs', file), 'hello');
    const name = file.replace('.json', '');
    assert.equal(await complaint(machine), `The record of ${name} is missing`);
    rmSync(join(machine.dataDir, 'programs', file));
    assert.equal(await complaint(machine), `The record of ${name} is missing`);
  });

  test('names the parameter that is not what the exit needs', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.sysctls.set('net/ipv4/conf/eth1/rp_filter', '1');
    assert.equal(await complaint(machine), 'sysctl net/ipv4/conf/eth1/rp_filter is 1, expected 2');
  });

  test('names an element that leads the pod elsewhere', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.5');
    assert.equal(
      await complaint(machine),
      ['checked4', 'ends4', 'steered4', 'programs4', 'pods4']
        .map((set) => `element ${set === 'ends4' ? '10.0.0.5 . ' : ''}10.0.0.5 of ${set} is not as expected`)
        .join('; '),
    );
  });

  test('names the ranges of a program that somebody changed', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const set = machine.host.kernel.contents().find((object) => object.kind === 'set' && object.name.endsWith('-1'));
    assert.ok(set?.kind === 'set');
    machine.host.kernel.transact([{ verb: 'flush', object: set }]);
    assert.equal(await complaint(machine), `set ${set.name} is not as expected`);
  });

  test('names the rule that is missing in a chain', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.transact([{ verb: 'flush', object: { kind: 'chain', name: 'nat', rules: [] } }]);
    assert.match(
      (await complaint(machine)) ?? '',
      /^rule 1 of base chain nat is missing: meta mark & 0x40000000 == 0x40000000 goto translate; rule 2 of /,
    );
  });
});

describe('CHECK misses everything that ADD set up:', () => {
  test('each rule, each route and the mark at the pod’s interface by itself', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const outside = (object: HostObject) => ['rule', 'route', 'ingressMark'].includes(object.kind);
    const objects = machine.host.kernel.contents().filter(outside);
    assert.equal(objects.length, 10);
    for (const object of objects) {
      machine.host.kernel.apply([{ verb: 'remove', object }]);
      assert.match((await complaint(machine)) ?? '', /^(ip (rule|route)|mark) [^;]* is missing$/);
      machine.host.kernel.apply([{ verb: 'add', object }]);
    }
    assert.equal(await complaint(machine), undefined);
  });

  test('each object of the table, when the table is gone', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const contents = machine.host.kernel.contents().filter((object) => !isKeeping({ verb: 'add', object }));
    const inTable = contents.filter(({ kind }) => !['rule', 'route', 'ingressMark'].includes(kind));
    machine.host.kernel.deleteTables();
    const sentences = (await complaint(machine))?.split('; ') ?? [];
    assert.equal(sentences.length, inTable.length);
    assert.ok(sentences.every((sentence) => sentence.endsWith(' is missing')));
    assert.ok(sentences.includes('element 10.0.0.5 of pods4 is missing'));
  });
});
