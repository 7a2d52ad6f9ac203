import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Finding } from '../../src/report/doctor/finding.ts';
import { doctorReportSchema } from '../../src/report/doctor/schema.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internet } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** Something that keeps a pod's packets from leaving by its exit, on a node of its own. */
interface Fault {
  readonly what: string;
  readonly plant: (node: LabNode, lab: Lab) => Promise<unknown>;
  /** It shall be told before the first packet. */
  readonly isUnseen?: true;
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

const moreFaults: readonly Fault[] = [
  {
    // Somebody moves their masquerade before that of others (nftables' own priority is 100).
    what: 'a masquerade of somebody else comes before ours',
    plant: (node) =>
      nft(
        node,
        'add table inet fw',
        'add chain inet fw out { type nat hook postrouting priority 90; }',
        'add rule inet fw out oifname eth1 masquerade',
      ),
    check: 'masquerade',
    named:
      /^a rule of chain out of table inet fw \(handle \d+\) translates addresses at postrouting 90, before our chain \(95\)/,
    remedy: /^nft insert rule inet fw out meta mark and 0x[0-9a-f]+ == 0x[0-9a-f]+ accept$/,
  },
  {
    what: 'another host has an address of the exit as well',
    plant: async (_, lab) => lab.back.host.ip('address add 192.168.0.245/32 dev eth0'),
    check: 'neighbours',
    named:
      /^192\.168\.0\.245 of exit "partners" is also on another host at eth1, with the MAC address 02:00:c0:a8:00:01/,
    remedy: /^take 192\.168\.0\.245 from the host with the MAC address 02:00:c0:a8:00:01/,
    follow: ({ lab }) => lab.back.host.ip('address del 192.168.0.245/32 dev eth0'),
  },
  {
    what: 'another host has an IPv6 address of the exit as well',
    plant: async (_, lab) => lab.back.host.ip('address add fd00:168::245/128 dev eth0 nodad'),
    check: 'neighbours',
    named: /^fd00:168::245 of exit "partners" is also on another host at eth1/,
    remedy: /^take fd00:168::245 from the host/,
    follow: ({ lab }) => lab.back.host.ip('address del fd00:168::245/128 dev eth0'),
  },
  {
    what: 'a rule of nftables clears our bit of the mark',
    plant: (node) =>
      nft(
        node,
        'add table inet fw',
        'add chain inet fw marks { type filter hook prerouting priority -50; }',
        `add rule inet fw marks meta mark set meta mark and 0xbfffffff`,
        `add rule inet fw marks meta mark set meta mark and 0xffefffff`,
      ),
    check: 'marks',
    named: /^a rule of chain marks of table inet fw \(handle \d+\) writes our bit 0x[0-9a-f]+ of the mark/,
    remedy: /^nft delete rule inet fw marks handle \d+$/,
  },
  {
    what: 'a rule of iptables sets our bit of the mark',
    plant: ({ machine }) =>
      machine.must([
        ...'iptables -t mangle -A FORWARD -d 203.0.113.0/24 -j MARK --set-xmark 0x0/0xffffffff'.split(' '),
      ]),
    check: 'marks',
    named: /^a rule of chain FORWARD of table ip mangle \(handle \d+\) sets whole marks/,
    remedy: /nft delete rule ip mangle FORWARD handle \d+$/,
    follow: ({ machine }) => machine.must('iptables -t mangle -F FORWARD'.split(' ')),
  },
  {
    what: 'the kernel has an old MAC address of the next hop',
    plant: async ({ machine }) =>
      machine.ip('neigh replace 192.168.0.1 lladdr 02:00:00:00:00:99 dev eth1 nud permanent'),
    check: 'neighbours',
    named:
      /^the kernel had next hop 192\.168\.0\.1 of exit "partners" at 02:00:00:00:00:99 \(permanent\), but it answers from 02:00:c0:a8:00:01$/,
    remedy: /^ip neigh del 192\.168\.0\.1 dev eth1$/,
  },
  {
    // A router is replaced and announces nothing. The kernel finds out some seconds after the next packet, if at all.
    what: 'the next hop has another MAC address now',
    isUnseen: true,
    plant: async (node, lab) => {
      await lab.back.host.ip('link set eth0 address 02:00:00:00:00:77');
      await node.machine.ip(
        'neigh replace 192.168.0.1 lladdr 02:00:c0:a8:00:01 dev eth1 nud stale',
        'neigh flush to fd00:168::1 dev eth1',
      );
    },
    check: 'neighbours',
    named:
      /^the kernel had next hop 192\.168\.0\.1 of exit "partners" at 02:00:c0:a8:00:01 \(\w+\), but it answers from 02:00:00:00:00:77$/,
    remedy: /^ip neigh del 192\.168\.0\.1 dev eth1$/,
  },
  {
    what: 'the next hop is gone',
    plant: async (_, lab) => lab.back.host.ip('link set eth0 down'),
    check: 'neighbours',
    named: /^next hop 192\.168\.0\.1 of exit "partners" does not answer at eth1$/,
    remedy: /^look for the router, its link and VLAN/,
    follow: ({ lab }) => lab.back.host.ip('link set eth0 up', 'address replace fd00:168::1/64 dev eth0 nodad'),
  },
];

/** What only looks at the machine that the lab is on, and may be wrong there. */
const ofTheMachine = ['clock', 'disk', 'conntrack'];

describe('egress doctor', labTest, () => {
  test('has no word of fault, and none of warning, on a node on which all is well', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    await assertHealthy(node);
  });

  test('says of a node that forwards nothing what README shows', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    await node.machine.sysctl({ 'net.ipv4.ip_forward': 0 });
    const { stdout } = await node.egress('doctor');
    const [shown = ''] = /^FAULT .*\n .*\n/m.exec(stdout) ?? [];
    assert.ok(
      shown !== '' && (await readFile(new URL('../../README.md', import.meta.url), 'utf8')).includes(shown),
      stdout,
    );
    assert.match(stdout, /^1 fault, 0 warnings, \d+ ok\.\n$/m);
  });

