import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { changedLines } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const severalAddresses = [...world.exitAddress, '192.168.0.246', 'fd00:168::246'];

/** Has everything in it that a policy can ask for. */
const rich = egressEntry({
  exits: [
    partners,
    { ...partners, name: 'named-by-id', id: 7, fastPath: true },
    { ...partners, name: 'spread', addresses: severalAddresses },
    { ...partners, name: 'spread-flows', addresses: severalAddresses, addressPerFlow: true },
  ],
  policies: [
    { name: 'a', namespaces: ['default'], destinations: world.outside, except: world.exceptions, exit: 'partners' },
    { name: 'b', namespaces: ['default'], destinations: ['198.51.100.0/24', '2001:db8:1::/48'], exit: 'named-by-id' },
    { name: 'c', namespaces: ['default'], destinations: ['192.0.2.1/32'], exit: 'drop' },
    { name: 'd', namespaces: ['default'], destinations: ['192.0.2.0/24'], exit: 'node' },
    { name: 'e', namespaces: ['default'], exit: 'partners', priority: -1 },
    { name: 'spread', namespaces: ['default'], destinations: ['192.0.2.2/32', '2001:db8:2::/48'], exit: 'spread' },
    { name: 'flows', namespaces: ['default'], destinations: ['192.0.2.3/32', '2001:db8:3::/48'], exit: 'spread-flows' },
    { name: 'f', namespaces: ['default'], ports: ['icmp', 'tcp:25', 'udp:1-9', 'sctp'], exit: 'drop' },
  ],
});

const list = ['nft', '-s', 'list', 'table', 'inet', 'cni-egress'];
const listCounting = ['nft', '-s', 'list', 'table', 'netdev', 'cni-egress'];

describe('nft', labTest, () => {
  test('reads what the plugin wrote, without a word of complaint', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPods(lab);
    for (const options of [[], ['-a'], ['-j'], ['-n'], ['-s']]) {
      const ruleset = await node.machine.run(['nft', ...options, 'list', 'ruleset']);
      assert.equal(ruleset.code, 0, ruleset.stderr);
      const { code, stdout, stderr } = await node.machine.run([
        'nft',
        ...options,
        'list',
        'table',
        'inet',
        'cni-egress',
      ]);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, `nft ${options}`);
      assert.match(stdout, /program-/);
    }
  });

  test('prints text that it reads itself, and that makes the same tables in another place', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPods(lab);
    const written = [await node.machine.must(list), await node.machine.must(listCounting)];
    const copy = await lab.namespace('copy');
    await copy.ip('link add eth1 type veth peer name other'); // a chain that counts belongs to an interface
    await copy.must(['nft', '-f', '-'], { stdin: written.join('') });
    const copied = [await copy.must(list), await copy.must(listCounting)];
    assert.deepEqual(changedLines(written.join(''), copied.join('')), []);
  });

  test('makes of the transaction that the plugin logs the same tables that the plugin made', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const logFile = `${node.folder}/egress.log`;
    await node.write({ egress: { ...rich, logFile, logLevel: 'debug' } });
    await node.started();
    const lines = (await readFile(logFile, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { commands } = lines.find(({ msg }) => msg === 'changing');
    const scripts = [...commands.matchAll(/^nft -f - <<'EOT'\n(.*?)EOT$/gms)].map(([, script]) => script);
    assert.equal(scripts.length, 2, 'what leads packets on is a transaction of its own');
    const copy = await lab.namespace('copy');
    await copy.ip('link add eth1 type veth peer name other');
    for (const script of scripts) await copy.must(['nft', '-f', '-'], { stdin: script });
    for (const tables of [list, listCounting]) {
      assert.deepEqual(changedLines(await node.machine.must(tables), await copy.must(tables)), []);
    }
    assert.deepEqual(lines.map(({ command, msg }) => [command, msg]).at(-1), ['ADD', 'done']);
  });

  test('shows whose every element is, and what every exit is called', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const text = await node.machine.must(list);
    for (const address of pod.addresses) {
      assert.ok(text.includes(`${address} counter comment "cluster/${pod.containerID}/eth0" : goto program-`), text);
    }
    assert.match(text, /chain exit-\d+ \{\n(?:.*\n)?.*comment "partners"/);
  });

  test('takes the longest names of network and container that a runtime can give', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const [name, containerID] = ['n'.repeat(200), 'c'.repeat(200)];
    const call = { pod, config: { name }, env: { CNI_CONTAINERID: containerID } };
    const { code, stdout } = await node.plugin('ADD', call);
    assert.equal(code, 0, stdout);
    assert.equal((await node.machine.run(list)).code, 0);
    assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
    assert.equal((await node.plugin('CHECK', call)).code, 0);
    assert.equal((await node.plugin('DEL', call)).code, 0);
    assert.deepEqual(await node.records(), ['lock']);
    assert.equal((await node.machine.run(list)).code, 1, 'the table is gone');
  });
});

async function nodeWithPods(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ egress: rich });
  await node.started();
  await node.write({});
  await node.started();
  return node;
}
