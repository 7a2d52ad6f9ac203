import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { EgressError } from '../../../src/base/errors.ts';
import type { ChainEntry } from '../../../src/config/schema.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { outlineOf, programFor } from '../../../src/policy/program.ts';
import { readPolicies } from '../../../src/sources/policies.ts';
import { anyPolicies } from '../policy/arbitraries.ts';
import { sampleNode } from '../store/records.ts';
import { newMachine } from '../support/fake-machine.ts';

const exits = ['internet', 'partners'].map((name) => ({ name, interface: 'eth1' }));
const textOf = (policies: unknown) => JSON.stringify({ exits, policies });
const long = (count: number) => Array.from({ length: count }, (_, i) => `203.0.${i >> 8}.${i & 255}`);
const sample = textOf([{ name: 'a', namespaces: ['*'], destinations: long(9), except: long(3), exit: 'partners' }]);

/** A policy file that counts how often it is read, and one call after another on one store. */
async function newFile(t: TestContext, text = sample) {
  const { store, dataDir } = newMachine(t);
  const lock = await store.lock();
  t.after(() => lock[Symbol.dispose]());
  const file = { text: text as string | undefined, identity: 'one' as string | undefined, reads: 0 };
  const files = {
    readFile: () => {
      file.reads++;
      return file.text;
    },
    identify: () => file.identity,
  };
  const call = (entry: Partial<ChainEntry> = {}, pod = {}) => {
    const policies = readPolicies({ type: 'egress', policyFile: '/policy', ...entry }, files, store);
    const choice = policies.choose(pod);
    policies.keep();
    return { policies, choice };
  };
  return { file, call, kept: join(dataDir, 'policies.summary') };
}

describe('a policy file', () => {
  test('is read once for all pods that have the same policies, and once more for its ranges', async (t) => {
    const { file, call } = await newFile(t);
    const [{ choice: first }, { choice: second, policies }] = [call(), call()];
    assert.equal(file.reads, 1);
    assert.deepEqual([second.outline, second.digest], [first.outline, first.digest]);
    assert.deepEqual(
      policies.configuration.exits.map(({ name }) => name),
      ['internet', 'partners'],
    );
    assert.deepEqual([second.whole(), second.whole()], [first.whole(), first.whole()]);
    assert.equal(file.reads, 2);
  });

  test('at the default place may be absent, but not once it was there: pods would start without policies', async (t) => {
    const { file, call } = await newFile(t);
    const byDefault = () => call({ policyFile: undefined });
    const [text, identity] = [file.text, file.identity];
    const gone = () => Object.assign(file, { text: undefined, identity: undefined });
    gone();
    assert.deepEqual(byDefault().choice.outline, []);
    Object.assign(file, { text, identity });
    assert.notDeepEqual(byDefault().choice.outline, []);
    gone();
    assert.throws(byDefault, (error) => {
      assert.ok(error instanceof EgressError);
      return error.code === 'try-again' && /policy\.json is gone: .* write \{\} to it$/.test(error.message);
    });
    Object.assign(file, { text: '{}', identity: 'two' });
    assert.deepEqual(byDefault().choice.outline, []);
  });

  test('makes the same programs whether or not it was read before', async (t) => {
    const pods = [{ namespace: 'blue', name: 'db' }, { namespace: 'red', name: 'web-0' }, {}];
    await fc.assert(
      fc.asyncProperty(anyPolicies, async (policies) => {
        const { call } = await newFile(t, textOf(policies));
        for (const pod of pods) {
          const [{ choice }, { choice: again }] = [call({}, pod), call({}, pod)];
          assert.deepEqual(
            [again.outline, again.digest, again.whole()],
            [choice.outline, choice.digest, choice.whole()],
          );
        }
      }),
      { numRuns: 100 },
    );
  });

  test('of which no policy is for a pod is not read again for it', async (t) => {
    const { file, call } = await newFile(t, textOf([{ name: 'a', namespaces: ['blue'], exit: 'partners' }]));
    call({}, { namespace: 'blue' });
    assert.deepEqual(call({}, { namespace: 'red' }).choice.outline, []);
    assert.equal(file.reads, 1);
  });

  test('is read each time for pods with annotations: tenants must not fill what is kept', async (t) => {
    const { file, call, kept } = await newFile(t);
    for (const _ of [1, 2]) call({}, { annotations: { policy: 'a' } });
    assert.equal(file.reads, 2);
    assert.ok(!existsSync(kept));
  });

  test('is kept without its ranges', async (t) => {
    const { call, kept } = await newFile(
      t,
      textOf([{ name: 'a', namespaces: ['*'], destinations: long(5000), exit: 'drop' }]),
    );
    call();
    assert.ok(statSync(kept).size < 1000);
  });

  for (const [what, identity] of [
    ['that has changed', 'two'],
    ['that changed just now', undefined],
  ] as const) {
    test(`${what} is read again`, async (t) => {
      const { file, call } = await newFile(t);
      call();
      Object.assign(file, { identity, text: sample.replaceAll('203.0.', '192.0.') });
      assert.equal(call().choice.outline[0]?.destinations[0], '192.0.0.0/32');
      assert.equal(call().choice.whole()[0]?.destinations.length, 9);
    });
  }

  test('that changes before its ranges are read asks to be called again', async (t) => {
    const { file, call } = await newFile(t);
    call();
    const { choice } = call();
    file.text = sample.replaceAll('203.0.', '192.0.');
    assert.throws(choice.whole, (error) => error instanceof EgressError && error.code === 'try-again');
  });

  test('is read each time when the chain entry has policies, too', async (t) => {
    const { file, call } = await newFile(t);
    for (const destinations of [['198.51.100.0/24'], ['192.0.2.0/24']]) {
      const { choice } = call({ policies: [{ name: 'b', namespaces: ['*'], destinations, exit: 'drop' }] });
      assert.deepEqual(choice.whole().find(({ policy }) => policy === 'b')?.destinations, destinations);
    }
    assert.equal(file.reads, 2);
  });
});

