import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { deleteRule, nft } from '../support/nft.ts';
import { packetsTo } from '../support/packets.ts';
import {
  clusterService,
  craft,
  errorWays,
  kindOf,
  nodeWith,
  pingWays,
  programsOf,
  provide,
  second,
  seen,
  steered,
  wayOf,
  waysOf,
  waysOut,
} from '../support/ports.ts';
import { world } from '../support/world.ts';

const exit = world.exitAddress;
const nothing = ['nothing', 'nothing'];

describe('a policy with ports', labTest, () => {
  test('steers packets to them, of their protocol alone, and leaves all others to the node', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp:5060'] });
    assert.deepEqual(await seen(pod, 'udp', 5060), exit);
    assert.deepEqual(await seen(pod, 'tcp', 5060), node.addresses('eth0'));
    assert.deepEqual(await seen(pod, 'udp', 5061), node.addresses('eth0'));
  });

  test('steers its ranges from end to end, and not what is just beside', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:2000-2999', 'udp:1', 'udp:65000-65535'] });
    for (const port of [2000, 2500, 2999]) assert.deepEqual(await seen(pod, 'tcp', port), exit, `tcp:${port}`);
    for (const port of [1, 65000, 65535]) assert.deepEqual(await seen(pod, 'udp', port), exit, `udp:${port}`);
    for (const port of [1999, 3000]) assert.deepEqual(await seen(pod, 'tcp', port), node.addresses('eth0'), `${port}`);
    for (const port of [2, 64999]) assert.deepEqual(await seen(pod, 'udp', port), node.addresses('eth0'), `${port}`);
  });

  test('steers a whole protocol, and nothing of another one', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp'] });
    for (const port of [1, 65535]) assert.deepEqual(await seen(pod, 'tcp', port), exit);
    assert.deepEqual(await seen(pod, 'udp', 1), node.addresses('eth0'));
    assert.deepEqual(await pingWays(node, pod), waysOut('eth0', node));
  });

  test('steers pings and not TCP, when it says so', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['icmp'] });
    assert.deepEqual(await pingWays(node, pod), waysOut('eth1', node));
    assert.deepEqual(await seen(pod, 'tcp', 80), node.addresses('eth0'));
  });

  test('steers TCP and not pings, when it says so', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:80'] });
    assert.deepEqual(await seen(pod, 'tcp', 80), exit);
    assert.deepEqual(await pingWays(node, pod), waysOut('eth0', node));
  });

  test('steers SCTP by its ports', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['sctp:9', 'tcp:10'] });
    const ways = async (port: number) => {
      const capture = await node.capture();
      for (const address of world.service) await craft(pod, 'sctp', address, String(port));
      return waysOf(await capture.stop(), 'other');
    };
    assert.deepEqual(await ways(9), waysOut('eth1', node));
    assert.deepEqual(await ways(10), waysOut('eth0', node));
  });

  test('steers the fragments of large datagrams, of which only the first shows the port', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp:5060'] });
    const capture = await node.capture();
    const large = (port: number) =>
      Promise.all(
        world.service.map(async (address) => {
          const { stdout } = await pod.run('ask.py', 'udp', address, String(port), '4000');
          return stdout.split(' ')[0];
        }),
      );
    assert.deepEqual(await large(5060), exit);
    const packets = packetsTo(await capture.stop(), ...world.service);
    assert.equal(packets.length, 6, 'three fragments of each family');
    assert.deepEqual([...new Set(packets.map(wayOf))].toSorted(), waysOut('eth1', node));
    assert.deepEqual(await large(5061), node.addresses('eth0'));
  });

  test('goes by the port behind a Service, not by the port of the Service', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:443'] });
    await provide(node, 80, 443);
    await provide(node, 443, 8443);
    assert.deepEqual(await seen(pod, 'tcp', 80, clusterService), exit);
    assert.deepEqual(await seen(pod, 'tcp', 443, clusterService), node.addresses('eth0'));
  });

  test('that drops a port lets through all others, and no packet of the port, whatever conntrack thinks of it', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:8080', 'icmp'], exit: 'drop' });
    const capture = await node.capture();
    assert.deepEqual(await seen(pod, 'tcp', 8080), nothing);
    assert.deepEqual(await pod.askEach('icmp'), nothing);
    await pod.run('stray.py', ...world.service);
    for (const address of world.service) await craft(pod, 'reply', address);
    const packets = packetsTo(await capture.stop(), ...world.service);
    assert.deepEqual([...new Set(packets.map(kindOf))], ['udp 9'], 'what is not dropped');
    assert.deepEqual(await seen(pod, 'tcp', 25), node.addresses('eth0'));
  });
});

describe('packets that conntrack calls invalid', labTest, () => {
  test('of a steered port leave by no way at all', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:8080', 'udp:9', 'icmp'] });
    const capture = await node.capture();
    await pod.run('stray.py', ...world.service);
    for (const address of world.service) await craft(pod, 'reply', address);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.service), []);
  });

  test('of another port leave as they do without us', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['tcp:8081', 'udp:10'] });
    const capture = await node.capture();
    await pod.run('stray.py', ...world.service);
    for (const address of world.service) await craft(pod, 'reply', address);
    const packets = packetsTo(await capture.stop(), ...world.service);
    assert.deepEqual([...new Set(packets.map(({ interface: uplink }) => uplink))], ['eth0']);
    assert.deepEqual([...new Set(packets.map(kindOf))].toSorted(), ['icmp', 'tcp 8080', 'udp 9']);
  });
});

