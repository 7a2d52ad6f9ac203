import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import type { Echo, ForeignChain, ForeignRule } from '../../../../src/datapath/examiner.ts';
import { bringUp } from '../../../../src/gateway/gateway.ts';
import { bundleOf } from '../../../../src/report/doctor/bundle.ts';
import { checkNames, examine, isHealthy } from '../../../../src/report/doctor/doctor.ts';
import type { Finding } from '../../../../src/report/doctor/finding.ts';
import { doctorReportSchema } from '../../../../src/report/doctor/schema.ts';
import { FakeExaminer, FakeSystem, surroundingsOf } from '../../support/fake-examiner.ts';
import {
  added,
  type FakeMachine,
  gatewayConfiguration,
  gatewayDocument,
  held,
  newMachine,
  newNode,
  noCounters,
} from '../../support/fake-machine.ts';

interface Patient {
  readonly machine: FakeMachine;
  readonly examiner: FakeExaminer;
  readonly system: FakeSystem;
}

const conflist = (plugins: readonly object[]) => JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins });
const exits = [{ name: 'partners', id: 7, interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] }];
const policies = [{ name: 'partners', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'partners' }];
const entry = { type: 'egress', clusterCIDRs: ['10.0.0.0/16'], exits, policies };

const leavingBy = (exit: string) => ({ name: exit, namespaces: ['other'], exit });

function writeChain({ machine }: Pick<Patient, 'machine'>, ...plugins: readonly object[]): void {
  mkdirSync(`${machine.dataDir}/net.d`, { recursive: true });
  writeFileSync(`${machine.dataDir}/net.d/10.conflist`, conflist(plugins));
}

/** A node with a pod, on which all is well. */
async function healthy(t: TestContext): Promise<Patient> {
  const machine = newMachine(t);
  const patient = { machine, examiner: new FakeExaminer(), system: new FakeSystem() };
  await added(machine, 'a', '10.0.0.5');
  machine.host.counters = noCounters;
  patient.examiner.macs.set('192.168.0.1', ['02:00:00:00:00:01']);
  machine.host.linkAddresses.set('veth1', [
    { address: '10.0.0.1', prefixLength: 24, family: 4, scope: 0, usable: true },
  ]);
  writeChain(patient, { type: 'bridge' }, entry);
  return patient;
}

async function examined({ machine, examiner, system }: Patient) {
  return await examine(machine, machine.host, surroundingsOf(examiner, system, machine.dataDir));
}

const wrong = (findings: readonly Finding[]): string[] =>
  findings.flatMap((each) =>
    each.status === 'ok' ? [] : [`${each.status} ${each.check}: ${each.text} → ${each.remedy}`],
  );

const rule = (...expressions: ForeignRule['expressions']): ForeignRule => ({ handle: 4n, expressions });
const mangle = (...rules: readonly ForeignRule[]): ForeignChain => ({
  ...{ family: 'ip', table: 'mangle', chain: 'FORWARD' },
  base: { type: 'filter', hook: 'forward', priority: -150 },
  rules,
});
const xt = (kind: 'match' | 'target', extension: string, info: string) =>
  ({ name: 'xt', kind, extension, info }) as const;
const nat = (priority: number, ...rules: readonly ForeignRule[]): ForeignChain => ({
  ...{ family: 'inet', table: 'fw', chain: 'out' },
  base: { type: 'nat', hook: 'postrouting', priority },
  rules,
});
const eth1 = Buffer.from('eth1').toString('hex').padEnd(32, '0');
const leavesBy = (device: string) =>
  [
    { name: 'meta', key: 'oifname', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: device },
  ] as const;

const otherThan = (device: string) =>
  (['iifname', 'oifname'] as const).flatMap(
    (key) =>
      [
        { name: 'meta', key, dreg: 1 },
        { name: 'cmp', op: 'neq', sreg: 1, data: device },
      ] as const,
  );

