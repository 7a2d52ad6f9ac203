import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFile,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { writeImage } from '../../install/image.ts';
import { startupTaint } from '../../src/installer/node-taint.ts';
import { certificateForLoopback } from '../support/certificate.ts';
import { internet, internetPolicy } from '../support/cluster.ts';
import { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { Containerd } from '../support/runtime/containerd.ts';
import { type InstallerOptions, InstallerPod } from '../support/runtime/installer-pod.ts';
import type { RuntimePod } from '../support/runtime/pod.ts';
import { leftovers, policyFile, runtimeTest, settle } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

const apiServer = fileURLToPath(new URL('../support/api-server.ts', import.meta.url));
const byExit = [...world.exitAddress];
const imageOf = (version: string) => `localhost/cni-egress:${version}`;

const hashOf = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** A node with containerd and a primary plugin alone, and two versions of the installer's image. */
class Cluster implements AsyncDisposable {
  readonly lab: Lab;
  readonly containerd: Containerd;
  readonly policies: string;

  private constructor(lab: Lab, containerd: Containerd) {
    this.lab = lab;
    this.containerd = containerd;
    this.policies = join(containerd.node.folder, 'policies');
  }

  static async start(images: string): Promise<Cluster> {
    const lab = await Lab.create();
    const node = await lab.node(5);
    const containerd = await Containerd.start(node, { chain: { egress: undefined } });
    await rm(containerd.machine.plugin('egress')); // the installer has to bring it
    const cluster = new Cluster(lab, containerd);
    for (const version of versions) await containerd.importImage(join(images, `${version}.tar`), imageOf(version));
    await mkdir(cluster.policies);
    await writeFile(cluster.policyFile, stringify(policyFile));
    return cluster;
  }

  get policyFile(): string {
    return join(this.policies, 'policy.yaml');
  }

  /** Changes the policy, and waits until the installer has put it in force. */
  async give(policy: object): Promise<void> {
    const inForce = this.containerd.node.configuration('egress/policy.json');
    const before = await readFile(inForce, 'utf8');
    await writeFile(`${this.policyFile}.new`, stringify(policy));
    await rename(`${this.policyFile}.new`, this.policyFile);
    while ((await readFile(inForce, 'utf8')) === before) await wait(50);
  }

  /** Runs `egress uninstall` in a container of its own. Returns what it said. */
  async uninstall(...args: readonly string[]): Promise<string> {
    await using pod = await this.installer('2', { command: ['/usr/bin/egress', 'uninstall'], args });
    const code = await pod.ended();
    const log = await pod.log();
    assert.equal(code, 0, log);
    return log;
  }

  installer(version: string, options: Omit<InstallerOptions, 'image' | 'policies'> = {}) {
    return InstallerPod.start(this.containerd, { image: imageOf(version), policies: this.policies, ...options });
  }

  /** Pods that start, are steered and end, three at a time, until it is told "enough": then a call that failed is an error. */
  churn(): () => Promise<void> {
    let enough = false;
    const another = async () => {
      while (!enough) {
        const pod = await this.containerd.pod({ namespace: 'steered' });
        assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
        await pod.end();
      }
    };
    const all = Promise.allSettled([another(), another(), another()]);
    return async () => {
      enough = true;
      for (const result of await all) if (result.status === 'rejected') throw result.reason;
    };
  }

  /** Waits until containerd has read a chain in which egress is, or is not. */
  chainHas(egress: boolean): Promise<void> {
    return this.chainSays('"egress"', egress);
  }

  /** Waits until containerd has read a chain in which these words are, or are not. */
  async chainSays(words: string, areThere = true): Promise<void> {
    for (;;) {
      const { info } = await this.containerd.cri.call('Status', { verbose: true });
      const networks = JSON.parse(info?.cniconfig ?? '{}').Networks ?? [];
      const { Source: source = '' } = networks.at(-1)?.Config ?? {};
      if (source.includes(words) === areThere) return;
      await wait(50);
    }
  }

  /** Every file of the node that an installer may touch, with its mode, its owner and its content; see {@link stays}. */
  async files(): Promise<readonly string[]> {
    const { node } = this.containerd;
    const folders = [dirname(this.containerd.machine.plugin('bridge')), node.configuration(''), node.state('egress')];
    return (await Promise.all(folders.map(filesBelow))).flat().filter((line) => !stays.test(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.containerd[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }
}

/** A parameter of the exit's interface that egress changes. */
const filter = 'net.ipv4.conf.eth1.rp_filter';

const filterOf = ({ machine }: LabNode): Promise<string> => machine.must(['sysctl', '-n', filter]);

/** Waits until an answer is this one. What cannot be asked yet is asked again. */
async function asked(ask: () => Promise<readonly string[]>, answer: readonly string[]): Promise<void> {
  while (`${await ask().catch(() => '')}` !== `${answer}`) await wait(50);
}

/** Waits until a pod is seen with these addresses. */
const asks = (pod: RuntimePod, addresses: readonly string[]): Promise<void> =>
  asked(() => pod.askEach('tcp', world.service), addresses);

/** With an exit whose gateway is the node itself, for the namespace `default`. */
const withGateway = {
  ...policyFile,
  nodes: [{ address: '172.18.0.5' }],
  exits: [...policyFile.exits, { ...internet, gateways: ['172.18.0.5'] }],
  policies: [...policyFile.policies, internetPolicy],
};

/** What a node keeps: the empty folder that was a mount, and the empty file that calls of the plugin lock. */
const stays = /\/etc\/egress 40755 0:0 $|\/lib\/egress\/lock 100600 0:0 $/;

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const described = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    const { mode, uid, gid, size } = await lstat(path);
    const content = entry.isFile() && size < 1e6 ? await readFile(path, 'utf8') : '';
    return `${path} ${mode.toString(8)} ${uid}:${gid} ${content}`;
  });
  return (await Promise.all(described)).sort();
}

const versions = ['1', '2'] as const;

describe('the image and the manifest', runtimeTest, () => {
  let images: string;
  /** A binary for each version. A byte behind an ELF file changes nothing in what it does. */
  const binaryOf = (version: (typeof versions)[number]) => join(images, `egress-${version}`);

  before(async () => {
    images = await mkdtemp(join(tmpdir(), 'egress-images-'));
    for (const version of versions) {
      const binary = binaryOf(version);
      await copyFile(egressBinary, binary);
      await appendFile(binary, version);
      writeImage({ binary, version, name: imageOf(version), output: join(images, version) });
    }
  });
  after(() => rm(images, { recursive: true }));

  test('install egress with no more rights than the manifest gives, upgrade and remove it, and nothing is left', async () => {
    await using cluster = await Cluster.start(images);
    const { containerd } = cluster;
    const { node } = containerd;
    await settle(containerd);
    const [kernel, files] = [await snapshot(node), await cluster.files()];
    const early = await containerd.pod({ namespace: 'steered' });
    assert.deepEqual(await early.askEach('tcp', world.service), node.addresses('eth0'));

    const first = await cluster.installer('1', { agent: true });
    await first.ready();
    await cluster.chainHas(true);
    assert.match(await first.log(), /taint: egress\.cni\/not-ready is not looked after: there is no token/);
    await first.said('a pod from before has its exits now', 'agent');
    assert.deepEqual(await early.askEach('tcp', world.service), byExit);
    const old = await containerd.pod({ namespace: 'steered' });
    assert.deepEqual(await old.askEach('tcp', world.service), byExit);
    assert.equal(await hashOf(containerd.plugin('egress')), await hashOf(binaryOf('1')));

    // A rolling update: the old installer ends before the new one begins, and pods start and end all the time.
    const enough = cluster.churn();
    await first[Symbol.asyncDispose]();
    const between = await containerd.pod({ namespace: 'steered' });
    const second = await cluster.installer('2', { agent: true });
    await second.ready();
    await enough();
    await asked(() => second.probes(), ['ok\n', 'ok\n']);
    assert.equal(await hashOf(containerd.plugin('egress')), await hashOf(binaryOf('2')));
    assert.doesNotMatch([...containerd.log, await second.log()].join('\n'), /text file (is )?busy/i);
    const late = await containerd.pod({ namespace: 'steered' });
    const all = [early, old, between, late];
    for (const pod of all) assert.deepEqual(await pod.askEach('tcp', world.service), byExit);

    // The agent mends what needs each of its rights: the table, and a parameter that runtimes mount read-only.
    await node.machine.sysctl({ [filter]: 1 });
    await node.machine.must(['nft', 'delete', 'table', 'inet', 'cni-egress']);
    while (!(await filterOf(node)).includes('2')) await wait(50);
    for (const pod of all) await asks(pod, byExit);
    assert.doesNotMatch(await second.log('agent'), /could not be done/);

    // In the order of install/README.md: first no policies, which running pods hear of, then the pods end, then egress goes.
    await cluster.give({ ...policyFile, policies: [] });
    for (const pod of all) await asks(pod, node.addresses('eth0'));
    const unsteered = await containerd.pod({ namespace: 'steered' });
    assert.deepEqual(await unsteered.askEach('tcp', world.service), node.addresses('eth0'));
    for (const pod of [early, old, between, late]) await pod.end();
    await second[Symbol.asyncDispose]();
    await cluster.uninstall('--binary');
    await cluster.chainHas(false);
    await unsteered.end();
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(kernel, await snapshot(node));
    assert.deepEqual(await cluster.files(), files);
  });

  test('take the start-up taint off the node when pods can be steered, not before, and leave its other taints', async () => {
    await using cluster = await Cluster.start(images);
    const { node } = cluster.containerd;
    const account = join(node.folder, 'account');
    await mkdir(account);
    const { certificate, key } = certificateForLoopback();
    const files = { 'ca.crt': certificate, 'server.key': key, token: 'first' };
    for (const [name, text] of Object.entries(files)) await writeFile(join(account, name), text);
    const [ours, other] = [
      { key: startupTaint, effect: 'NoSchedule' },
      { key: 'other', effect: 'NoExecute' },
    ];
    const server = await node.machine.start(
      [
        ...[process.execPath, apiServer, join(account, 'ca.crt'), join(account, 'server.key')],
        ...['6443', JSON.stringify([ours, other])],
      ],
      'listening',
    );
    await writeFile(cluster.policyFile, 'policies: [');
    await using installer = await cluster.installer('1', { account: { folder: account, port: 6443 } });
    await installer.said('waits for the policy');
    assert.deepEqual(server.lines, ['listening']);

    await writeFile(cluster.policyFile, stringify(policyFile));
    await installer.ready();
    await installer.said('taint: ');
    assert.match(await installer.log(), /taint: removed egress\.cni\/not-ready from the node one/);
    assert.equal(server.lines.at(-1), `PATCH /api/v1/nodes/one ${JSON.stringify([other])}`);
    await server.stop();
  });

  /** A cluster that egress was just installed in, and its node as it was before. */
  async function installed(options: { readonly agent?: true; readonly policy?: object } = {}) {
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(await Cluster.start(images));
    if (options.policy) await writeFile(cluster.policyFile, stringify(options.policy));
    await settle(cluster.containerd);
    const [kernel, files] = [await snapshot(cluster.containerd.node), await cluster.files()];
    const installer = await cluster.installer('1', options.agent ? { agent: true } : {});
    await installer.ready();
    await cluster.chainHas(true);
    const all = stack.move();
    return { cluster, installer, kernel, files, [Symbol.asyncDispose]: () => all.disposeAsync() };
  }

  test('serve a gateway exit without a shell on the node; drained wait for the last pod and the agent, and leave every file as before', async () => {
    await using started = await installed({ agent: true, policy: withGateway });
    const { cluster, installer, kernel, files } = started;
    const { containerd } = cluster;
    const pods = [await containerd.pod({ namespace: 'steered' }), await containerd.pod({ namespace: 'default' })];
    const [byPartners, byGateway] = pods;
    assert.ok(byPartners && byGateway);
    await asks(byGateway, internet.addresses);
    await installer[Symbol.asyncDispose]();

    const drain = await cluster.installer('2', {
      command: ['/usr/bin/egress', 'uninstall'],
      args: ['--drain', '--binary'],
      agent: true,
    });
    await drain.said('2 attachments of pods are steered until they end');
    await drain.said('"internet" is served to others until the agent ends that');
    await cluster.chainSays('"draining":true');
    const late = await containerd.pod({ namespace: 'steered', annotations: { 'egress.cni/exit': 'nowhere' } });
    assert.deepEqual(await late.askEach('tcp', world.service), containerd.node.addresses('eth0'));
    assert.deepEqual(await byPartners.askEach('tcp', world.service), byExit);
    await byPartners.end();
    assert.deepEqual(await byGateway.askEach('tcp', world.service), internet.addresses);
    await byGateway.end();
    assert.equal(await drain.ended(), 0, await drain.log());
    assert.match(await drain.log(), /removed .*\/egress\n/);
    await drain[Symbol.asyncDispose]();
    await cluster.chainHas(false);
    await late.end();
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(kernel, await snapshot(containerd.node));
    assert.deepEqual(await cluster.files(), files);
  });

  test('removed while pods are steered leave what "egress gc" takes down: containerd calls no DEL of who has left the chain', async () => {
    await using started = await installed();
    const { cluster, installer, kernel, files } = started;
    const { containerd } = cluster;
    const pod = await containerd.pod({ namespace: 'steered' });
    await installer[Symbol.asyncDispose]();

    assert.match(await cluster.uninstall(), /is left: pods that run need it when they end/);
    await cluster.chainHas(false);
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
    await pod.end();
    assert.match(await cluster.uninstall('--binary'), /is left: 1 attachment of pods needs it when it ends/);
    await containerd.machine.inside.must([containerd.machine.plugin('egress'), 'gc']);
    assert.match(await cluster.uninstall('--binary'), /removed .*\/egress\n/);
    assertUnchanged(kernel, await snapshot(containerd.node));
    assert.deepEqual(await cluster.files(), files);
  });
});
