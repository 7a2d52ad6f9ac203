import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Lab } from '../support/lab.ts';
import { ask } from '../support/pod.ts';
import { refusal } from '../support/runtime/pod.ts';
import { containerdOn, leftovers, runtimeTest, settle } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];

describe('a pod that containerd makes', runtimeTest, () => {
  test('leaves by the exit when its namespace has a policy, and as the node when not', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const [steered, other] = [await containerd.pod({ namespace: 'steered' }), await containerd.pod()];
    for (const protocol of ['tcp', 'udp'] as const) {
      assert.deepEqual(await steered.askEach(protocol, world.service), byExit);
      assert.deepEqual(await other.askEach(protocol, world.service), containerd.node.addresses('eth0'));
    }
  });

  test('leaves by a policy that its annotation names', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const pod = await containerd.pod({
      annotations: { 'egress.cni/policy': 'lab', 'example.com/note': 'a "quoted" note' },
    });
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
  });

  test('leaves by an exit of its own to the destinations that it names', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const wish = { 'egress.cni/exit': 'partners', 'egress.cni/destinations': world.service.join(',') };
    const pod = await containerd.pod({ namespace: 'team-a', annotations: wish });
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
    assert.deepEqual(await pod.askEach('tcp', world.excepted), containerd.node.addresses('eth0'));
  });

  test('is reached by its port of the node, and leaves by the exit', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const command = ['python3', '/programs/echo.py'];
    const pod = await containerd.pod({ namespace: 'steered', hostPorts: { 18080: 8080 }, command });
    const [nodeAddress] = containerd.node.addresses('eth0');
    await pod.exec('python3', '/programs/ask.py', 'tcp', '127.0.0.1', '8080');
    assert.equal(await ask(lab.front.host, 'tcp', nodeAddress, 18_080), world.front.gateway[0]);
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
  });

  test('is gone with everything when it is stopped and removed', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    const pod = await containerd.pod({ namespace: 'steered', hostPorts: { 18080: 8080 } });
    assert.match(await snapshot(containerd.node), /table inet cni-egress/);
    await pod.end();
    assertUnchanged(before, await snapshot(containerd.node));
    assert.deepEqual(await leftovers(containerd), []);
  });

  test('has the node’s network when it asks for that, and no plugin is called', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const pod = await containerd.pod({ namespace: 'steered', hostNetwork: true });
    assert.deepEqual(await pod.askEach('tcp', world.service), containerd.node.addresses('eth0'));
    assert.deepEqual(await containerd.node.records(), []);
  });
});

describe('twenty pods at once', runtimeTest, () => {
  test('get addresses of their own and all leave by the exit, and nothing is left of them', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    const pods = await Promise.all(Array.from({ length: 20 }, () => containerd.pod({ namespace: 'steered' })));
    const addresses = (await Promise.all(pods.map((pod) => pod.status()))).flatMap((status) => status.addresses);
    assert.equal(new Set(addresses).size, 40);
    const seen = await Promise.all(pods.map((pod) => pod.askEach('tcp', world.service)));
    assert.deepEqual(seen, Array(20).fill(byExit));
    await Promise.all(pods.map((pod) => pod.end()));
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(before, await snapshot(containerd.node));
  });
});

/** Annotations that are refused, and the reason as the runtime passes it on. */
const refusals: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
  [
    { 'egress.cni/policy': 'labs' },
    'Pod default/web, annotation "egress.cni/policy": no policy is called "labs", did you mean "lab"? Name',
  ],
  [
    { 'egress.cni/exit': 'partner' },
    'Pod default/web, annotation "egress.cni/exit": no exit is called "partner", did you mean "partners"? Name',
  ],
];

describe('a pod whose annotation is refused', runtimeTest, () => {
  for (const [annotations, reason] of refusals) {
    test(`is told why in one sentence, leaves nothing, and starts when it is mended: ${JSON.stringify(annotations)}`, async () => {
      await using lab = await Lab.create();
      await using containerd = await containerdOn(lab);
      await settle(containerd);
      const before = await snapshot(containerd.node);
      const told = await refusal(containerd.sandbox({ name: 'web', annotations }));
      assert.ok(told.includes(reason), told);
      assert.doesNotMatch(told, /\n|\\/);
      assert.deepEqual(await leftovers(containerd), []);
      assertUnchanged(before, await snapshot(containerd.node));
      const pod = await containerd.pod({ name: 'web', annotations: { 'egress.cni/policy': 'lab' } });
      assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
    });
  }
});