  test('writes a new file for a bug report, and says first what it holds', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const file = join(lab.folder, 'bundle.json');
    const { code, stdout, stderr } = await node.egress('doctor', '--bundle', file);
    assert.deepEqual([code, /^0 faults, /m.test(stdout)], [0, true], stdout);
    const parts = Object.keys(JSON.parse(await readFile(file, 'utf8')));
    assert.deepEqual(
      [...stderr.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name),
      parts,
    );
    assert.match(stderr, /^Left out: annotations of pods, /m);
    assert.ok((await readFile(file, 'utf8')).includes(pod.name));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const again = await node.egress('doctor', '--bundle', file);
    assert.deepEqual([again.code, again.stdout], [2, '']);
    assert.match(again.stderr, /bundle\.json is there already/);
  });

  test('leaves nothing behind, and changes nothing', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    await node.egress('doctor');
    const before = await snapshot(node);
    await node.egress('doctor');
    assert.deepEqual(await snapshot(node), before);
  });

  test('has no word of fault on a node without pods', async () => {
    await using lab = await Lab.create();
    await assertHealthy(await lab.node());
  });

  for (const fault of [...faults, ...moreFaults]) {
    test(`names it when ${fault.what}, and its remedy works`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      assert.deepEqual(await pod.askEach(), world.exitAddress);
      await fault.plant(node, lab);
      if (!fault.isUnseen) await pod.askEach(); // what has to be counted before it is told
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

/** Something that keeps packets from a gateway, or from leaving there; found on the pod's node or on the gateway. */
interface ClusterFault extends Pick<Fault, 'what' | 'check' | 'named' | 'remedy'> {
  readonly on: 'worker' | 'gateway';
  readonly plant: (nodes: Nodes) => Promise<unknown>;
  /** Without it the remedy is done as it is written, on the node where it was found. */
  readonly follow?: (nodes: Nodes, remedy: string) => Promise<unknown>;
}

interface Nodes {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly gateway: LabNode;
  readonly worker: LabNode;
}

const clusterFaults: readonly ClusterFault[] = [
  {
    what: 'somebody gives the tunnel’s device a larger MTU',
    on: 'worker',
    plant: ({ worker }) => worker.machine.ip('link set egress0 mtu 1500'),
    check: 'gateways',
    named: /^egress0 has the MTU 1500, and 1450 fit below: larger packets get lost$/,
    remedy: /^ip link set egress0 mtu 1450$/,
  },
  {
    // A network of the provider that carries less than the interfaces say (Google Cloud: 1460, others with their own tunnels).
    what: 'the network between the nodes carries less than their interfaces say',
    on: 'worker',
    plant: ({ lab }) => lab.front.namespace.ip('link set node3 mtu 1400'),
    check: 'gateways',
    named:
      /^the way to gateway 172\.18\.0\.3 does not take packets of 1500 bytes, which the tunnel makes of 1450, but 1400 at most/,
    remedy:
      /^ip link set eth0 mtu 1400, here and on 172\.18\.0\.3; then egress gateway there, and the next pod here, take it over$/,
    follow: async ({ cluster, worker, gateway }, remedy) => {
      const command = remedy.split(',')[0] ?? '';
      for (const { machine } of [worker, gateway]) await machine.must(['sh', '-c', command]);
      await cluster.up(gateway);
      await worker.started();
    },
  },
  {
    what: 'the gateway is not there at all',
    on: 'worker',
    plant: ({ lab }) => lab.front.namespace.ip('link set node3 down'),
    check: 'gateways',
    named: /^gateway 172\.18\.0\.3 of "internet" does not answer, neither by itself nor through the tunnel$/,
    remedy: /^bring 172\.18\.0\.3 back, or: egress exit move /,
    follow: ({ lab }) => lab.front.namespace.ip('link set node3 up'),
  },
  {
    what: 'nobody started the gateway, or it was taken down',
    on: 'worker',
    plant: ({ cluster, gateway }) => cluster.down(gateway),
    check: 'gateways',
    named: /^gateway 172\.18\.0\.3 of "internet" answers, but not through the tunnel$/,
    remedy: /^on 172\.18\.0\.3: run egress agent or egress gateway, let UDP port 4788 from 172\.18\.0\.5 pass/,
    follow: ({ cluster, gateway }) => cluster.up(gateway),
  },
  {
    what: 'a firewall blocks the tunnel’s port on the gateway',
    on: 'worker',
    plant: ({ gateway }) => gateway.machine.must('iptables -I INPUT -p udp --dport 4788 -j DROP'.split(' ')),
    check: 'gateways',
    named: /^gateway 172\.18\.0\.3 of "internet" answers, but not through the tunnel$/,
    remedy: /let UDP port 4788 from 172\.18\.0\.5 pass/,
    follow: ({ gateway }) => gateway.machine.must('iptables -D INPUT -p udp --dport 4788 -j DROP'.split(' ')),
  },
  {
    what: 'somebody flushes the gateway’s table',
    on: 'gateway',
    plant: ({ gateway }) => nft(gateway, 'flush ruleset'),
    check: 'objects',
    named: /^gateway: table inet cni-egress is missing/,
    remedy: /^egress repair$/,
  },
  {
    what: 'somebody flushes the gateway’s table, seen from the pod’s node',
    on: 'worker',
    plant: ({ gateway }) => nft(gateway, 'flush ruleset'),
    check: 'gateways',
    named: /^gateway 172\.18\.0\.3 of "internet" takes what it should drop: its table is gone/,
    remedy: /^on 172\.18\.0\.3: egress repair;/,
    follow: ({ gateway }) => follow(gateway, 'egress repair'),
  },
  {
    what: 'the gateway’s forwarding is off for what comes out of the tunnel',
    on: 'gateway',
    plant: ({ gateway }) => gateway.machine.sysctl({ 'net.ipv4.conf.egress0.forwarding': 0 }),
    check: 'forwarding',
    named: /^net\/ipv4\/conf\/egress0\/forwarding is 0/,
    remedy: /^sysctl -w net\/ipv4\/conf\/egress0\/forwarding=1$/,
  },
  {
    what: 'another host has the egress address as well',
    on: 'worker',
    plant: ({ lab }) => lab.front.host.ip('address add 172.18.0.33/32 dev eth0'),
    check: 'gateways',
    named: /^egress address 172\.18\.0\.33 is on two hosts, with the MAC addresses /,
    remedy: /^take 172\.18\.0\.33 from the host that is not gateway 172\.18\.0\.3$/,
    follow: ({ lab }) => lab.front.host.ip('address del 172.18.0.33/32 dev eth0'),
  },
];

describe('egress doctor, where an exit leaves from a gateway,', labTest, () => {
  async function started(lab: Lab): Promise<Nodes & { readonly pod: Pod }> {
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    await cluster.up();
    const [[gateway], [worker]] = [cluster.gateways, cluster.workers];
    assert.ok(gateway && worker);
    const pod = await worker.started();
    assert.deepEqual(await pod.askEach(), internet.addresses);
    return { lab, cluster, gateway, worker, pod };
  }

  test('has no word of fault, and none of warning, on pod’s node and gateway', async () => {
    await using lab = await Lab.create();
    const { worker, gateway } = await started(lab);
    await assertHealthy(worker);
    await assertHealthy(gateway);
  });

  for (const { what, on, plant, check, named, remedy, follow: byHand } of clusterFaults) {
    test(`names it when ${what}, and its remedy works`, async () => {
      await using lab = await Lab.create();
      const { pod, ...nodes } = await started(lab);
      await plant(nodes);
      const node = nodes[on];
      const { code, findings } = await doctor(node);
      const found = findings.find((each) => each.check === check && named.test(each.text));
      assert.ok(found, JSON.stringify(findings, undefined, 1));
      assert.match(remedyOf(found), remedy);
      assert.equal(code, 1);
      await (byHand?.(nodes, remedyOf(found)) ?? follow(node, remedyOf(found)));
      assert.deepEqual(await pod.askEach(), internet.addresses);
      for (const each of [nodes.worker, nodes.gateway]) assert.deepEqual(await wrong(each), []);
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
  return { code, findings: doctorReportSchema.parse(JSON.parse(stdout)).findings };
}

/** Warned of however it is now: filters that drop by policy, and marks that were lost some time. */
const warnedOf = [...ofTheMachine, 'filters', 'marks'];

/** What is not as it should be. */
async function wrong(node: LabNode): Promise<readonly Finding[]> {
  const { findings } = await doctor(node);
  const isWrong = ({ status, check }: Finding) =>
    status === 'fault' || (status === 'warning' && !warnedOf.includes(check));
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
