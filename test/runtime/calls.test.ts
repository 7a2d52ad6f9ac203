import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { capabilities, type Json } from '../support/chain.ts';
import { Lab } from '../support/lab.ts';
import type { Containerd } from '../support/runtime/containerd.ts';
import type { RuntimePod } from '../support/runtime/pod.ts';
import { containerdOn, leftovers, runtimeTest } from '../support/runtime/runtime.ts';
import { type SpiedCall, Spy } from '../support/runtime/spy.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];
const steered = { namespace: 'steered' };

/** All that containerd has to tell. */
const everything = { ...capabilities, portMappings: true, dns: true, bandwidth: true };

/** The first pod of the node, with all that containerd tells plugins about; returns what it told on the way. */
async function spiedOn(containerd: Containerd): Promise<{ spy: Spy; pod: RuntimePod; add: SpiedCall }> {
  const spy = await Spy.create(containerd);
  await containerd.write({ before: [spy.entry(everything)], egress: { capabilities: everything } });
  const annotations = { 'egress.cni/policy': 'lab', 'kubernetes.io/egress-bandwidth': '5M' };
  const pod = await containerd.pod({ name: 'web', annotations, hostPorts: { 18080: 8080 } });
  const [add] = await spy.calls('ADD');
  assert.ok(add);
  return { spy, pod, add };
}

describe('what containerd tells plugins', runtimeTest, () => {
  test('has the annotations under the name that egress reads, whatever the spelling beside it', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const { pod, add } = await spiedOn(containerd);
    const { portMappings, 'io.kubernetes.cri.pod-annotations': told, ...rest } = add.request.runtimeConfig as Json;
    assert.deepEqual(told, { 'egress.cni/policy': 'lab', 'kubernetes.io/egress-bandwidth': '5M' });
    assert.deepEqual(portMappings, [{ HostPort: 18_080, ContainerPort: 8080, Protocol: 'tcp', HostIP: '' }]);
    assert.deepEqual(Object.keys(rest), ['bandwidth']);
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
  });

  test('is enough for egress in the other spelling too', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const { add } = await spiedOn(containerd);
    const portMappings = [{ hostPort: 18_080, containerPort: 8080, protocol: 'tcp' }];
    const runtimeConfig = { ...(add.request.runtimeConfig as Json), portMappings, bandwidth: { egressRate: 5 } };
    const again = await call(containerd, 'ADD', add.environment, { ...add.request, runtimeConfig, type: 'egress' });
    assert.equal(again.code, 0, again.stdout);
    assert.deepEqual(JSON.parse(again.stdout), add.request.prevResult);
  });

  test('is a DEL with network namespace and prevResult, and then DELs with neither', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const { spy, pod, add } = await spiedOn(containerd);
    await pod.end();
    const told = (await spy.calls('DEL')).map(({ environment, request }) => [
      environment.CNI_CONTAINERID,
      environment.CNI_NETNS,
      request.prevResult !== undefined,
    ]);
    assert.deepEqual(told, [
      [pod.id, add.environment.CNI_NETNS, true],
      [pod.id, '', false],
    ]);
    assert.deepEqual(await leftovers(containerd), []);
  });
});

/** Calls egress where containerd calls it. */
function call(containerd: Containerd, command: string, env: Readonly<Record<string, string>>, request: Json) {
  const { folder: _, ...stdin } = request;
  return containerd.machine.inside.run([egressBinary], {
    env: { ...env, CNI_COMMAND: command },
    stdin: JSON.stringify(stdin),
  });
}

/** The call that libcni would make for an attachment of containerd, from what it keeps for that. */
async function cachedCall(containerd: Containerd, command: string, pod: RuntimePod) {
  const cached = JSON.parse(await readFile(containerd.node.state(`results/cluster-${pod.id}-eth0`), 'utf8'));
  const CNI_ARGS = cached.cniArgs.map((pair: readonly string[]) => pair.join('=')).join(';');
  const { network: CNI_NETNS } = await pod.status();
  const env = { CNI_CONTAINERID: pod.id, CNI_NETNS, CNI_IFNAME: 'eth0', CNI_PATH: '/', CNI_ARGS };
  const common = { name: 'cluster', cniVersion: '1.0.0', type: 'egress', capabilities };
  return call(containerd, command, env, {
    ...common,
    runtimeConfig: cached.capabilityArgs,
    prevResult: cached.result,
  });
}

describe('what containerd keeps of an attachment', runtimeTest, () => {
  test('is enough for CHECK, which finds what somebody took away', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const pod = await containerd.pod({ annotations: { 'egress.cni/policy': 'lab' } });
    assert.deepEqual(await cachedCall(containerd, 'CHECK', pod), { code: 0, stdout: '', stderr: '' });
    await containerd.node.machine.must(['nft', 'delete', 'table', 'inet', 'cni-egress']);
    const missing = await cachedCall(containerd, 'CHECK', pod);
    assert.equal(missing.code, 1);
    assert.match(missing.stdout, /inet cni-egress/);
  });

  test('is kept by GC that names it, and goes by one that names none', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const pods = [await containerd.pod(steered), await containerd.pod(steered)] as const;
    const valid = pods.map(({ id }) => ({ containerID: id, ifname: 'eth0' }));
    const gc = async (attachments: readonly object[]) => {
      const common = { name: 'cluster', cniVersion: '1.1.0', type: 'egress' };
      const request = { ...common, 'cni.dev/valid-attachments': attachments };
      assert.deepEqual(await call(containerd, 'GC', { CNI_PATH: '/' }, request), { code: 0, stdout: '', stderr: '' });
      const kept = (await containerd.node.records()).filter((name) => name !== 'lock');
      return valid.filter(({ containerID }) => kept.some((name) => name.includes(containerID)));
    };
    assert.deepEqual(await gc(valid), valid);
    for (const pod of pods) assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
    assert.deepEqual(await gc(valid.slice(1)), valid.slice(1));
    assert.deepEqual(await pods[1].askEach('tcp', world.service), byExit);
    assert.deepEqual(await gc([]), []);
    for (const pod of pods) await pod.end();
    assert.deepEqual(await leftovers(containerd), []);
  });
});

describe('cnitool beside containerd', runtimeTest, () => {
  test('CHECKs the chain, and its GC takes what a containerd that is gone has left', async () => {
    await using lab = await Lab.create();
    const containerd = await containerdOn(lab);
    const { node } = containerd;
    await Promise.all([containerd.pod(steered), containerd.pod(steered)]);
    const pod = await node.pod('steered');
    await node.add(pod);
    assert.deepEqual(await pod.askEach(), byExit);
    assert.equal((await node.cnitool('check', pod)).code, 0);
    // With containerd all its pods end, as when the machine is started again.
    await containerd[Symbol.asyncDispose]();
    assert.notDeepEqual(await node.records(), ['lock']);
    const { code, stderr } = await node.cnitool('gc', pod);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await node.records(), ['lock']);
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'ruleset']), /cni-egress/);
  });
});