/** A firewall with a flowtable, and a rule that hands over to one, as the kernel lists both. */
function handOver({ examiner }: Patient, devices: readonly string[], rules: ForeignRule['expressions'], name = 'ft') {
  const data = Buffer.from(`0700010066740000`, 'hex').toString('hex'); // NFTA_FLOW_TABLE_NAME "ft"
  examiner.flowtables.push({ family: 'inet', table: 'fw', name, devices });
  examiner.chains.push({
    ...{ family: 'inet', table: 'fw', chain: 'onward' },
    base: { type: 'filter', hook: 'forward', priority: 0 },
    rules: [rule(...rules, { name: 'unknown', expression: 'flow_offload', data })],
  });
}

/** What is done to the patient, and what is wrong then: nothing else. */
const rows: readonly (readonly [string, (patient: Patient) => unknown, readonly RegExp[]])[] = [
  ['nothing', () => {}, []],
  [
    'a network without egress whose file comes first',
    ({ machine }) => {
      const text = JSON.stringify({ cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'ptp' }] });
      writeFileSync(`${machine.dataDir}/net.d/05.conflist`, text);
    },
    [
      /^warning chain: network "other" comes first in the folder, with the chain ptp: .* → egress install puts egress there/,
    ],
  ],
  [
    'a rule of iptables that writes its own bits of the mark',
    ({ examiner }) => examiner.chains.push(mangle(rule(xt('target', 'MARK', '0040000000400000')))),
    [],
  ],
  [
    'a rule of iptables that writes our bit',
    ({ examiner }) => examiner.chains.push(mangle(rule(xt('target', 'MARK', '0000004000000040')))),
    [
      /^fault marks: a rule of chain FORWARD of table ip mangle \(handle 4\) writes our bit 0x40000000 .* → nft delete rule ip mangle FORWARD handle 4$/,
    ],
  ],
  [
    'a rule of iptables that looks for our bit',
    ({ examiner }) => examiner.chains.push(mangle(rule(xt('match', 'mark', '000000400000004000000000')))),
    [/^fault marks: a rule .* looks at our bit/],
  ],
  [
    'one that restores the whole mark of the connection',
    ({ examiner }) => examiner.chains.push(mangle(rule(xt('target', 'CONNMARK', '00000000ffffffffffffffff02')))),
    [/^warning marks: a rule .* sets whole marks/],
  ],
  [
    'one that saves the mark, and one that compares the whole mark with a small number',
    ({ examiner }) =>
      examiner.chains.push(
        mangle(
          rule(xt('target', 'CONNMARK', '00000000ffffffffffffffff01')),
          rule(xt('match', 'mark', '01000000ffffffff00000000')),
        ),
      ),
    [],
  ],
  [
    'a masquerade at priority 90 of the exit’s interface',
    ({ examiner }) => examiner.chains.push(nat(90, rule(...leavesBy(eth1), { name: 'masq' }))),
    [
      /^fault masquerade: .* at postrouting 90, .* → nft insert rule inet fw out meta mark and 0x40000000 == 0x40000000 accept$/,
    ],
  ],
  [
    'one of another interface, and one that comes after ours',
    ({ examiner }) =>
      examiner.chains.push(
        nat(90, rule(...leavesBy(eth1.replace('31', '32')), { name: 'masq' })),
        nat(100, rule({ name: 'masq' })),
      ),
    [],
  ],
  [
    'one with conditions that are not judged',
    ({ examiner }) =>
      examiner.chains.push(
        nat(
          90,
          rule(
            { name: 'payload', base: 'network', offset: 12, length: 4, dreg: 1 },
            { name: 'cmp', op: 'eq', sreg: 1, data: '0a000005' },
            { name: 'masq' },
          ),
        ),
      ),
    [/^warning masquerade: /],
  ],
  [
    'a masquerade in a chain that is jumped to',
    ({ examiner }) =>
      examiner.chains.push(nat(90, rule({ name: 'immediate', verdict: { code: 'jump', chain: 'more' } })), {
        ...{ family: 'inet', table: 'fw', chain: 'more' },
        rules: [rule({ name: 'masq' })],
      }),
    [/^warning masquerade: a rule of chain more of table inet fw/],
  ],
  [
    'a flowtable of a firewall at the pod’s interface',
    (patient) => handOver(patient, ['eth0', 'veth1'], []),
    [
      /^warning flowtables: a rule of chain onward of table inet fw \(handle 4\) hands connections over to flowtable ft, which is at veth1: .* → take veth1 out of the flowtable \(firewalld: NftablesFlowtable\), or put iifname != "eth1" oifname != "eth1" before "flow add @ft": nft replace rule inet fw onward handle 4$/,
    ],
  ],
  ['one that the remedy was applied to', (patient) => handOver(patient, ['eth0', 'veth1'], otherThan(eth1)), []],
  [
    'one that spares another interface only',
    (patient) => handOver(patient, ['eth1', 'veth1'], otherThan(eth1.replace('31', '30'))),
    [/^warning flowtables: /],
  ],
  ['one between uplinks alone', (patient) => handOver(patient, ['eth0', 'eth1'], []), []],
  ['one that nothing is handed over to', (patient) => handOver(patient, ['veth1'], [], 'ft2'), []],
  [
    'another host that has an address of the exit',
    ({ examiner }) => examiner.macs.set('192.168.0.245', ['02:00:00:00:00:09']),
    [/^fault neighbours: 192\.168\.0\.245 of exit "partners" is also on another host at eth1/],
  ],
  [
    'a next hop that does not answer',
    ({ examiner }) => examiner.macs.delete('192.168.0.1'),
    [/^fault neighbours: next hop 192\.168\.0\.1 of exit "partners" does not answer at eth1/],
  ],
  [
    'two hosts that have the next hop’s address',
    ({ examiner }) => examiner.macs.set('192.168.0.1', ['02:00:00:00:00:01', '02:00:00:00:00:02']),
    [/^fault neighbours: next hop 192\.168\.0\.1 of exit "partners" is at eth1 twice/],
  ],
  [
    'a stale neighbour with another MAC address',
    ({ examiner }) => examiner.known.set('192.168.0.1', { state: 'stale', mac: '02:00:00:00:00:05' }),
    [
      /^fault neighbours: the kernel had next hop .* at 02:00:00:00:00:05 \(stale\), .* → ip neigh del 192\.168\.0\.1 dev eth1$/,
    ],
  ],
  [
    'a stale neighbour with its own MAC address',
    ({ examiner }) => examiner.known.set('192.168.0.1', { state: 'stale', mac: '02:00:00:00:00:01' }),
    [],
  ],
  [
    'a table of connections that is full',
    ({ machine: { host } }) => {
      host.kernel.sysctls.set('net/netfilter/nf_conntrack_count', '96');
      host.kernel.sysctls.set('net/netfilter/nf_conntrack_max', '100');
    },
    [/^fault conntrack: 96 of 100 connections \(96 %\): .* → sysctl -w net\.netfilter\.nf_conntrack_max=200$/],
  ],
  [
    'another VXLAN device on our port, with no exit that needs it',
    ({ examiner }) => examiner.tunnels.push({ name: 'vxlan9', vni: 9, port: 4788 }),
    [/^warning numbers: vxlan9, which is not ours, is VXLAN 9 on UDP port 4788/],
  ],
  [
    'a kernel without group policy and egress hook, and nobody who needs the one',
    ({ examiner }) => {
      examiner.trials = [
        { feature: 'egress hook', problem: 'EOPNOTSUPP' },
        { feature: 'group policy', problem: 'EOPNOTSUPP' },
        { feature: 'flowtable', problem: 'ENOENT' },
      ];
    },
    [/^warning kernel: the kernel refuses egress hook/, /^warning kernel: the kernel refuses group policy/],
  ],
  [
    'a kernel without fib',
    ({ examiner }) => {
      examiner.trials = [{ feature: 'fib', problem: 'ENOENT' }];
    },
    [/^fault kernel: the kernel refuses fib \(ENOENT\): no pod can be steered/],
  ],
  [
    'no right to try features',
    ({ examiner }) => {
      examiner.trials = { untried: 'no network namespace could be made (unshare: EPERM)' };
    },
    // As in the agent's container on every node of a cluster.
    [],
  ],
  [
    'a full disk',
    ({ system }) => {
      system.room = { freeBytes: 1000, freeFiles: 5, writable: true };
    },
    [/^fault disk: 0 MiB free in /],
  ],
  [
    'a disk that cannot be written',
    ({ system }) => {
      system.room = { ...system.room, writable: false };
    },
    [/^fault disk: .* cannot be written/],
  ],
  [
    'a clock that is years behind',
    ({ system }) => {
      system.time = 0;
    },
    [/^warning clock: 1970-01-01 00:00:00 UTC, which is before 2026-11-01 00:00:00 UTC/],
  ],
  [
    'a right that is missing',
    ({ system }) => {
      system.rights = ['this process lacks CAP_NET_RAW, which it needs for announcements'];
    },
    [/^warning program: this process lacks CAP_NET_RAW/],
  ],
  [
    'egress as the first plugin of the chain',
    (patient) => writeChain(patient, entry),
    [/^fault chain: network "pods": egress: no plugin before egress makes an interface/],
  ],
  [
    'egress behind macvlan',
    (patient) => writeChain(patient, { type: 'macvlan' }, entry),
    [/^fault chain: network "pods": macvlan → egress: pods of macvlan are not routed/],
  ],
  [
    'a chain that lost egress',
    (patient) => writeChain(patient, { type: 'bridge' }),
    [/^fault chain: egress is in none of 1 networks: new pods are not steered/],
  ],
  [
    'a configuration that is no longer valid',
    (patient) => writeChain(patient, { type: 'bridge' }, { ...entry, exits: 5 }),
    [/^fault cluster ranges: the configuration of network "pods" cannot be read/],
  ],
  [
    'an exit by an interface that is not there, which no pod has yet',
    (patient) =>
      writeChain(
        patient,
        { type: 'bridge' },
        { ...entry, exits: [...exits, { name: 'b', interface: 'eth9' }], policies: [...policies, leavingBy('b')] },
      ),
    [
      /^fault exits: new pods of exit "b" do not start on this node \(103\): Exit "b" leaves by interface "eth9", which does not exist on this node → bring the interface up, or name another one in the exit$/,
    ],
  ],
  [
    'the same that no policy uses',
    (patient) =>
      writeChain(patient, { type: 'bridge' }, { ...entry, exits: [...exits, { name: 'b', interface: 'eth9' }] }),
    [],
  ],
  [
    'an exit with a router that is in no network of its interface',
    (patient) => {
      const { host } = patient.machine;
      host.linkAddresses.set('eth2', [{ address: '172.19.0.5', prefixLength: 24, family: 4, scope: 0, usable: true }]);
      const b = { name: 'b', interface: 'eth2', nextHop: '172.19.1.1' };
      writeChain(
        patient,
        { type: 'bridge' },
        { ...entry, exits: [...exits, b], policies: [...policies, leavingBy('b')] },
      );
    },
    [
      /^fault exits: new pods of exit "b" .* \(118\): 172\.19\.1\.1 is in no network of eth2 → name a router in a network/,
    ],
  ],
  [
    'a policy for IPv6 whose exit has none, and a pod with IPv6',
    async (patient) => {
      const podNetwork = {
        ...{ addresses: ['10.0.0.6', 'fd00:10::6'], subnets: ['10.0.0.0/24', 'fd00:10::/64'] },
        hostInterfaces: ['veth2'],
      };
      await added(patient.machine, 'b', '10.0.0.6', { podNetwork });
      const ranges = { clusterCIDRs: ['10.0.0.0/16', 'fd00:10::/48'] };
      writeChain(
        patient,
        { type: 'bridge' },
        { ...entry, ...ranges, policies: [{ ...policies[0], destinations: ['203.0.113.0/24', '2001:db8::/32'] }] },
      );
    },
    [
      /^warning exits: exit "partners" has no IPv6 address or next hop, so all that policy "partners" gives it by IPv6 is dropped: of default\/\S+, for one → give the exit one, or limit "destinations" to IPv4/,
    ],
  ],
  [
    'the ruleset flushed',
    ({ machine }) => machine.host.kernel.deleteTables(),
    [/^fault objects: default\/pod-a: table inet cni-egress is missing .* → egress repair$/],
  ],
  [
    'a question that fails',
    ({ examiner }) => {
      examiner.listForeignChains = () => Promise.reject(new Error('EPERM'));
    },
    [/^warning masquerade: could not be looked at: EPERM/, /^warning marks: could not be looked at: EPERM/],
  ],
];

