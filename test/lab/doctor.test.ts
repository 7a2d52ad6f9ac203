import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Finding } from '../../src/report/doctor/finding.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** Something that keeps a pod's packets from leaving by its exit, on a node of its own. */
interface Fault {
  readonly what: string;
  readonly plant: (node: LabNode, lab: Lab) => Promise<unknown>;
  readonly check: string;
  readonly named: RegExp;
  /** The remedy as a person reads it; followed word for word as a command, or else by `follow`. */
  readonly remedy: RegExp;
  readonly follow?: (node: LabNode, pod: Pod) => Promise<unknown>;
}

const faults: readonly Fault[] = [
  {
    what: 'the strict reverse path filter of the pods’ interface looks at marks',
    plant: ({ machine }) =>
      machine.sysctl({ 'net.ipv4.conf.cni0.rp_filter': 1, 'net.ipv4.conf.cni0.src_valid_mark': 1 }),
    check: 'reverse path',
    named: /^with src_valid_mark the strict reverse path filter of cni0 drops what is for an exit$/,
    remedy: /^sysctl -w net\/ipv4\/conf\/cni0\/rp_filter=2$/,
  },
  {
    what: 'forwarding of IPv4 is off',
    plant: ({ machine }) => machine.sysctl({ 'net.ipv4.ip_forward': 0 }),
    check: 'forwarding',
    named: /^net\.ipv4\.ip_forward is 0, so the node forwards nothing$/,
    remedy: /^sysctl -w net\.ipv4\.ip_forward=1$/,
  },
  {
    what: 'forwarding is off for the interface of the pods alone',
    plant: ({ machine }) => machine.sysctl({ 'net.ipv4.conf.cni0.forwarding': 0 }),
    check: 'forwarding',
    named: /^net\/ipv4\/conf\/cni0\/forwarding is 0/,
    remedy: /^sysctl -w net\/ipv4\/conf\/cni0\/forwarding=1$/,
  },
  {
    // Docker Engine does so since 1.13 (moby/moby#14041), and its own chains accept nothing of ours.
    what: 'FORWARD of iptables has the policy drop',
    plant: ({ machine }) => machine.must(['iptables', '-P', 'FORWARD', 'DROP']),
    check: 'filters',
    named: /^chain FORWARD of table ip filter drops all that pods send by exits/,
    remedy: /^iptables -I FORWARD -i cni0 -o eth1 -j ACCEPT && iptables -I FORWARD -i eth1 -o cni0 -j ACCEPT$/,
  },
  {
    what: 'a chain of nftables drops what is forwarded, unless a rule of its accepts it',
    plant: async (node) => {
      await nft(
        node,
        'add table inet fw',
        'add chain inet fw ways { type filter hook forward priority 10; policy drop; }',
        'add rule inet fw ways oifname eth0 accept',
      );
    },
    check: 'filters',
    named: /^chain ways of table inet fw has the policy drop/,
    remedy: /nft insert rule inet fw ways iifname cni0 oifname eth1 accept && /,
    follow: async (node) => {
      const found = (await doctor(node)).findings.find(({ check }) => check === 'filters');
      const command = /nft insert.*/.exec(remedyOf(found))?.[0] ?? assert.fail();
      await node.machine.must(['sh', '-c', command]);
    },
  },
  {
    what: 'somebody flushes the ruleset',
    plant: (node) => nft(node, 'flush ruleset'),
    check: 'objects',
    named: /: table inet cni-egress is missing/,
    remedy: /^egress repair$/,
  },
  {
    what: 'clusterCIDRs hold where the policy leads',
    plant: async (node) => {
      await node.write({
        egress: egressEntry({ clusterCIDRs: [...world.cluster, '203.0.113.0/24', '2001:db8::/32'] }),
      });
      return 'recreate';
    },
    check: 'cluster ranges',
    named:
      /^policy "partners" fits no packet: all its destinations are inside ranges of the cluster \(203\.0\.113\.0\/24\)/,
    remedy:
      /^in clusterCIDRs, write only ranges of pods and services in place of 203\.0\.113\.0\/24; then recreate the pods/,
    follow: (node) => node.write({ egress: egressEntry() }),
  },
  {
    what: 'clusterCIDRs lack the pods, and a policy is for everywhere',
    plant: (node) =>
      node.write({
        egress: egressEntry({
          clusterCIDRs: ['10.96.0.0/12', 'fd00:96::/112'],
          policies: [{ name: 'all', namespaces: ['default'], exit: partners.name }],
        }),
      }),
    check: 'cluster ranges',
    named: /^10\.0\.0\.\d+ of default\/\S+ is in no range of clusterCIDRs, and policy "all" is for it/,
    remedy: /^add the ranges of all pods and services to clusterCIDRs, also that of 10\.0\.0\.\d+; then recreate/,
    follow: (node) => node.write({ egress: egressEntry() }),
  },
];

/** What only looks at the machine that the lab is on, and may be wrong there. */
const ofTheMachine = ['clock', 'disk', 'conntrack'];

describe('egress doctor', { ...labTest, concurrency: 2 }, () => {
  test('has no word of fault, and none of warning, on a node on which all is well', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    await assertHealthy(node);
  });

  test('has no word of fault on a node without pods', async () => {
    await using lab = await Lab.create();
    await assertHealthy(await lab.node());
  });

  for (const fault of faults) {
    test(`names it when ${fault.what}, and its remedy works`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      assert.deepEqual(await pod.askEach(), world.exitAddress);
      await fault.plant(node, lab);
      await pod.askEach(); // what has to be counted before it is seen
      const { code, findings } = await doctor(node);
      const found = findings.find(({ check, text }) => check === fault.check && fault.named.test(text));
      assert.ok(found, JSON.stringify(findings, undefined, 1));
      assert.match(remedyOf(found), fault.remedy);
      if (found.status === 'fault') assert.equal(code, 1);
      await (fault.follow?.(node, pod) ?? follow(node, remedyOf(found)));
      assert.deepEqual(await pod.askEach(), world.exitAddress);
      assert.deepEqual(await wrong(node), []);
    });
  }
});

const remedyOf = (finding: Finding | undefined): string =>
  finding === undefined || finding.status === 'ok' ? assert.fail('a remedy was expected') : finding.remedy;

/** Does what the remedy says, as a person would who copies it. */
const follow = ({ machine }: LabNode, remedy: string): Promise<string> =>
  machine.must(['sh', '-c', remedy.replaceAll(/\begress (?=\w)/g, `${egressBinary} `)]);

async function doctor(node: LabNode): Promise<{ code: number; findings: readonly Finding[] }> {
  const { code, stdout, stderr } = await node.egress('doctor', '--json');
  assert.equal(stderr, '');
  return { code, findings: (JSON.parse(stdout) as { findings: readonly Finding[] }).findings };
}

/** What is not as it should be. Filters that drop by policy are warned of however their rules are. */
async function wrong(node: LabNode): Promise<readonly Finding[]> {
  const { findings } = await doctor(node);
  const isWrong = ({ status, check }: Finding) =>
    status === 'fault' || (status === 'warning' && check !== 'filters' && !ofTheMachine.includes(check));
  return findings.filter(isWrong);
}

async function assertHealthy(node: LabNode): Promise<void> {
  const { code, findings } = await doctor(node);
  assert.deepEqual(
    findings.filter(({ status, check }) => status !== 'ok' && !ofTheMachine.includes(check)),
    [],
  );
  assert.equal(code, 0);
}