describe('errors of ICMP', labTest, () => {
  test('that a pod sends about a steered flow leave as the flow does, while its pings leave by the node', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp:5060'] });
    assert.deepEqual(await errorWays(lab.back, node, pod, 5060), waysOut('eth1', node));
    assert.deepEqual(await pingWays(node, pod), waysOut('eth0', node));
  });

  test('that a pod sends about a flow of a steered protocol leave as the flow does', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp'] });
    assert.deepEqual(await errorWays(lab.back, node, pod, 5060), waysOut('eth1', node));
  });

  test('that a pod sends about any other flow leave by the node, even when pings are steered', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['icmp', 'tcp:5060', 'udp:5061'] });
    assert.deepEqual(await errorWays(lab.front, node, pod, 5060), waysOut('eth0', node));
    assert.deepEqual(await pingWays(node, pod), waysOut('eth1', node));
  });

  test('that a pod sends about a flow through a Service go by the port behind it', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp:5060'] });
    await provide(node, 53, 5060, 'udp');
    assert.deepEqual(
      await errorWays(lab.back, node, pod, 5060, { port: 53, services: clusterService }),
      waysOut('eth1', node),
    );
  });

  test('from outside about a steered flow reach the pod', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['udp:9'] }, { answering: false });
    const capture = await node.capture();
    for (const address of world.service) {
      const { stderr } = await pod.run('ask.py', 'udp', address, '9');
      assert.match(stderr, /refused/);
    }
    assert.deepEqual(waysOf(await capture.stop(), 'udp'), waysOut('eth1', node));
  });
});

describe('policies with ports for the same destinations', labTest, () => {
  test('decide in the order of their priorities, each by its exit', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, [
      { name: 'no-mail', ports: ['tcp:25'], exit: 'drop', priority: 9 },
      { name: 'sip', ports: ['udp:5060'], exit: 'partners', priority: 8 },
      { name: 'media', ports: ['udp:5000-6000'], exit: 'second', priority: 7 },
      { name: 'dns', ports: ['udp:53'], exit: 'node', priority: 6 },
      { name: 'other-udp', ports: ['udp'], exit: 'partners', priority: 5 },
      { name: 'tcp', ports: ['tcp'], exit: 'second', priority: 4 },
      { name: 'rest', exit: 'drop', priority: 3 },
    ]);
    const pod = await node.started();
    assert.deepEqual(await seen(pod, 'udp', 5060), exit);
    for (const port of [5000, 5059, 5061, 6000]) assert.deepEqual(await seen(pod, 'udp', port), second.addresses);
    for (const port of [4999, 6001]) assert.deepEqual(await seen(pod, 'udp', port), exit);
    assert.deepEqual(await seen(pod, 'udp', 53), node.addresses('eth0'));
    assert.deepEqual(await seen(pod, 'tcp', 5060), second.addresses);
    assert.deepEqual(await seen(pod, 'tcp', 25), nothing);
    assert.deepEqual(await pod.askEach('icmp'), nothing);
  });

  test('are checked by CHECK, and go with the pod', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { ports: ['icmp', 'sctp', 'tcp:25', 'udp:5060-5061'] });
    const other = await node.started('other');
    await node.write({ egress: undefined });
    await node.write({});
    const check = () => node.plugin('CHECK', { pod });
    assert.equal((await check()).code, 0);
    const [name = ''] = await programsOf(node);
    await nft(node, `delete element inet cni-egress ${name}-1-udp { 5060-5061 }`);
    assert.notEqual((await check()).code, 0, 'a set without its ports');
    await nft(node, `add element inet cni-egress ${name}-1-udp { 5060-5061 }`);
    assert.equal((await check()).code, 0);
    await deleteRule(node, name, 'ct protocol udp ct reply');
    assert.notEqual((await check()).code, 0, 'a program without a rule');
    await node.end(pod);
    assert.deepEqual(await programsOf(node), []);
    await node.end(other);
  });

  test('are the same to CHECK when nft has listed them and loaded them again', async () => {
    await using lab = await Lab.create();
    const { node, pod } = await steered(lab, { destinations: undefined, ports: ['icmp', 'sctp', 'tcp:25', 'udp:1-9'] });
    const listed = await node.machine.must(['nft', '-s', 'list', 'table', 'inet', 'cni-egress']);
    await node.machine.must(['nft', '-f', '-'], { stdin: `delete table inet cni-egress\n${listed}` });
    const { code, stdout } = await node.plugin('CHECK', { pod });
    assert.equal(code, 0, stdout);
  });

  test('make the program that nft lists like this', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, [
      { name: 'a', ports: ['udp:5060-5061', 'udp:7', 'sctp:65535'], exit: 'drop', priority: 1 },
      { name: 'b', destinations: undefined, except: world.exceptions, ports: ['icmp', 'tcp:25'], exit: 'drop' },
      { name: 'c', destinations: undefined, ports: ['icmp', 'tcp'], exit: 'drop', priority: -1 },
    ]);
    await node.started();
    const listed = await node.machine.must(['nft', '-s', 'list', 'table', 'inet', 'cni-egress']);
    const [name = ''] = await programsOf(node);
    const blocks = listed.split(/\n\n/).filter((block) => new RegExp(`^\t(set|chain) ${name}`).test(block));
    const text = blocks
      .join('\n\n')
      .replaceAll(name, 'program')
      .replaceAll(/(?<=ct label (?:set )?)\d[\d |,/]*\d/g, '…')
      // Whether the table ends behind the program depends on what was made after it.
      .replace(/(\n}\n)?$/, '\n');
    assert.equal(text, await readFile(new URL('golden/ports.txt', import.meta.url), 'utf8'));
  });
});
