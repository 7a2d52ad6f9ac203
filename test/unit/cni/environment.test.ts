import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { attachmentOf, commands, isValidName, readEnvironment } from '../../../src/cni/environment.ts';

type Variables = Record<string, string | undefined>;

const complete = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: '5f1c', CNI_NETNS: '/run/netns/a', CNI_IFNAME: 'eth0' };

/** What is wrong with the variables; undefined when nothing is. */
function complaint(variables: Variables): string | undefined {
  try {
    readEnvironment(variables);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof EgressError);
    assert.equal(error.code, 'invalid-environment');
    return error.message;
  }
}

describe('the environment of a call', () => {
  test('gives command, container, interface and pod', () => {
    const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=0b1c';
    assert.deepEqual(readEnvironment({ ...complete, CNI_ARGS: args }), {
      command: 'ADD',
      containerId: '5f1c',
      ifname: 'eth0',
      pod: { namespace: 'default', name: 'web-0', uid: '0b1c' },
    });
  });

  /** CNI_ARGS → the pod in it. */
  const pods: readonly (readonly [string | undefined, object])[] = [
    [undefined, {}],
    ['', {}],
    ['K8S_POD_NAME=', {}],
    ['K8S_POD_NAMESPACE=a=b;K8S_POD_NAME=c', { namespace: 'a=b', name: 'c' }],
    ['OTHER=K8S_POD_NAME;K8S_POD_NAMESPACE=x', { namespace: 'x' }],
    ['k8s_pod_name=lower', {}],
    ['K8S_POD_NAMES', {}],
  ];
  for (const [args, pod] of pods) {
    test(`has ${JSON.stringify(pod)} as its pod when CNI_ARGS is ${JSON.stringify(args)}`, () => {
      assert.deepEqual(readEnvironment({ ...complete, CNI_ARGS: args }).pod, pod);
    });
  }

  /** Changes of a complete environment → what is said about it. */
  const rows: readonly (readonly [string, Variables, RegExp | undefined])[] = [
    ['without a command', { CNI_COMMAND: undefined }, /^CNI_COMMAND is nothing, expected one of ADD, DEL, /],
    ['with a command in lower case', { CNI_COMMAND: 'add' }, /^CNI_COMMAND is "add"/],
    ['with a command that every object has', { CNI_COMMAND: 'toString' }, /^CNI_COMMAND is "toString"/],
    [
      'without anything that ADD needs',
      { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: undefined },
      /^ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME$/,
    ],
    ['of CHECK without a namespace', { CNI_COMMAND: 'CHECK', CNI_NETNS: undefined }, /^CHECK needs CNI_NETNS$/],
    ['of DEL without a namespace', { CNI_COMMAND: 'DEL', CNI_NETNS: '' }, undefined],
    ['of DEL without a container', { CNI_COMMAND: 'DEL', CNI_CONTAINERID: '' }, /^DEL needs CNI_CONTAINERID$/],
    [
      'with a container ID that is a path',
      { CNI_CONTAINERID: '../x' },
      /^CNI_CONTAINERID is "..\/x", expected letters/,
    ],
    ['with a container ID that ends a line', { CNI_CONTAINERID: 'x\n' }, /^CNI_CONTAINERID/],
    ['with an interface name of 15 characters', { CNI_IFNAME: 'a'.repeat(15) }, undefined],
    [
      'with an interface name of 16 characters',
      { CNI_IFNAME: 'a'.repeat(16) },
      /^CNI_IFNAME is "a{16}", expected at most 15/,
    ],
    ['with an interface name of 15 characters in 30 bytes', { CNI_IFNAME: 'ä'.repeat(15) }, /^CNI_IFNAME/],
    ['with an interface name that is a folder', { CNI_IFNAME: '..' }, /^CNI_IFNAME/],
    ['with an interface name with a slash', { CNI_IFNAME: 'a/b' }, /^CNI_IFNAME/],
    ['with an interface name with a colon', { CNI_IFNAME: 'a:b' }, /^CNI_IFNAME/],
    ['with an interface name with a space', { CNI_IFNAME: 'a b' }, /^CNI_IFNAME/],
    [
      'of VERSION with nothing else',
      { CNI_COMMAND: 'VERSION', CNI_CONTAINERID: undefined, CNI_IFNAME: undefined },
      undefined,
    ],
    ['of GC with names that are none of its business', { CNI_COMMAND: 'GC', CNI_CONTAINERID: '/' }, undefined],
    [
      'of STATUS with nothing else',
      { CNI_COMMAND: 'STATUS', CNI_CONTAINERID: undefined, CNI_NETNS: undefined },
      undefined,
    ],
  ];
  for (const [what, changes, expected] of rows) {
    test(`${what} is ${expected === undefined ? 'fine' : 'refused, and it says why'}`, () => {
      const found = complaint({ ...complete, ...changes });
      if (expected === undefined) assert.equal(found, undefined);
      else assert.match(found ?? 'nothing', expected);
    });
  }
});

test('a valid name is letters, digits, dots, dashes and underscores behind a letter or digit', () => {
  for (const name of ['a', '0', 'a.b-c_D9']) assert.ok(isValidName(name), name);
  for (const name of ['', '.a', '-a', '_a', 'a+b', 'a/b', 'ä', 'a b', 'a\n']) assert.ok(!isValidName(name), name);
});

test('the attachment of a call is its container and interface on the network of the configuration', () => {
  assert.deepEqual(attachmentOf(readEnvironment(complete), 'pods'), {
    network: 'pods',
    containerId: '5f1c',
    ifname: 'eth0',
  });
});

test('every command of CNI 1.1.0 is known', () => {
  assert.deepEqual([...commands], ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION']);
});
