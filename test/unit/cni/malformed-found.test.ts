import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { call, codeOf, given, newMachineInMemory, stateOfCalls } from '../support/calling.ts';
import { type Input, rightInput } from '../support/malformed.ts';
import { Raw } from '../support/malformed-words.ts';

// What the generator of malformed.test.ts found, each once more with its name.

/** Deeper than what calls itself for each level can go. */
const deep = new Raw('['.repeat(20_000) + ']'.repeat(20_000));
const withResult = (changes: object): Input => {
  const { prevResult } = JSON.parse(rightInput().stdin);
  return rightInput({ prevResult: { ...prevResult, ...changes } });
};

/** What the generator found once: what is wrong, the input, and the code that it is refused with now. */
const found: readonly (readonly [string, Input, string])[] = [
  ['a version that is nested deeply', rightInput({ cniVersion: deep }), 'incompatible-version'],
  ['a name that is nested deeply', rightInput({ name: deep }), 'invalid-configuration'],
  ['an exit that is nested deeply', rightInput({ exits: [deep] }), 'invalid-configuration'],
  ['annotations that are nested deeply', rightInput({ runtimeConfig: deep }), 'invalid-configuration'],
  ['interfaces that are nested deeply', withResult({ interfaces: deep }), 'decoding-failure'],
  ['a prevResult that is a text', rightInput({ prevResult: 'none' }), 'decoding-failure'],
  ['a prevResult that is a list', rightInput({ prevResult: [] }), 'decoding-failure'],
  ['an address in a list', withResult({ ips: [{ address: ['10.0.0.5/24'] }] }), 'decoding-failure'],
  ['an address that is missing', withResult({ ips: [{}] }), 'decoding-failure'],
  ['an address that says how it is a text', withResult({ ips: [{ address: { toString: 1 } }] }), 'decoding-failure'],
  ['an index in quotes', withResult({ ips: [{ address: '10.0.0.5/24', interface: '2' }] }), 'decoding-failure'],
  ['an interface without a name', withResult({ interfaces: [{ mac: '02:00:00:00:00:02' }] }), 'decoding-failure'],
  ['a sandbox that is a number', withResult({ interfaces: [{ name: 'veth1', sandbox: 0 }] }), 'decoding-failure'],
  ['a key that is there twice', rightInput({ clusterCIDRs: new Raw('[],"policies":[]') }), 'invalid-configuration'],
  ['an exit with a very long name', rightInput({ exits: [{ name: 'x'.repeat(100_000) }] }), 'invalid-configuration'],
  [
    'five thousand keys',
    rightInput(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`key${i}`, i]))),
    'invalid-configuration',
  ],
  [
    'a policy file with one very long text',
    { ...rightInput(), policyFile: `{"$schema":"${'x'.repeat(10_000_000)}","x":1}` },
    'invalid-configuration',
  ],
];

describe('a mistake that was once taken for something else is refused:', () => {
  for (const [what, input, code] of found) {
    test(what, async (t) => {
      const machine = newMachineInMemory(t);
      const before = stateOfCalls(machine);
      assert.equal(codeOf(await call(machine, input), given(input)), code);
      assert.equal(stateOfCalls(machine), before);
    });
  }

  test('a number that is too large, which JSON has no word for', async (t) => {
    const { stdout } = await call(newMachineInMemory(t), rightInput({ rulePriority: new Raw('1e400') }));
    assert.match(JSON.parse(stdout).details, /got Infinity\./);
  });
});

test('an address that prevResult has twice is the pod’s once', async (t) => {
  const machine = newMachineInMemory(t);
  const ip = { address: '10.0.0.5/24' };
  assert.equal((await call(machine, withResult({ ips: [ip, ip] }))).exitCode, 0);
  assert.deepEqual(
    machine.store.list().map(({ addresses }) => addresses),
    [['10.0.0.5']],
  );
});

test('options about files that no ADD went by do not keep DEL from its work', async (t) => {
  const machine = newMachineInMemory(t);
  for (const changes of [{ dataDir: 'state' }, { dataDir: '/a\0' }, { logFile: '' }, { logLevel: 'loud' }]) {
    await call(machine, rightInput());
    assert.deepEqual(await call(machine, rightInput(changes), 'DEL'), { stdout: '', exitCode: 0 });
    assert.deepEqual(machine.store.list(), []);
  }
});