describe('what was kept of a policy file', () => {
  const ways: readonly [what: string, change: (text: string) => string][] = [
    ['is empty', () => ''],
    ['is no text of ours', () => 'hello'],
    ['is truncated', (text) => text.slice(0, -1)],
    ['has lost its first line', (text) => text.slice(text.indexOf('\n') + 1)],
    ['has another exit', (text) => text.replace('"exit":"partners"', '"exit":"internet"')],
    ['is there twice', (text) => text + text],
  ];
  for (const [what, change] of ways) {
    test(`is not believed when it ${what}`, async (t) => {
      const { file, call, kept } = await newFile(t);
      const { choice } = call();
      const text = readFileSync(kept, 'utf8');
      writeFileSync(kept, change(text));
      const again = call().choice;
      assert.deepEqual([again.outline, again.digest], [choice.outline, choice.digest]);
      assert.equal(file.reads, 2);
      assert.equal(readFileSync(kept, 'utf8'), text);
    });
  }
});

test('the outline of a program makes what the program makes, but for the ranges', () => {
  const addresses = ['10.0.0.5'];
  fc.assert(
    fc.property(anyPolicies, (policies) => {
      const program = programFor(policies, {});
      const [whole, outline] = [program, outlineOf(program)].map((matches) => {
        const attachment = { mark: 'pods/a/eth0', addresses, subnets: [], program: 'program-1', matches };
        return desired(sampleNode, { exits: sampleNode.exits, ports: [], attachment }).map((object) =>
          object.kind === 'set' ? { ...object, intervals: object.intervals && object.intervals.length > 0 } : object,
        );
      });
      assert.deepEqual(outline, whole);
    }),
  );
});

describe('objects of the cluster', () => {
  const exit = { name: 'objects', interface: 'eth1' };
  const policy = { name: 'o', namespaces: ['*'], destinations: ['203.0.113.0/24', '198.51.100.0/24'], exit: 'objects' };
  const objects = JSON.stringify({ version: 1, refused: [], document: { exits: [exit], policies: [policy] } });

  /** Calls with a policy file, and with what the agent kept. */
  async function calls(t: TestContext, kept: string | undefined) {
    const { store } = newMachine(t);
    const lock = await store.lock();
    t.after(() => lock[Symbol.dispose]());
    const files = { policy: JSON.stringify({ kubernetes: true }), kept, identity: 'one', reads: [] as string[] };
    const readFile = (path: string) => {
      files.reads.push(path);
      return path === '/policy' ? files.policy : files.kept;
    };
    const call = () => {
      const identify = () => files.identity;
      const policies = readPolicies(
        { type: 'egress', policyFile: '/policy', dataDir: '/data' },
        { readFile, identify },
        store,
      );
      const choice = policies.choose({ namespace: 'shop' });
      policies.keep();
      return choice;
    };
    return { files, call };
  }

  test('count as the policy file does, and are in its summary', async (t) => {
    const { files, call } = await calls(t, objects);
    const [first, second] = [call(), call()];
    assert.deepEqual(files.reads, ['/policy', '/data/agent/objects.json']);
    assert.deepEqual([first.outline.map(({ exit }) => exit), second.digest], [['objects'], first.digest]);
    assert.deepEqual(second.whole(), first.whole());
  });

  test('have to be there: a pod that started before them would leave without its policies', async (t) => {
    for (const kept of [undefined, '{"version":1,', '{"version":2,"refused":[],"document":{}}']) {
      const { call } = await calls(t, kept);
      assert.throws(
        call,
        (error) => error instanceof EgressError && error.code === 'try-again' && /objects\.json/.test(error.message),
      );
    }
  });
});
