import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { assertNamed } from '../support/mending.ts';
import { ip } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

const [front4, front6] = world.front.gateway;
const [pods4, pods6] = ['10.0.0.0/24', 'fd00:10::/64'];

/** What somebody else does to the routing of a node, for both families, and what is said of it. */
interface Interference {
  readonly what: string;
  /** Without `add` and `del`, which the test puts behind the first word. */
  readonly happens: readonly string[];
  /** For each family. */
  readonly named: readonly [string, string];
}

const table200 = [`-4 route default via ${front4} table 200`, `-6 route default via ${front6} table 200`];

// As scripts for two uplinks do it, and VPN clients (Tailscale: priority 5210, Mullvad), strongSwan (220), Cilium (9 to 111).
const interferences: readonly Interference[] = [
  {
    what: 'a rule for all packets leads to a table with another default route',
    happens: [...table200, '-4 rule priority 100 lookup 200', '-6 rule priority 100 lookup 200'],
    named: [
      `packets to 203.0.113.1 do not take exit "partners": ip rule priority 100 lookup 200 comes before our rules, which begin at priority 700, and sends them by ${front4} to eth0`,
      `packets to 2001:db8::1 do not take exit "partners": ip -6 rule priority 100 lookup 200 comes before our rules, which begin at priority 700, and sends them by ${front6} to eth0`,
    ],
  },
  {
    what: 'a rule for the range of pods leads to another table',
    happens: [
      ...table200,
      `-4 rule priority 220 from ${pods4} lookup 200`,
      `-6 rule priority 220 from ${pods6} lookup 200`,
    ],
    named: [`ip rule priority 220 from ${pods4} lookup 200`, `ip -6 rule priority 220 from ${pods6} lookup 200`],
  },
  {
    what: 'a rule for the interface of pods leads to the main table',
    happens: ['-4 rule priority 9 iif cni0 lookup main', '-6 rule priority 9 iif cni0 lookup main'],
    named: ['ip rule priority 9 iif cni0 lookup main', 'ip -6 rule priority 9 iif cni0 lookup main'],
  },
  {
    what: 'a rule for other marks than one, as VPN clients have it, leads to another table',
    happens: [
      ...table200,
      '-4 rule priority 99 not fwmark 0x6d6f lookup 200',
      '-6 rule priority 99 not fwmark 0x6d6f lookup 200',
    ],
    named: ['ip rule priority 99 not fwmark 0x6d6f/0xffffffff lookup 200', 'ip -6 rule priority 99 not fwmark'],
  },
  {
    what: 'a rule leads to a table that has a way for few of the destinations',
    happens: [
      `-4 route 203.0.113.64/26 via ${front4} table 201`,
      `-6 route 2001:db8:77::/48 via ${front6} table 201`,
      '-4 rule priority 300 lookup 201',
      '-6 rule priority 300 lookup 201',
    ],
    named: [
      'packets to 203.0.113.65 do not take exit "partners"',
      'packets to 2001:db8:77::1 do not take exit "partners"',
    ],
  },
  {
    what: 'a rule jumps over ours',
    happens: ['-4 rule priority 50 goto 32766', '-6 rule priority 50 goto 32766'],
    named: ['ip rule priority 50 goto 32766', 'ip -6 rule priority 50 goto 32766'],
  },
  {
    what: 'a rule drops packets of pods',
    happens: [`-4 rule priority 60 from ${pods4} blackhole`, `-6 rule priority 60 from ${pods6} prohibit`],
    named: [
      `ip rule priority 60 from ${pods4} blackhole comes before our rules, which begin at priority 700, and drops them`,
      `ip -6 rule priority 60 from ${pods6} prohibit comes before our rules, which begin at priority 700, and drops them`,
    ],
  },
  {
    what: 'a rule leads to a table whose routes drop packets',
    happens: [
      '-4 route blackhole default table 202',
      '-6 route unreachable default table 202',
      '-4 rule priority 70 lookup 202',
      '-6 rule priority 70 lookup 202',
    ],
    named: ['ip rule priority 70 lookup 202', 'ip -6 rule priority 70 lookup 202'],
  },
  {
    what: 'a route for some destinations is in the table of the exit',
    happens: [
      `-4 route 203.0.113.64/26 via ${front4} table EXIT`,
      `-6 route 2001:db8:77::/48 via ${front6} table EXIT`,
    ],
    named: [
      `packets to 203.0.113.64/26 do not take exit "partners" as it is set up: ip route 203.0.113.64/26 via ${front4} dev eth0 table EXIT metric 0 in its table is none of ours`,
      `ip -6 route 2001:db8:77::/48 via ${front6} dev eth0 table EXIT metric 1024 in its table is none of ours`,
    ],
  },
  {
    what: 'a default route with a better metric is in the table of the exit, with our number',
    happens: [
      `-4 route default via ${front4} table EXIT proto 230`,
      `-6 route default via ${front6} metric 5 table EXIT proto 230`,
    ],
    named: [
      `ip route default via ${front4} dev eth0 table EXIT metric 0 in its table is none of ours`,
      `ip -6 route default via ${front6} dev eth0 table EXIT metric 5 in its table is none of ours`,
    ],
  },
];

