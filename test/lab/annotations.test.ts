import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { capabilities, egressEntry, type Json, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const exits = [{ ...partners, annotationNamespaces: ['default', 'team-*'] }];
const lab = { name: 'lab', namespaces: ['default'], destinations: world.outside, exit: 'partners', optIn: true };

/** A chain entry that is told annotations; nobody has a policy without asking. */
const entry = (changes: Json = {}): Json => egressEntry({ capabilities, exits, policies: [lab], ...changes });

async function nodeIn(world: Lab, changes: Json = {}): Promise<LabNode> {
  const node = await world.node();
  await node.write({ egress: entry(changes) });
  return node;
}

/** A pod with annotations after ADD by cnitool. */
async function startedWith(node: LabNode, annotations: Pod['annotations'], namespace = 'default'): Promise<Pod> {
  const pod = await node.pod(namespace);
  pod.annotations = annotations;
  await node.add(pod);
  return pod;
}

const byExit = [...world.exitAddress];

describe('an opt-in policy', labTest, () => {
  test('is for a pod that asks for it, from its first packet, and for no other', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const capture = await node.capture();
    const asking = await startedWith(node, { 'egress.cni/policy': 'lab', 'kubectl.kubernetes.io/restartedAt': 'now' });
    assert.deepEqual(await asking.askEach(), byExit);
    const packets = packetsTo(await capture.stop(), ...world.service);
    assert.deepEqual([...new Set(packets.map(({ interface: device, source }) => `${device} ${source}`))].sort(), [
      `eth1 ${world.exitAddress[0]}`,
      `eth1 ${world.exitAddress[1]}`,
    ]);
    for (const annotations of [undefined, {}, { policy: 'lab' }]) {
      assert.deepEqual(await (await startedWith(node, annotations)).askEach(), node.addresses('eth0'));
    }
    assert.deepEqual(await asking.askEach(), byExit);
  });

  test('leaves nothing behind when its pod is gone', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    await node.settle();
    const before = await snapshot(node);
    await node.end(await startedWith(node, { 'egress.cni/policy': 'lab' }));
    assertUnchanged(before, await snapshot(node));
  });
});

describe('a pod’s own exit', labTest, () => {
  test('is used for all that leaves the cluster', async () => {
    await using lab = await Lab.create();
    const pod = await startedWith(await nodeIn(lab), { 'egress.cni/exit': 'partners' }, 'team-a');
    assert.deepEqual(await pod.askEach(), byExit);
    assert.deepEqual(await pod.askEach('udp', world.excepted), byExit);
  });

  test('is used for its destinations, without exceptions', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await startedWith(node, {
      'egress.cni/exit': 'partners',
      'egress.cni/destinations': world.outside.join(', '),
      'egress.cni/except': world.exceptions.join(),
    });
    assert.deepEqual(await pod.askEach(), byExit);
    assert.deepEqual(await pod.askEach('tcp', world.excepted), node.addresses('eth0'));
  });

  test('is used for IPv4 ranges that are written as IPv4-mapped IPv6, in annotations and in policies', async () => {
    await using lab = await Lab.create();
    const mapped = '::ffff:203.0.113.0/120';
    const given = { name: 'given', namespaces: ['given'], destinations: [mapped], exit: 'partners' };
    const node = await nodeIn(lab, { policies: [given] });
    const wish = { 'egress.cni/exit': 'partners', 'egress.cni/destinations': mapped };
    const pods = [await startedWith(node, wish), await startedWith(node, undefined, 'given')];
    const expected = [world.exitAddress[0], node.addresses('eth0')[1]];
    for (const pod of pods) assert.deepEqual(await pod.askEach(), expected);
  });

  test('may be to drop, for everybody', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const wish = { 'egress.cni/exit': 'drop', 'egress.cni/destinations': world.exceptions.join() };
    const pod = await startedWith(node, wish, 'nobody-knows');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    assert.deepEqual(await pod.askEach('tcp', world.excepted), ['nothing', 'nothing']);
  });

  test('is what CHECK looks for, also when the exit was closed to the namespace since', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await startedWith(node, { 'egress.cni/exit': 'partners' });
    await node.write({ egress: entry({ exits: [partners] }) });
    assert.equal((await node.plugin('CHECK', { pod })).stdout, '');
    const [record = ''] = (await node.records()).filter((name) => name.includes(pod.containerID));
    const { annotations } = JSON.parse(await readFile(node.state(`egress/attachments/${record}`), 'utf8')).pod;
    assert.deepEqual(annotations, { exit: 'partners' });
    await node.end(pod);
  });

  test('is used for its ports', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await startedWith(node, {
      'egress.cni/exit': 'partners',
      'egress.cni/ports': 'tcp:443, tcp:8000-8080',
    });
    assert.deepEqual(await pod.askEach('tcp'), byExit);
    assert.deepEqual(await pod.askEach('udp'), node.addresses('eth0'));
  });
});