describe('doctor finds', () => {
  for (const [what, happens, expected] of rows) {
    test(expected.length === 0 ? `nothing wrong with ${what}` : what, async (t) => {
      const patient = await healthy(t);
      await happens(patient);
      const { findings } = await examined(patient);
      const found = wrong(findings);
      assert.equal(found.length, expected.length, found.join('\n'));
      for (const [i, words] of expected.entries()) assert.match(found[i] ?? '', words);
      const report = { healthy: isHealthy(findings), findings };
      assert.deepEqual(doctorReportSchema.parse(report), report);
      assert.equal(report.healthy, !expected.some(({ source }) => source.startsWith('^fault')));
      assert.deepEqual([...new Set(findings.map(({ check }) => check))], checkNames, 'every check says something');
    });
  }
});

describe('doctor asks a gateway', () => {
  const [local, gateway] = ['172.18.0.5', '172.18.0.6'];

  async function patientOf(t: TestContext): Promise<Patient> {
    const machine = newNode(t, local);
    await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
    machine.host.counters = noCounters;
    const patient = { machine, examiner: new FakeExaminer(), system: new FakeSystem() };
    patient.examiner.answers = isServed;
    machine.host.links.set('egress0', { index: 30, name: 'egress0', up: true, mtu: 1450 });
    return patient;
  }

  /** By a gateway that does as it should: nothing of an exit that nobody has. */
  const isServed = ({ tunnel }: Echo) => tunnel === undefined || tunnel.exitId === 50;

  test('and tells one that lost its table by what it should drop', async (t) => {
    const patient = await patientOf(t);
    patient.examiner.answers = () => true;
    const [found = ''] = await ofGateways(patient);
    assert.match(found, /^gateway 172\.18\.0\.6 of "shared" takes what it should drop: its table is gone/);
  });

  const ofGateways = async (patient: Patient) =>
    (await examined(patient)).findings.filter(({ check }) => check === 'gateways').map(({ text }) => text);

  test('with small and whole packets, around the tunnel and through it', async (t) => {
    const patient = await patientOf(t);
    assert.deepEqual(await ofGateways(patient), [
      `gateway ${gateway} of "shared" answers through the tunnel, with packets of 1450 bytes, too`,
    ]);
    assert.deepEqual(
      patient.examiner.sent.map(({ bytes, tunnel }) => [bytes, tunnel?.exitId]),
      [
        [128, undefined],
        [1500, undefined],
        [128, 50],
        [1450, 50],
        [128, 0x3ffe],
      ],
    );
  });

  for (const limit of [1400, 1398, 1280, 602]) {
    test(`how much a way takes that takes ${limit} bytes`, async (t) => {
      const patient = await patientOf(t);
      patient.examiner.answers = (packet) => isServed(packet) && packet.bytes + (packet.tunnel ? 50 : 0) <= limit;
      const [found = ''] = await ofGateways(patient);
      assert.match(found, new RegExp(`does not take packets of 1500 bytes, .*, but ${limit} at most`));
    });
  }

  test('and tells a gateway that is away from one that only the tunnel does not reach', async (t) => {
    const patient = await patientOf(t);
    patient.examiner.answers = ({ tunnel }) => tunnel === undefined;
    assert.deepEqual(await ofGateways(patient), [`gateway ${gateway} of "shared" answers, but not through the tunnel`]);
    patient.examiner.answers = () => false;
    assert.deepEqual(await ofGateways(patient), [
      `gateway ${gateway} of "shared" does not answer, neither by itself nor through the tunnel`,
    ]);
  });

  test('and is content with one that answers no pings but through the tunnel', async (t) => {
    const patient = await patientOf(t);
    patient.examiner.answers = (packet) => packet.tunnel !== undefined && isServed(packet);
    assert.deepEqual(await ofGateways(patient), [
      `gateway ${gateway} of "shared" answers through the tunnel, with packets of 1450 bytes, too`,
    ]);
  });
});

