import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError, errorTable } from '../../../src/base/errors.ts';
import { commands } from '../../../src/cni/environment.ts';
import { type MachineOptions, runPlugin, type Surroundings } from '../../../src/cni/plugin.ts';
import { supportedVersions } from '../../../src/cni/versions.ts';
import { sample } from '../store/records.ts';
import { newMachine } from '../support/fake-machine.ts';

const reached = 'The machine was reached';

const surroundings = (changes: Partial<Surroundings> = {}): Surroundings => ({
  variables: {},
  readStdin: () => '',
  readFile: () => undefined,
  identify: () => undefined,
  askLabels: () => assert.fail('no agent is asked'),
  openMachine: async () => {
    throw new EgressError('unavailable', reached);
  },
  ...changes,
});

const environment = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_NETNS: '/run/netns/a', CNI_IFNAME: 'eth0' };
const document = {
  name: 'pods',
  cniVersion: '1.0.0',
  type: 'egress',
  prevResult: { cniVersion: '1.0.0', interfaces: [{ name: 'veth0' }], ips: [{ address: '10.0.0.5/24' }] },
};

interface Answer {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

/** The answer to a call with other variables and another document. */
async function answer(variables: object, changes: object, more: Partial<Surroundings> = {}): Promise<Answer> {
  const { stdout } = await runPlugin(
    surroundings({
      variables: { ...environment, ...variables },
      readStdin: () => JSON.stringify({ ...document, ...changes }),
      ...more,
    }),
  );
  return JSON.parse(stdout === '' ? '{}' : stdout) as Answer;
}

/** Right four times of five. */
const mostly = (right: fc.Arbitrary<unknown>, wrong: fc.Arbitrary<unknown> = fc.jsonValue()) =>
  fc.oneof({ weight: 4, arbitrary: right }, wrong);

const halfRightResult = fc.record({ ips: fc.array(fc.jsonValue()), interfaces: fc.array(fc.jsonValue()) });

/** Members that a configuration has, right and wrong ones. */
const anyDocument = fc.record(
  {
    name: mostly(fc.constant('pods')),
    cniVersion: mostly(fc.constantFrom(...supportedVersions)),
    type: mostly(fc.constant('egress')),
    dataDir: mostly(fc.constant('/state')),
    logFile: mostly(fc.constant('/log')),
    exits: mostly(fc.constant([{ name: 'a', interface: 'eth1' }])),
    policies: mostly(fc.constant([{ name: 'p', namespaces: ['*'], exit: 'drop' }])),
    prevResult: mostly(fc.constant(document.prevResult), fc.oneof(fc.jsonValue(), halfRightResult)),
    'cni.dev/valid-attachments': mostly(fc.constant([{ containerID: 'a', ifname: 'eth0' }])),
    'cni.dev/junk': fc.jsonValue(),
  },
  { requiredKeys: ['name', 'cniVersion', 'type'] },
);

const anyText = anyDocument.map((value) => JSON.stringify(value));
const anyStdin = fc.oneof(
  { weight: 5, arbitrary: anyText },
  fc.tuple(anyText, fc.nat(200)).map(([text, length]) => text.slice(0, length)),
  fc.string(),
  fc.json(),
);

const anyVariables = fc.record(
  {
    CNI_COMMAND: mostly(fc.constantFrom(...commands), fc.string()),
    CNI_CONTAINERID: mostly(fc.constant('5f1c'), fc.string()),
    CNI_NETNS: mostly(fc.constant('/run/netns/a'), fc.string()),
    CNI_IFNAME: mostly(fc.constant('eth0'), fc.string()),
    CNI_ARGS: fc.oneof(fc.string(), fc.constantFrom('K8S_POD_NAMESPACE=default', ';;=;')),
  },
  { requiredKeys: ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_IFNAME'] },
) as fc.Arbitrary<Record<string, string>>;

const anyFile = fc.oneof(fc.constant(undefined), fc.string(), fc.json());

describe('whatever a runtime sends,', () => {
  const numbers: readonly number[] = Object.values(errorTable).map(({ number }) => number);

  function requireError(stdout: string): void {
    const { cniVersion, code, msg, details } = JSON.parse(stdout) as Answer;
    assert.ok(
      supportedVersions.some((version) => version === cniVersion),
      cniVersion,
    );
    assert.notEqual(code, 999, stdout);
    assert.ok(numbers.includes(code) && msg !== '' && details !== '', stdout);
  }

  test('the answer is one document with a number of the table, or that all is well', async () => {
    const seen = { fine: 0, reachedMachine: 0 };
    await fc.assert(
      fc.asyncProperty(anyVariables, anyStdin, anyFile, async (variables, stdin, file) => {
        const reply = await runPlugin(surroundings({ variables, readStdin: () => stdin, readFile: () => file }));
        if (reply.stdout.includes(reached)) seen.reachedMachine++;
        if (reply.exitCode === 1) return requireError(reply.stdout);
        seen.fine++;
        if (variables.CNI_COMMAND === 'VERSION') assert.ok('supportedVersions' in JSON.parse(reply.stdout));
        else assert.deepEqual([variables.CNI_COMMAND, reply.stdout], ['GC', '']);
      }),
      { numRuns: 2000 },
    );
    assert.ok(seen.fine > 0 && seen.reachedMachine > 0, `too few calls were valid: ${JSON.stringify(seen)}`);
  });
});

describe('VERSION', () => {
  const version = { CNI_COMMAND: 'VERSION' };

  test('is answered without the machine, in the version of the request', async () => {
    assert.deepEqual(await answer(version, { cniVersion: '0.3.1' }), {
      cniVersion: '0.3.1',
      supportedVersions: [...supportedVersions],
    });
  });

  test('is answered whatever is on stdin', async () => {
    for (const readStdin of [
      () => '',
      () => 'null',
      () => '{',
      () => {
        throw new Error('EAGAIN');
      },
    ]) {
      const { stdout, exitCode } = await runPlugin(surroundings({ variables: version, readStdin }));
      assert.deepEqual([exitCode, (JSON.parse(stdout) as Answer).cniVersion], [0, '1.1.0']);
    }
  });
});

const annotated = (annotations: unknown) => ({
  runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations },
});

describe('a call', () => {
  test('opens the machine with the files that the chain entry names', async () => {
    const opened: MachineOptions[] = [];
    const openMachine = async (options: MachineOptions) => {
      opened.push(options);
      throw new EgressError('unavailable', reached);
    };
    const files = { dataDir: '/state', logFile: '/log', logLevel: 'debug' };
    for (const CNI_COMMAND of ['ADD', 'DEL']) {
      await answer({ CNI_COMMAND }, files, { openMachine });
      await answer({ CNI_COMMAND }, {}, { openMachine });
    }
    const byDefault = { dataDir: '/var/lib/cni/egress' };
    assert.deepEqual(opened, [files, byDefault, files, byDefault]);
  });

  test('leaves a line in the log: the command, how long it took, and the code of an error', async (t) => {
    const lines: [object, string][] = [];
    const take = (fields: object, message: string) => void lines.push([fields, message]);
    const machine = { ...newMachine(t), log: { debug: () => {}, info: take, warn: take } };
    await answer({ CNI_COMMAND: 'DEL' }, {}, { openMachine: async () => machine });
    const broken = {
      ...machine,
      get store(): never {
        throw new EgressError('record-newer', 'a');
      },
    };
    await answer({ CNI_COMMAND: 'DEL' }, {}, { openMachine: async () => broken });
    const seen = lines.map(([fields, message]) => {
      const { command, tookMs, code, error } = fields as Readonly<Record<string, unknown>>;
      return [command, Number.isInteger(tookMs) && Number(tookMs) > 0, code, error, message];
    });
    assert.deepEqual(seen, [
      ['DEL', true, undefined, undefined, 'done'],
      ['DEL', true, 'record-newer', 'a', 'failed'],
    ]);
  });

  test('without stdin fails with the reason', async () => {
    const readStdin = () => {
      throw new Error('EBADF: bad file descriptor');
    };
    const { code, details } = await answer({}, {}, { readStdin });
    assert.equal(code, 5);
    assert.match(details, /EBADF/);
  });

  /** Command, changes of the document → the number of the error. 50 is that of the machine that was reached. */
  const rows: readonly (readonly [string, string, object, number | undefined])[] = [
    ['ADD', 'that is complete', {}, 50],
    ['ADD', 'without prevResult', { prevResult: undefined }, 100],
    ['ADD', 'with an unknown key', { polices: [] }, 7],
    ['ADD', 'with a broken policy', { policies: [{ name: 'p' }] }, 7],
    ['ADD', 'with annotations that are nobody’s', annotated({ a: 'b' }), 50],
    ['ADD', 'with annotations that are no object', annotated('x'), 7],
    ['CHECK', 'that is complete', {}, 50],
    ['CHECK', 'of a version without it', { cniVersion: '0.3.1' }, 1],
    ['CHECK', 'without prevResult', { prevResult: undefined }, 100],
    ['DEL', 'with a broken policy, an unknown key and no prevResult', { policies: 7, x: 1, prevResult: undefined }, 50],
    ['DEL', 'with annotations that are no object', annotated([]), 50],
    ['DEL', 'with a prevResult that is none', { prevResult: { ips: 7 } }, 50],
    ['GC', 'of a version without it', { cniVersion: '1.0.0' }, 1],
    ['GC', 'that does not say what is valid', { cniVersion: '1.1.0' }, undefined],
    ['GC', 'that says what is valid', { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] }, 50],
    ['GC', 'with a list that is none', { cniVersion: '1.1.0', 'cni.dev/valid-attachments': 7 }, 7],
    ['STATUS', 'of a version without it', { cniVersion: '1.0.0' }, 1],
    ['STATUS', 'that is complete, with a broken policy', { cniVersion: '1.1.0', policies: 7 }, 50],
  ];
  for (const [CNI_COMMAND, what, changes, number] of rows) {
    const outcome =
      number === 50 ? 'reaches the machine' : number === undefined ? 'is nothing to do' : `is error ${number}`;
    test(`${CNI_COMMAND} ${what} ${outcome}`, async () => {
      assert.equal((await answer({ CNI_COMMAND }, changes)).code, number);
    });
  }

  test('of ADD to a node that is drained passes the pod through, whatever it asks for and the policy file says', async (t) => {
    const machine = newMachine(t);
    const asked = { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { 'egress.cni/exit': 'nowhere' } } };
    const more = { readFile: () => '{', openMachine: async () => machine };
    assert.deepEqual(await answer({}, { ...asked, draining: true }, more), document.prevResult);
    assert.deepEqual(await answer({ CNI_COMMAND: 'CHECK' }, { ...asked, draining: true }, more), {});
    assert.deepEqual(machine.store.list(), []);
    assert.equal((await answer({}, asked, more)).code, 11);
  });

