import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { Lab } from '../support/lab.ts';
import type { Containerd } from '../support/runtime/containerd.ts';
import { image } from '../support/runtime/image.ts';
import { containerdOn, leftovers, runtimeTest, settle } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { program, tool, toolFolder } from '../support/tools.ts';
import { world } from '../support/world.ts';

const crictl = join(toolFolder, 'crictl');

/** It is built from the Go module proxy, as containerd 2 is. */
const missing = existsSync(crictl) ? false : 'crictl could not be built; "npm run setup -- runtime" says why';
const options = { ...runtimeTest, skip: runtimeTest.skip || missing };

const [outside] = world.service;

describe('crictl, which others write and use,', options, () => {
  test('runs pods that are steered by namespace and by annotation, and others that are not; nothing is left of them', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    const pods = [
      await started(containerd, 'one', 'steered'),
      await started(containerd, 'two', 'default', { 'egress.cni/policy': 'lab' }),
      await started(containerd, 'three', 'default'),
    ];
    const seen = await Promise.all(pods.map(({ container }) => ask(containerd, container)));
    const [byExit] = world.exitAddress;
    assert.deepEqual(seen, [byExit, byExit, containerd.node.addresses('eth0')[0]]);
    for (const { pod } of pods) {
      await must(containerd, 'stopp', pod);
      await must(containerd, 'rmp', pod);
    }
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(before, await snapshot(containerd.node));
  });

  test('tells its user why a pod does not start', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const file = await podFile(containerd, 'web', 'default', { 'egress.cni/exit': 'partner' });
    const { code, stderr } = await run(containerd, 'runp', file);
    assert.notEqual(code, 0);
    const reason =
      'Pod default/web, annotation "egress.cni/exit": no exit is called "partner", did you mean "partners"?';
    assert.ok(stderr.replaceAll('\\"', '"').includes(reason), stderr);
    assert.deepEqual(await leftovers(containerd), []);
  });
});

/** A pod with a container that sleeps. */
async function started(
  containerd: Containerd,
  ...told: readonly [name: string, namespace: string, annotations?: object]
) {
  const file = await podFile(containerd, ...told);
  const pod = await must(containerd, 'runp', file);
  const container = await must(containerd, 'create', pod, await containerFile(containerd), file);
  await must(containerd, 'start', container);
  return { pod, container };
}

/** The address that the outside sees. */
async function ask(containerd: Containerd, container: string): Promise<string> {
  const command = [tool('python3'), '/programs/ask.py', 'tcp', outside, '8080'];
  return (await must(containerd, 'exec', container, ...command)).split(' ')[0] ?? '';
}

async function podFile({ machine, node }: Containerd, name: string, namespace: string, annotations: object = {}) {
  const file = machine.path(`${name}.json`);
  const metadata = { name, namespace, uid: name, attempt: 0 };
  await writeFile(file, JSON.stringify({ metadata, annotations, linux: { cgroup_parent: `/${node.machine.name}` } }));
  return file;
}

async function containerFile({ machine }: Containerd): Promise<string> {
  const file = machine.path('container.json');
  const mounts = [
    { container_path: '/usr', host_path: '/usr', readonly: true },
    { container_path: '/programs', host_path: dirname(program('ask.py')), readonly: true },
  ];
  const command = ['sleep', '600'];
  const envs = [{ key: 'PATH', value: '/usr/sbin:/usr/bin' }];
  await writeFile(
    file,
    JSON.stringify({ metadata: { name: 'asks' }, image: { image }, command, envs, mounts, linux: {} }),
  );
  return file;
}

const run = ({ machine }: Containerd, ...words: readonly string[]) =>
  machine.inside.run([crictl, '--runtime-endpoint', `unix://${machine.path('run/containerd.sock')}`, ...words]);

/** What it prints; a failure is an error. */
async function must(containerd: Containerd, ...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(containerd, ...words);
  assert.equal(code, 0, `crictl ${words.join(' ')}: ${stderr}`);
  return stdout.trim();
}