test('doctor tells on a gateway an address that is in no network there', async (t) => {
  const machine = newNode(t, '172.18.0.6');
  await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
  machine.host.counters = noCounters;
  const patient = { machine, examiner: new FakeExaminer(), system: new FakeSystem() };
  writeChain(patient, { type: 'bridge' }, { type: 'egress', ...gatewayDocument });
  const told = async () =>
    (await examined(patient)).findings.filter(({ check }) => check === 'exits').map(({ text }) => text);
  const inNetwork = (address: string) => machine.host.linkAddresses.set('eth1', [held(address), held('fe80::1')]);
  inNetwork('192.0.2.1');
  assert.deepEqual(await told(), ['what is configured can be had on this node']);
  inNetwork('172.30.0.1');
  assert.deepEqual(await told(), [
    '192.0.2.50 of exit "shared" is in no network of eth1 (172.30.0.0/24): answers come only if the routers there have a route to it',
  ]);
});

test('doctor finds nothing wrong with a gateway that is ready while another one has the addresses', async (t) => {
  const machine = newNode(t, '172.18.0.6');
  await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
  machine.host.counters = noCounters;
  const patient = { machine, examiner: new FakeExaminer(), system: new FakeSystem() };
  writeChain(patient, { type: 'bridge' }, { type: 'egress', ...gatewayDocument });
  machine.host.linkAddresses.set('eth1', [held('192.0.2.1')]);
  patient.examiner.macs.set('192.0.2.50', ['02:00:00:00:00:07']);
  const told = async () =>
    wrong((await examined(patient)).findings.filter(({ check }) => ['addresses', 'neighbours'].includes(check)));
  assert.equal((await told()).length, 2, 'without a word of an election it should be here');
  const elected = { by: 'vrrp', addresses: [], since: '2026-11-28T18:50:34.123Z' } as const;
  machine.store.agent.saveElections({ shared: { ...elected, holds: false, gateway: '172.18.0.7' } });
  assert.deepEqual(await told(), []);
});

