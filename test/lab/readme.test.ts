import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { Cluster, policyFile, writePolicy } from '../support/cluster.ts';
import { blocks, egressCommandsInText, root, shownCommands } from '../support/documents.ts';
import { exampleEntry } from '../support/examples.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { answerAtEveryPort } from '../support/ports.ts';
import { findNothing, type Scene, trials, untriedInText } from '../support/readme-commands.ts';
import { must } from '../support/run.ts';
import { world } from '../support/world.ts';

// What people copy from README.md and the documents of folders does what the text says, word for word.

const [outside] = world.service;
const [elsewhere] = world.excepted;

/** The policy files of README.md, in its order: their numbers are those of the text. */
const policies = blocks.filter(({ document, language }) => document === 'README.md' && language === 'json');

describe('the policies that people write most, of README.md:', labTest, () => {
  test('1. a stable address for a namespace, also when a gateway fails', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.write({ egress: exampleEntry() });
    for (const node of cluster.all) await writePolicy(node, policyNumber(1));
    const agents = await Promise.all(cluster.all.map((node) => RunningAgent.start(node)));
    const pods = await cluster.startedOnEach('billing');
    const other = await cluster.workers[0]?.started('default');
    assert.deepEqual(await seenUntil(pods, '172.18.0.33'), ['172.18.0.33', '172.18.0.33', '172.18.0.33']);
    assert.equal(await other?.ask('tcp', outside), '172.18.0.5');
    process.kill(agents[0]?.pid ?? Number.NaN, 'SIGTERM');
    await agents[0]?.line('exit code');
    assert.deepEqual(await seenUntil(pods.slice(2), '172.18.0.33'), ['172.18.0.33']);
  });

  test('2. another interface, with a router behind it', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 2);
    const pod = await node.started('partner-a');
    const [byEth0] = node.addresses('eth0');
    const [byEth1] = node.addresses('eth1');
    assert.deepEqual(await pod.askEach('tcp', [outside, world.front.host[0]]), [byEth1, byEth0]);
    assert.equal(await (await node.started('default')).ask('tcp', outside), byEth0);
  });

  test('3. some ports only', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 3);
    await Promise.all([lab.front, lab.back].map(answerAtEveryPort));
    const pod = await node.started('phones');
    const [byEth0] = node.addresses('eth0');
    const [byEth1] = node.addresses('eth1');
    const seen = [pod.ask('udp', outside, 5060), pod.ask('tcp', outside, 5061), pod.ask('tcp', outside, 443)];
    assert.deepEqual(await Promise.all(seen), [byEth1, byEth1, byEth0]);
  });

  test('4. not at all', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 4);
    await Promise.all([lab.front, lab.back].map(answerAtEveryPort));
    const [pod, sealed] = [await node.started(), await node.started('sandbox')];
    const [own] = node.addresses('eth0');
    const [host] = world.front.host;
    assert.deepEqual(await Promise.all([pod.ask('tcp', outside, 25), pod.ask('tcp', outside, 443)]), ['nothing', own]);
    assert.deepEqual(await Promise.all([sealed.ask('tcp', host), sealed.ask('tcp', elsewhere)]), ['nothing', own]);
  });

  test('5. pods that ask for it', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 5);
    const asking = await node.pod('partner-a');
    asking.annotations = { 'egress.cni/policy': 'audited' };
    await node.add(asking);
    assert.equal(await asking.ask('tcp', outside), node.addresses('eth1')[0]);
    assert.equal(await (await node.started('partner-a')).ask('tcp', outside), node.addresses('eth0')[0]);
  });
});