/** Annotations that are refused, the number of the error, and a part of what is told. */
const refusals: readonly (readonly [Readonly<Record<string, string>>, number, string])[] = [
  [{ 'egress.cni/policy': '' }, 113, 'annotation "egress.cni/policy": expected names of policies'],
  [{ 'egress.cni/exits': 'partners' }, 113, 'no annotation "egress.cni/exits", did you mean "egress.cni/exit"?'],
  [{ 'egress.cni/ports': 'tcp' }, 113, 'annotation "egress.cni/ports": expected "egress.cni/exit" beside it'],
  [{ 'egress.cni/exit': 'partners', 'egress.cni/destinations': '300.0.0.0/8' }, 113, 'got "300.0.0.0/8"'],
  [{ 'egress.cni/policy': 'labs' }, 114, 'no policy is called "labs", did you mean "lab"?'],
  [{ 'egress.cni/exit': 'partner' }, 114, 'no exit is called "partner", did you mean "partners"?'],
  [{ 'egress.cni/policy': 'others' }, 115, 'policy "others" is for other pods, expected one of "lab"'],
  [{ 'egress.cni/exit': 'node' }, 115, 'exit "node" is not open to pods of namespace "default"'],
  [
    { 'egress.cni/exit': 'partners', 'egress.cni/destinations': '192.0.2.7' },
    115,
    'policy "sealed" decides about all that the pod wants to send by "partners"',
  ],
  [
    { 'egress.cni/exit': 'partners', 'egress.cni/destinations': `${world.cluster[0]}, ${world.cluster[2]}` },
    115,
    'nothing is left of them outside of the cluster’s ranges, which are never steered',
  ],
];

const others = { ...lab, name: 'others', namespaces: ['other'] };
const sealed = { name: 'sealed', namespaces: ['*'], destinations: ['192.0.2.0/24'], exit: 'drop', priority: -1 };

describe('a pod with an annotation that is refused', labTest, () => {
  for (const [annotations, code, details] of refusals) {
    test(`does not start, leaves nothing, and starts when it is mended: ${JSON.stringify(annotations)}`, async () => {
      await using world = await Lab.create();
      const node = await nodeIn(world, { policies: [lab, others, sealed] });
      await node.settle();
      const before = await snapshot(node);
      const pod = await node.pod();
      pod.annotations = annotations;
      const failed = await node.cnitool('add', pod);
      assert.notEqual(failed.code, 0);
      assert.ok(
        `${failed.stdout}${failed.stderr}`.includes(details.replaceAll('"', '\\"')) ||
          `${failed.stdout}${failed.stderr}`.includes(details),
        failed.stdout + failed.stderr,
      );
      await node.del(pod);
      assertUnchanged(before, await snapshot(node));
      assert.deepEqual(
        (await node.records()).filter((name) => name !== 'lock'),
        [],
      );
      pod.result = await node.withoutEgress(() => node.add(pod));
      const { json } = await node.plugin('ADD', { pod });
      const { code: number, details: told } = json as { code: number; details: string };
      assert.deepEqual(
        [number, told.startsWith(`Pod default/${pod.name}`), told.includes(details)],
        [code, true, true],
        told,
      );
      assert.deepEqual(
        (await node.records()).filter((name) => name !== 'lock'),
        [],
      );
      pod.annotations = { 'egress.cni/policy': 'lab' };
      assert.equal((await node.plugin('ADD', { pod })).code, 0);
      assert.deepEqual(await pod.askEach(), byExit);
    });
  }

  test('is deleted all the same, whatever the runtime passes', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await startedWith(node, { 'egress.cni/policy': 'lab' });
    for (const runtimeConfig of [7, { 'io.kubernetes.cri.pod-annotations': [] }])
      assert.equal((await node.plugin('DEL', { pod, config: { runtimeConfig } })).stdout, '');
    pod.annotations = { 'egress.cni/policy': ',', 'egress.cni/x': '' };
    await node.del(pod);
    assert.deepEqual(
      (await node.records()).filter((name) => name !== 'lock'),
      [],
    );
  });

  test('is told the place when the runtime passes no annotations but something else', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await node.withoutEgress(() => node.started());
    const config = { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { 'egress.cni/exit': 7 } } };
    const { json } = await node.plugin('ADD', { pod, config });
    const { code, details } = json as { code: number; details: string };
    assert.equal(code, 7);
    assert.match(details, /#\/runtimeConfig\/io\.kubernetes\.cri\.pod-annotations\/egress\.cni~1exit: expected a text/);
    const nil = { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': null } };
    assert.equal((await node.plugin('ADD', { pod, config: nil })).code, 0);
  });
});