test('doctor tells on a gateway that packets come from nodes that are not listed', async (t) => {
  const machine = newNode(t, '172.18.0.6');
  await bringUp(machine, gatewayConfiguration());
  const patient = { machine, examiner: new FakeExaminer(), system: new FakeSystem() };
  const told = async () => wrong((await examined(patient)).findings.filter(({ check }) => check === 'gateways'));
  machine.host.counters = noCounters;
  assert.deepEqual(await told(), []);
  machine.host.counters = { ...noCounters, strangers: { packets: 7n, bytes: 700n } };
  assert.match(
    String(await told()),
    /^warning gateways: 7 packets for the tunnel came from addresses that are not in "nodes", .* → /,
  );
});

test('a bundle holds no annotation of a pod, and each part says what it is', async (t) => {
  const patient = await healthy(t);
  const secret = 'hunter2';
  const [record] = patient.machine.store.list();
  assert.ok(record);
  using _lock = await patient.machine.store.lock();
  patient.machine.store.save({ ...record, pod: { ...record.pod, annotations: { token: secret } } });
  const parts = await bundleOf('1.2.3', patient.machine, await examined(patient));
  const text = JSON.stringify(
    parts.map(({ content }) => content),
    (_, value) => (typeof value === 'bigint' ? Number(value) : value),
  );
  assert.ok(!text.includes(secret) && text.includes('pod-a'));
  assert.ok(parts.every(({ what, content }) => what !== '' && content !== undefined));
  const files = new Map(parts.map(({ name, content }) => [name, content]));
  assert.deepEqual(files.get('version'), { egress: '1.2.3', kernel: '6.1.0', glibc: '2.36' });
});
