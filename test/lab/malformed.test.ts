import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Explanation } from '../../src/report/explain.ts';
import { type Json, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Call } from '../support/plugin.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

// The ten thousand inputs of test/unit/cni/malformed.test.ts meet a kernel in memory; the worst of them meet the real one.

const [service4, service6] = world.service;
const long = 'x'.repeat(100_000);
const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;

/** The request of a pod with a part of its text replaced: what no value can say. */
const written = (pod: Pod, member: string): Call => ({
  stdin: JSON.stringify({
    cniVersion: '1.0.0',
    name: 'cluster',
    type: 'egress',
    ...policy,
    prevResult: pod.result,
  }).replace('{', () => `{${member},`),
});
const withPolicy = (changes: Json) => (): Call => ({ config: { policies: [{ ...policy.policies[0], ...changes }] } });
const withExit = (changes: Json) => (): Call => ({ config: { exits: [{ ...partners, ...changes }] } });
const withInterface =
  (name: unknown) =>
  (pod: Pod): Call => ({
    config: { prevResult: { ...pod.result, interfaces: [{ name }], ips: [{ address: '10.0.0.9/24' }] } },
  });
const withAddress =
  (address: unknown, index?: unknown) =>
  (pod: Pod): Call => ({
    config: { prevResult: { ...pod.result, ips: [{ address, interface: index }] } },
  });
const annotated = (annotations: unknown) => (): Call => ({
  config: {
    exits: [{ ...partners, annotationNamespaces: ['default'] }],
    runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations },
  },
});

/** What is refused, and the number of the error. */
const refusals: readonly (readonly [what: string, call: (pod: Pod) => Call, code: number])[] = [
  ['a value that is nested deeply', (pod) => written(pod, `"runtimeConfig":${deep}`), 7],
  ['a version that is nested deeply', () => ({ stdin: `{"name":"a","cniVersion":${deep}}` }), 1],
  ['brackets only', () => ({ stdin: '['.repeat(200_000) }), 6],
  ['a key that is there twice', (pod) => written(pod, '"policies":[]'), 7],
  ['a number that is too large', (pod) => written(pod, '"rulePriority":1e400'), 7],
  ['two documents', () => ({ stdin: '{}{}' }), 6],
  ['a byte order mark', () => ({ stdin: '\uFEFF{}' }), 6],
  ['bytes that are no text', () => ({ stdin: '\u0000\u0001' }), 6],
  ['a network name of many letters and a slash', () => ({ config: { name: `${long}/` } }), 7],
  ['an unknown key of many letters', () => ({ config: { [long]: 1 } }), 7],
  ['a policy called __proto__', withPolicy({ name: '__proto__' }), 7],
  ['an exit called __proto__', withExit({ name: '__proto__' }), 7],
  ['no destinations in the list', withPolicy({ destinations: [] }), 7],
  ['destinations that are null', withPolicy({ destinations: null }), 7],
  ['a range with a zero in front', withPolicy({ destinations: ['010.0.0.0/8'] }), 7],
  ['a range in hexadecimal', withPolicy({ destinations: ['0x0a.0.0.0/8'] }), 7],
  ['a range with a zone', withPolicy({ destinations: ['fe80::1%eth0/128'] }), 7],
  ['a reversed range of ports', withPolicy({ ports: ['tcp:443-80'] }), 7],
  ['a port that is too high', withPolicy({ ports: ['tcp:65536'] }), 7],
  ['a glob with a zero byte', withPolicy({ namespaces: ['default\u0000'] }), 7],
  ['an interface of an exit with a zero byte', withExit({ interface: 'eth1\u0000' }), 7],
  ['an interface without a name in prevResult', withInterface(undefined), 6],
  ['an empty name of an interface in prevResult', withInterface(''), 102],
  ['a long name of an interface in prevResult', withInterface(long), 102],
  ['a name with a zero byte in prevResult', withInterface('eth0\u0000x'), 102],
  ['an address in a list in prevResult', withAddress(['10.0.0.9/24']), 6],
  ['an index in quotes in prevResult', withAddress('10.0.0.9/24', '2'), 6],
  ['an annotation that is a list', annotated({ 'egress.cni/exit': ['partners'] }), 7],
  ['an annotation with two exits', annotated({ 'egress.cni/exit': 'partners,partners' }), 113],
  ['an annotation of an odd letter', annotated({ 'egress.cni/exit': 'p\u0430rtners' }), 114],
  [
    'an annotation with a long range',
    annotated({ 'egress.cni/exit': 'partners', 'egress.cni/destinations': long }),
    113,
  ],
  ['a container ID with a line break', () => ({ env: { CNI_CONTAINERID: 'a\n' } }), 4],
];

/** What is odd, and means what stands there: a policy, and the exits of packets to the two services on port 8080. */
const meanings: readonly (readonly [what: string, policy: Json, env: Json, exits: readonly [string, string]])[] = [
  ['a range with bits behind its length', { destinations: [`${service4}/20`] }, {}, ['partners', 'node']],
  ['IPv4 addresses written as IPv6', { destinations: [`::ffff:${service4}/128`] }, {}, ['partners', 'node']],
  ['capitals and zeros in IPv6', { destinations: ['2001:0DB8:0::/32'] }, {}, ['node', 'partners']],
  ['a port with zeros in front', { ports: ['tcp:08080-08080'] }, {}, ['partners', 'partners']],
  ['the same ranges in except', { except: [`${service4}`, `${service4}/32`] }, {}, ['node', 'partners']],
  [
    'a namespace that is said twice',
    {},
    { CNI_ARGS: 'K8S_POD_NAMESPACE=other;K8S_POD_NAMESPACE=default' },
    ['partners', 'partners'],
  ],
  ['a namespace in quotes', {}, { CNI_ARGS: 'K8S_POD_NAMESPACE="default"' }, ['node', 'node']],
  ['a namespace that looks like a pattern', {}, { CNI_ARGS: 'K8S_POD_NAMESPACE=*' }, ['node', 'node']],
  ['a namespace with a space behind it', {}, { CNI_ARGS: 'K8S_POD_NAMESPACE=default ' }, ['node', 'node']],
];

