import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exitIdOf } from '../../src/policy/exit-id.ts';
import { capabilities, egressEntry, type Json, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const exits = [{ ...partners, annotationNamespaces: ['red'] }];
/** What nobody may reach, in the least important policy of all. */
const sealed = { name: 'sealed', namespaces: ['*'], destinations: world.exceptions, exit: 'drop', priority: -1000 };

async function nodeIn(lab: Lab, changes: Json = {}): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ egress: egressEntry({ capabilities, exits, policies: [sealed], ...changes }) });
  return node;
}

async function startedWith(node: LabNode, namespace: string, annotations: Pod['annotations']): Promise<Pod> {
  const pod = await node.pod(namespace);
  pod.annotations = annotations;
  await node.add(pod);
  return pod;
}

const wish = { 'egress.cni/exit': 'partners' };
const byExit = [...world.exitAddress];

/** ADD of egress for a pod that is on the network already, and what it answers; nothing may be left of it. */
async function refusal(node: LabNode, pod: Pod): Promise<string> {
  const before = await snapshot(node);
  const { json } = await node.plugin('ADD', { pod });
  assertUnchanged(before, await snapshot(node));
  const { code, details } = json as { code: number; details: string };
  return `${code}: ${details}`;
}

describe('a tenant cannot', labTest, () => {
  test('use an exit that is closed to its namespace, nor pretend to be of another', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await node.withoutEgress(() => node.started('blue'));
    pod.annotations = wish;
    assert.match(
      await refusal(node, pod),
      /^115: Pod blue\/\S+, annotation "egress\.cni\/exit": exit "partners" is not open/,
    );
    pod.annotations = { ...wish, 'egress.cni/namespace': 'red' };
    assert.match(await refusal(node, pod), /^113: /);
    pod.annotations = { ...wish, K8S_POD_NAMESPACE: 'red', namespace: 'red' };
    assert.match(await refusal(node, pod), /^115: /);
    pod.annotations = { 'egress.cni/exit': 'partners;K8S_POD_NAMESPACE=red' };
    assert.match(await refusal(node, pod), /^114: /);
    assert.deepEqual(
      (await node.records()).filter((name) => name !== 'lock'),
      [],
    );
  });

  test('widen what an administrator drops, by no range and no opt-in that is open to it', async () => {
    await using lab = await Lab.create();
    const optIn = { name: 'lab', namespaces: ['red'], exit: 'partners', optIn: true };
    const node = await nodeIn(lab, { policies: [{ ...sealed, priority: 0 }, optIn] });
    const capture = await node.capture();
    const all = await startedWith(node, 'red', wish);
    const exact = [...world.excepted, '198.51.100.1'].join();
    const some = await startedWith(node, 'red', { ...wish, 'egress.cni/destinations': exact });
    const asking = await startedWith(node, 'red', { ...wish, 'egress.cni/policy': 'lab' });
    const pods = [all, some, asking];
    for (const pod of pods) assert.deepEqual(await pod.askEach('udp', world.excepted), ['nothing', 'nothing']);
    assert.deepEqual(await all.askEach(), byExit);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.excepted), []);
  });

  test('steer the traffic of another pod, of its namespace or of others, nor traffic inside the cluster', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pods = [await node.started('red'), await node.started('blue')];
    const addresses = pods.flatMap((pod) => pod.addresses);
    const everything = { ...wish, 'egress.cni/destinations': ['0.0.0.0/0', '::/0', ...addresses].join() };
    const tenant = await startedWith(node, 'red', everything);
    for (const pod of pods) assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    assert.deepEqual(await tenant.askEach(), byExit);
    for (const pod of pods) {
      await pod.serve();
      assert.deepEqual(await pod.askedFrom(tenant.network, 'tcp'), tenant.addresses);
    }
    await node.end(tenant);
    for (const pod of pods) assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
  });
});