/** What others do that touches no packet of an exit. */
const harmless: readonly (readonly [string, readonly string[]])[] = [
  [
    'rules for marks, sources and destinations that packets of exits do not have',
    [
      ...table200,
      '-4 rule priority 9 fwmark 0x200/0xf00 lookup 200',
      '-6 rule priority 9 fwmark 0x200/0xf00 lookup 200',
      '-4 rule priority 512 to 10.0.0.5 lookup main',
      '-6 rule priority 512 to fd00:10::5 lookup main',
      '-4 rule priority 513 to 198.51.100.0/24 lookup 200',
      '-4 rule priority 514 from 172.18.0.0/16 lookup 200',
      '-6 rule priority 514 from fd00:172::/64 lookup 200',
      '-4 rule priority 515 iif eth0 lookup 200',
      '-6 rule priority 515 iif eth0 lookup 200',
    ],
  ],
  [
    'rules that lead to tables without a route for them',
    [
      `-4 route 198.51.100.0/24 via ${front4} table 203`,
      `-6 route fd00:99::/64 via ${front6} table 203`,
      '-4 rule priority 100 lookup 203',
      '-6 rule priority 100 lookup 203',
      '-4 rule priority 101 lookup main suppress_prefixlength 0',
      '-6 rule priority 101 lookup main suppress_prefixlength 0',
    ],
  ],
  [
    'rules behind ours',
    [
      ...table200,
      '-4 rule priority 800 to 203.0.113.0/24 lookup 200',
      '-6 rule priority 800 to 2001:db8::/32 lookup 200',
    ],
  ],
  [
    'a route in the table of the exit for what no policy steers, and one behind ours',
    [`-4 route 198.51.100.0/24 via ${front4} table EXIT`, `-6 route default via ${front6} metric 4000 table EXIT`],
  ],
];

const byFrontRule = interferences.find(({ happens }) => happens.includes('-4 rule priority 9 iif cni0 lookup main'));

describe('what others do to the routing of packets that have an exit', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;
  let table: string;

  before(async () => {
    lab = await Lab.create();
    node = await lab.node();
    pod = await node.started();
    const rules = await node.machine.must(['ip', 'rule']);
    [, table = ''] = /fwmark \S+ lookup (\d+) proto 230/.exec(rules) ?? [];
    assert.notEqual(table, '', rules);
  });

  after(() => lab.remove());

  const put = async (verb: 'add' | 'del', lines: readonly string[]) => {
    for (const line of lines) await ip(node, line.replace(/ (rule|route) /, ` $1 ${verb} `).replace('EXIT', table));
  };

  for (const { what, happens, named } of interferences) {
    test(`is named by CHECK and by egress check, when ${what}, and left`, async () => {
      await put('add', happens);
      const words = named.map((text) => text.replace('EXIT', table));
      await assertNamed(node, pod, ...words);
      const { code, stdout } = await node.egress('check');
      assert.equal(code, 1, stdout);
      for (const text of words) assert.ok(stdout.includes(text), stdout);
      await node.plugin('ADD', { pod }); // fails where the node has another way to the next hop, too
      await assertNamed(node, pod, ...words);
      await put('del', happens); // all of it is there: else this fails
      assert.deepEqual(await node.plugin('CHECK', { pod }), { code: 0, stdout: '', stderr: '', json: undefined });
    });
  }

  test('is told by egress explain, which asks for the way of the pod’s packet and not of the node’s', async () => {
    const happens = byFrontRule?.happens ?? [];
    await put('add', happens);
    for (const destination of world.service) {
      const { stdout } = await node.egress('explain', `default/${pod.name}`, destination);
      assert.doesNotMatch(stdout, /leaves by exit/);
      assert.match(stdout, /eth0/);
    }
    await put('del', happens);
  });

  for (const [what, happens] of harmless) {
    test(`is no fault, when there are ${what}`, async () => {
      await put('add', happens);
      const { code, stdout } = await node.egress('check');
      assert.equal(code, 0, stdout);
      assert.equal((await node.plugin('CHECK', { pod })).code, 0);
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      await put('del', happens);
    });
  }
});
