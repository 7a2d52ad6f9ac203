import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

describe('a pod that was started before egress', labTest, () => {
  test('keeps its way until it is adopted, then has its exit as after ADD, and its DEL leaves nothing', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    const before = await snapshot(node);
    const pod = await startedBefore(node);
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    assert.equal(await adopted(node), `default/${pod.name} has partners now\n0 running pods have no policy.\n`);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.equal((await node.cnitool('check', pod)).code, 0);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('is adopted once; a dry run tells the same, and changes nothing', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await startedBefore(node);
    const before = await snapshot(node);
    assert.equal(
      await adopted(node, '--dry-run'),
      `default/${pod.name} would have partners now\n0 running pods have no policy.\n`,
    );
    assertUnchanged(before, await snapshot(node));
    await adopted(node);
    const after = await snapshot(node);
    assert.equal(await adopted(node), '0 running pods have no policy.\n');
    assertUnchanged(after, await snapshot(node));
  });

  test('is left alone without a policy, without egress in the chain of its network, and when it is gone', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.withoutEgress(async () => {
      await node.started('kube-system');
      const gone = await node.started();
      await gone.network.remove();
    });
    await node.write({ name: 'plain', egress: undefined });
    await node.started('default', 'plain');
    const before = await snapshot(node);
    assert.equal(await adopted(node), '1 running pods have no policy.\n');
    assertUnchanged(before, await snapshot(node));
  });

  test('whose address another pod has by now does not take it from that one', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const gone = await startedBefore(node);
    const file = await cacheOf(node, gone);
    const remembered = await readFile(file, 'utf8');
    await node.end(gone);
    await node.write({ ...node.network('cluster'), egress: egressEntry({ policies: [] }) });
    const heir = await node.pod('kube-system', undefined, gone.addresses[0]);
    await node.add(heir);
    await node.write({ ...node.network('cluster'), egress: egressEntry() });
    await writeFile(file, remembered);
    await adopted(node);
    assert.deepEqual((await heir.askEach())[0], node.addresses('eth0')[0]);
  });

  test('has the annotations that it was started with; one that is refused is told, and others are adopted', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const exits = [{ ...partners, annotationNamespaces: ['tenant-*'] }];
    const [asking, refused, plain] = [
      await startedBefore(node, 'tenant-a'),
      await startedBefore(node, 'b'),
      await startedBefore(node),
    ];
    for (const pod of [asking, refused]) await annotate(node, pod, { 'egress.cni/exit': 'partners' });
    await node.write({ ...node.network('cluster'), egress: egressEntry({ ...policy, exits }) });
    const { code, stdout } = await node.egress('adopt', '--json');
    assert.equal(code, 1);
    const told = JSON.parse(stdout) as { pod: { name: string }; exits: string[]; problem?: string }[];
    const of = ({ name }: Pod) => told.find(({ pod }) => pod.name === name);
    assert.deepEqual([of(asking)?.exits, of(plain)?.exits], [['partners'], ['partners']]);
    assert.match(of(refused)?.problem ?? '', /exit "partners" is not open to pods of namespace "b"/);
    assert.deepEqual(await asking.askEach(), partners.addresses);
    assert.deepEqual(await refused.askEach(), node.addresses('eth0'));
    assert.equal((await nft(node, `list table ${table}`)).includes(refused.containerID), false);
  });
});

const startedBefore = (node: LabNode, namespace = 'default'): Promise<Pod> =>
  node.withoutEgress(() => node.started(namespace));

/** What `egress adopt` says when all goes well. */
async function adopted(node: LabNode, ...options: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.egress('adopt', ...options);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout;
}

/** The file in which libcni remembers a pod. */
async function cacheOf(node: LabNode, pod: Pod): Promise<string> {
  const folder = node.state('results');
  const name = (await readdir(folder)).find((file) => file.includes(pod.containerID));
  return `${folder}/${name}`;
}

/** Writes annotations where containerd has them written: cnitool passes none that no plugin asks for. */
async function annotate(node: LabNode, pod: Pod, annotations: object): Promise<void> {
  const file = await cacheOf(node, pod);
  const cached = JSON.parse(await readFile(file, 'utf8'));
  const capabilityArgs = { 'io.kubernetes.cri.pod-annotations': annotations };
  await writeFile(file, JSON.stringify({ ...cached, capabilityArgs }));
}