describe('a hash that collides', labTest, () => {
  test('of an exit’s name gives a tenant nothing: only administrators name exits', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const twin = Array.from({ length: 200_000 }, (_, i) => `x${i}`).find(
      (name) => exitIdOf(name) === exitIdOf('partners'),
    );
    assert.ok(twin);
    const pod = await node.withoutEgress(() => node.started('blue'));
    pod.annotations = { 'egress.cni/exit': twin };
    assert.match(await refusal(node, pod), /^114: .*no exit is called/);
  });

  test('of a program gives no pod another one’s: what has the name is read, and made right', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab, { policies: [] });
    const narrow = { ...wish, 'egress.cni/destinations': world.outside.join() };
    const [first, keeper] = [await startedWith(node, 'red', narrow), await startedWith(node, 'red', wish)];
    const name = await programOf(node, first);
    const sets = (await nft(node, 'list', 'table', 'inet', 'cni-egress')).matchAll(
      new RegExp(`set (${name}\\S+) \\{\\n\\t\\ttype (ipv\\d)`, 'g'),
    );
    for (const [, set = '', type] of sets) {
      await nft(node, 'flush', 'set', 'inet', 'cni-egress', set);
      await nft(
        node,
        'add',
        'element',
        'inet',
        'cni-egress',
        set,
        `{ ${type === 'ipv4' ? '192.0.2.0/24' : '2001:db8:ffff::/48'} }`,
      );
    }
    assert.deepEqual(await first.askEach('udp'), node.addresses('eth0'), 'the sets have to decide');
    const second = await startedWith(node, 'red', narrow);
    assert.equal(await programOf(node, second), name);
    assert.deepEqual(await second.askEach(), byExit);
    await nft(node, 'flush', 'chain', 'inet', 'cni-egress', name);
    await nft(node, 'add', 'rule', 'inet', 'cni-egress', name, 'drop');
    const third = await startedWith(node, 'red', narrow);
    assert.deepEqual(await third.askEach(), byExit);
    for (const pod of [first, second, keeper]) assert.deepEqual(await pod.askEach(), byExit);
  });

  test('of a long container ID or a pod’s name is none: attachments that differ in their last letter share nothing', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pods = await node.withoutEgress(async () => [await node.started('red'), await node.started('red')]);
    const env = (i: number) => ({
      CNI_CONTAINERID: `${'a'.repeat(200)}${i}`,
      CNI_ARGS: 'K8S_POD_NAMESPACE=red;K8S_POD_NAME=same',
    });
    for (const [i, pod] of pods.entries()) {
      pod.annotations = wish;
      assert.equal((await node.plugin('ADD', { pod, env: env(i) })).code, 0);
    }
    const records = (await node.records()).filter((name) => name.startsWith('cluster+'));
    assert.equal(records.length, 2);
    const comments = (await nft(node, 'list', 'map', 'inet', 'cni-egress', 'pods4')).match(/comment "[^"]+"/g) ?? [];
    assert.equal(new Set(comments).size, 2);
    const [first, second] = pods;
    assert.ok(first && second);
    assert.equal((await node.plugin('DEL', { pod: first, env: env(0) })).code, 0);
    assert.deepEqual(await second.askEach(), byExit);
    assert.equal((await node.plugin('CHECK', { pod: second, env: env(1) })).stdout, '');
  });
});

const nft = (node: LabNode, ...words: readonly string[]): Promise<string> => node.machine.must(['nft', ...words]);

/** The chain that a pod's packets go to, as nft shows it. */
async function programOf(node: LabNode, pod: Pod): Promise<string> {
  const map = await nft(node, 'list', 'map', 'inet', 'cni-egress', 'pods4');
  const [address = ''] = pod.addresses;
  const text = map.replaceAll('\n', ' ');
  return (
    new RegExp(`\\b${address.replaceAll('.', '\\.')}\\b[^,}]*goto (program-\\w+)`).exec(text)?.[1] ?? assert.fail(map)
  );
}