  test('of ADD that is repeated on such a node leaves a pod that is steered as it is', async (t) => {
    const machine = newMachine(t);
    const steered = sample({ network: document.name, containerId: 'a', ifname: 'eth0' });
    {
      using _lock = await machine.store.lock();
      machine.store.save(steered);
    }
    const more = { openMachine: async () => machine };
    assert.deepEqual(await answer({}, { draining: true }, more), document.prevResult);
    assert.deepEqual(machine.store.load(steered), steered);
  });

  test('with a policy file that is missing or half-written is to be tried again', async (t) => {
    const policyFile = '/etc/policy.json';
    const openMachine = async () => newMachine(t);
    assert.equal((await answer({}, { policyFile }, { openMachine })).code, 11);
    assert.equal((await answer({}, { policyFile }, { openMachine, readFile: () => '{"exits": [' })).code, 11);
    assert.equal((await answer({ CNI_COMMAND: 'DEL' }, { policyFile })).code, 50);
  });

  test('of DEL answers a failure in words that containerd does not take for a success', async () => {
    const openMachine = async () => {
      throw new EgressError('io-failure', 'ENOENT: no such file or directory; namespace Not Found');
    };
    const { details } = await answer({ CNI_COMMAND: 'DEL' }, {}, { openMachine });
    assert.match(details, /^ENOENT: missing; namespace missing\. /);
    assert.match((await answer({}, {}, { openMachine })).details, /no such file or directory/);
  });

  test('answers in the version of the configuration, also with an error', async () => {
    assert.equal((await answer({}, { cniVersion: '0.4.0' })).cniVersion, '0.4.0');
    assert.equal((await answer({}, { cniVersion: '9.0.0' })).cniVersion, '1.1.0');
  });
});