describe('commands of documents', labTest, () => {
  test('that are for a new host install egress there, and pods that start then are steered', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: undefined });
    const folder = await newHost(node);
    await giveEach('new host', (command) =>
      node.machine.must(['sh', '-ec', `cd ${folder}; PATH=/opt/cni/bin:$PATH; ${command}`]),
    );
    const pod = await node.started('partner-a');
    assert.equal(await pod.ask('tcp', outside), node.addresses('eth1')[0]);
  });

  test('that are for a node with steered pods show what is in its kernel', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 2);
    await node.started('partner-a');
    const said: string[] = [];
    await giveEach('steered pods', async (command) => {
      said.push(await node.machine.must(['sh', '-ec', command]));
    });
    const parts = [/chain classify/, /chain sent-eth1/, /lookup 5\d{5}/, /via 192\.168\.0\.1 dev eth1 table 5\d{5}/];
    for (const part of parts)
      assert.ok(
        said.some((text) => part.test(text)),
        `${part}\n${said.join('\n')}`,
      );
  });

  test('that stand in sentences do what they say, on a gateway with a pod', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    await gateway.add(await gateway.pod('default', 'web'));
    await gateway.add(await gateway.pod('partner-a', 'web-0'));
    const wrong: string[] = [];
    for (const command of egressCommandsInText.filter((each) => untriedInText[each] === undefined)) {
      const { code, stdout, stderr } = await gateway.machine.run(['sh', '-c', inLab(command, gateway)]);
      const expected = findNothing.includes(command) ? 1 : 0;
      if (code !== expected) wrong.push(`${command}: exit code ${code}\n${stdout}${stderr}`);
    }
    assert.deepEqual(wrong, []);
  });

  test('that ask about a node are answered as conf/operating.md shows', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithPolicy(lab, 2);
    const pod = await node.pod('partner-a', 'web-0');
    await node.add(pod);
    await pod.ask('tcp', outside);
    const status = await node.egress('status');
    const explained = await node.egress('explain', 'partner-a/web-0', '203.0.113.9:443');
    assertShown('conf/operating.md', 'EXIT ', status.stdout);
    assertShown('conf/operating.md', 'partner-a/web-0 ', explained.stdout);
  });

  test('that are for the repository do what they say', async () => {
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, value ?? '']));
    await giveEach('repository', (command) => must(['sh', '-ec', `cd ${root}; ${command}`], { env }));
  });

  test('that show the demo show what it really prints', async () => {
    const said = await must([join(root, 'node_modules/.bin/node'), join(root, 'test/lab/demo.ts')]);
    assertShown('README.md', 'Before, with', said);
  });
});

function policyNumber(number: number): string {
  assert.equal(policies.length, 5);
  return policies[number - 1]?.text ?? '';
}

async function nodeWithPolicy(lab: Lab, number: number): Promise<LabNode> {
  const node = await lab.node();
  await writePolicy(node, policyNumber(number));
  await node.write({ egress: exampleEntry() });
  return node;
}

/** What the service outside sees of pods, once it sees an address of the first, or at last. */
async function seenUntil(pods: readonly Pod[], address: string): Promise<readonly string[]> {
  const ask = () => Promise.all(pods.map((pod) => pod.ask('tcp', outside)));
  let seen = await ask();
  for (let i = 0; i < 20 && seen.some((each) => each !== address); i++) seen = await ask();
  return seen;
}

/** A folder as that of the repository, with a policy file as people write theirs; plugins go to a folder of the lab. */
async function newHost(node: LabNode): Promise<string> {
  const [folder, plugins] = [join(node.folder, 'work'), join(node.folder, 'bin')];
  for (const each of [folder, plugins, '/opt/cni/bin']) await mkdir(each, { recursive: true });
  await symlink(join(root, 'dist'), join(folder, 'dist'));
  for (const name of ['my-policy.json', 'my-policy.yaml']) await writeFile(join(folder, name), policyNumber(2));
  await node.machine.must(['mount', '--bind', plugins, '/opt/cni/bin']);
  return folder;
}

/** A command as a person on a node gives it: the binary is on the PATH, and words in capitals stand for something. */
const inLab = (command: string, { folder }: LabNode): string =>
  `cd ${folder}; PATH=${join(root, 'dist')}:$PATH; ${command
    .replace('POD DESTINATION', 'default/web 203.0.113.9')
    .replace('--bundle FILE', '--bundle bundle.json')
    .replace('FILE', policyFile)}`;

/** Gives the commands of a scene one after another, in the order of the documents. */
async function giveEach(scene: Scene, give: (command: string) => Promise<unknown>): Promise<void> {
  const commands = shownCommands.filter(({ command }) => isOf(scene, command));
  assert.ok(commands.length > 0);
  for (const { command } of commands) await give(command);
}

function isOf(scene: Scene, command: string): boolean {
  const trial = trials[command];
  return trial !== undefined && 'scene' in trial && trial.scene === scene;
}

/** The lines of the block that begins so stand in what was said, in their order. `…` is for lines that are left out. */
function assertShown(document: string, beginning: string, said: string): void {
  const block = blocks.find((each) => each.document === document && each.text.startsWith(beginning));
  assert.ok(block, `${document} has no block that begins with "${beginning}"`);
  const real = withoutChance(said).split('\n');
  let from = 0;
  for (const line of withoutChance(block.text.trimEnd()).split('\n')) {
    if (line === '…') continue;
    const found = real.indexOf(line, from);
    assert.ok(found >= from, `"${line}" is not what follows:\n${real.slice(from).join('\n')}`);
    from = found + 1;
  }
}

/** Without what differs from run to run: source ports, the kernel's word about a neighbour, how many packets a connection took. */
const withoutChance = (text: string): string =>
  text
    .replaceAll(/\.\d{5}\b/g, '.PORT')
    .replaceAll(/\((reachable|stale|delay|probe)\) */g, '(STATE) ')
    .replaceAll(/(?<= {2})[1-9](?= |$)/gm, 'N');