describe('a malformed input', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;

  before(async () => {
    lab = await Lab.create();
    node = await lab.node();
    pod = await node.withoutEgress(() => node.started());
  });

  after(() => lab.remove());

  const requireNothing = async () => {
    assert.deepEqual(
      (await node.records()).filter((name) => name !== 'lock'),
      [],
    );
  };

  test('is refused with one error, and nothing is left', async (t) => {
    const state = await snapshot(node);
    for (const [what, call, code] of refusals) {
      const { json, code: exitCode, stderr } = await node.plugin('ADD', { pod, ...call(pod) });
      const error = json as { readonly code: number; readonly details: string };
      assert.deepEqual([error.code, exitCode], [code, 1], `${what}: ${JSON.stringify(json).slice(0, 500)}`);
      assert.ok(error.details.length < 4500, `${what}: ${error.details.length} characters`);
      assert.doesNotMatch(error.details + stderr, /\n\s+at |undefined|\[object/, what);
      await requireNothing();
    }
    assertUnchanged(state, await snapshot(node));
    t.diagnostic(`${refusals.length} were refused`);
  });

  test('that is only odd means what stands there, as explain says and the outside sees', async () => {
    for (const [what, changes, env, exits] of meanings) {
      const pod = await node.withoutEgress(() => node.started());
      const config = { policies: [{ ...policy.policies[0], ...changes }] };
      const call = { pod, config, env: env as Readonly<Record<string, string>> };
      const { code, stdout } = await node.plugin('ADD', call);
      assert.equal(code, 0, `${what}: ${stdout}`);
      const isKnown = (await node.records()).some((name) => name.includes(pod.containerID));
      assert.ok(isKnown || exits.every((exit) => exit === 'node'), what);
      const packets = [`tcp/${service4}:8080`, `tcp/[${service6}]:8080`];
      if (isKnown) assert.deepEqual(await explained(pod.containerID, packets), exits, what);
      const addresses = exits.map((exit, i) => (exit === 'node' ? node.addresses('eth0') : partners.addresses)[i]);
      assert.deepEqual(await Promise.all(world.service.map((to) => pod.ask('tcp', to, 8080))), addresses, what);
      assert.equal((await node.plugin('DEL', call)).code, 0);
      await requireNothing();
      await node.withoutEgress(() => node.end(pod));
    }
  });

  async function explained(asked: string, packets: readonly string[]): Promise<readonly string[]> {
    const { code, stdout, stderr } = await node.egress('explain', asked, ...packets, '--json');
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as readonly Explanation[]).map(({ exit = 'node' }) => exit);
  }

  const files: Readonly<Record<string, string>> = {
    'empty.json': '',
    'half.json': '{"exits": [',
    'list.json': '[]',
    'null.json': 'null',
    'deep.json': deep,
    'deep.yaml': `exits: ${deep}`,
    'deeper.yaml': '- '.repeat(20_000),
    'bomb.yaml': Array.from(
      { length: 12 },
      (_, i) => `a${i}: &a${i} [${Array(9).fill(i === 0 ? 'x' : `*a${i - 1}`)}]`,
    ).join('\n'),
    'tags.yaml': 'exits: !!binary aGVsbG8=\npolicies: !!set {a, b}\nnodes: .nan\nfwmark: .inf\n? {a: 1}\n: 2\n',
    'keys.yaml': '? [1, 2]\n: 3\n~: 4\n__proto__: 5\nconstructor: {prototype: 1}\n',
    'zero.json': '\u0000\u0000',
    'names.json': JSON.stringify({ constructor: 1, toString: 2, exits: [{ constructor: 1 }], [long]: deep }),
  };

  test('of a person is answered with a sentence and the exit code 1 or 2, never with a stack trace', async () => {
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(node.configuration(name), text)));
    const paths = [...Object.keys(files).map((name) => `/etc/cni/${name}`), '/etc/cni', '/nowhere', '/dev/full\n', ''];
    const odd = [
      '',
      '/',
      '*',
      '__proto__',
      '1.2.3',
      '010.0.0.1:80',
      'tcp/',
      'tcp/1.2.3.4:0',
      '[::1',
      '::1%lo:80',
      long,
      '-1',
      '\u202e',
    ];
    const calls = [
      ...paths.flatMap((path) => [
        ['validate', path],
        ['import', path, '--interface', 'eth1'],
      ]),
      ...odd.flatMap((word) => [
        ['explain', 'default/a', '--', word],
        ['explain', '--', word, '1.2.3.4'],
        ['who', '--', word],
      ]),
      ...paths.slice(0, 4).map((path) => ['explain', 'default/a', '1.2.3.4', '--policy', path]),
      ['explain'],
      ['who', '1.2.3.4'],
      ['nothing'],
    ];
    while (calls.length > 0) await Promise.all(calls.splice(0, 4).map(requireSentence));
    await requireNothing();
  });

  async function requireSentence(words: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await node.egress(...words);
    const said = stdout + stderr;
    const what = `egress ${words.join(' ').slice(0, 100)}: exit code ${code}\n${said.slice(0, 1000)}`;
    assert.ok(code === 1 || code === 2, what);
    assert.doesNotMatch(said, /\n\s+at |Internal error|TypeError|RangeError|\[object/, what);
    assert.ok(said.trim() !== '' && said.length < 150_000, what);
  }
});
