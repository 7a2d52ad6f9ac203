import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { listen } from '../../src/kernel/netlink/notifications.ts';
import { hangsAfterMs } from '../support/guard.ts';

// In a network namespace of its own, as rtnetlink.test.ts.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const { status } = spawnSync('setpriv', command, {
    env,
    stdio: 'inherit',
    timeout: hangsAfterMs,
    killSignal: 'SIGKILL',
  });
  process.exit(status ?? 1);
}

/** Runs a command line; the event loop stands still meanwhile. */
const run = (line: string, input = '') => {
  const [tool = '', ...args] = line.split(' ');
  execFileSync(tool, args, { input, stdio: ['pipe', 'ignore', 'inherit'] });
};

/** Waits until something holds: for as long as it takes, which the guard ends. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

/** Comes when it called back for what the command lines did. */
async function hears(...lines: readonly string[]): Promise<void> {
  let heard = false;
  using _listening = listen(() => {
    heard = true;
  });
  for (const line of lines) run(line);
  await until(() => heard);
}

/** What is heard once on each of the sockets, which hand over notifications in the order in which they came. */
const marks = ['ip rule add priority 99 lookup 99', 'nft add table inet cni-egress'];
const unmark = ['ip rule del priority 99', 'nft delete table inet cni-egress'];

/** How often it called back for the command lines, when all that they made the kernel say has come. */
async function callsFor(...lines: readonly string[]): Promise<number> {
  let [calls, witnessed] = [0, 0];
  {
    using _listening = listen(() => calls++);
    for (const line of lines) run(line);
    using _witness = listen(() => witnessed++);
    for (const mark of marks) run(mark);
    await until(() => witnessed >= marks.length && calls >= marks.length);
  }
  for (const line of unmark) run(line);
  return calls - marks.length;
}

// Without link-local addresses the kernel does nothing later of its own accord.
run('ip link set lo up');
run('ip link add name eth1 type veth peer name other');
run('ip link set other addrgenmode none up');
run('ip link set eth1 addrgenmode none up');
run('ip address add 192.0.2.1/24 dev eth1');
run('ip -6 address add 2001:db8::1/64 dev eth1 nodad');
run('ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth1 nud permanent');
run('ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev eth1 nud stale');
const table = '{ set a { type ipv4_addr; }; chain c { }; }';
run('nft -f -', `table inet cni-egress ${table}\ntable netdev cni-egress ${table}\ntable inet other ${table}`);

describe('it calls back when', () => {
  /** Each undoes what was before it; the order matters. */
  const changes: Readonly<Record<string, string>> = {
    'an interface comes': 'ip link add name eth2 type bridge',
    'an interface goes': 'ip link del eth2',
    'an IPv4 address comes': 'ip address add 192.0.2.2/24 dev eth1',
    'an IPv4 address goes': 'ip address del 192.0.2.2/24 dev eth1',
    'an IPv6 address comes': 'ip address add 2001:db8::2/64 dev eth1 nodad',
    'an IPv6 address goes': 'ip address del 2001:db8::2/64 dev eth1',
    'an IPv4 route comes': 'ip route add 198.51.100.0/24 dev eth1 table 100',
    'an IPv4 route goes': 'ip route del 198.51.100.0/24 dev eth1 table 100',
    'an IPv6 route comes': 'ip -6 route add 2001:db8:1::/64 dev eth1 table 100',
    'an IPv6 route goes': 'ip -6 route del 2001:db8:1::/64 dev eth1 table 100',
    'an IPv4 rule comes': 'ip rule add priority 100 lookup 100',
    'an IPv4 rule goes': 'ip rule del priority 100',
    'an IPv6 rule comes': 'ip -6 rule add priority 100 lookup 100',
    'an IPv6 rule goes': 'ip -6 rule del priority 100',
    'a permanent neighbour changes': 'ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev eth1 nud permanent',
    'a permanent neighbour goes': 'ip neigh del 192.0.2.9 dev eth1',
    'the reverse path filter changes': 'sysctl -qw net.ipv4.conf.eth1.rp_filter=1',
    'an element of a set of ours comes': 'nft add element inet cni-egress a { 192.0.2.1 }',
    'a set of ours is flushed': 'nft flush set inet cni-egress a',
    'a rule of ours comes': 'nft add rule inet cni-egress c accept',
    'a chain of ours is flushed': 'nft flush chain inet cni-egress c',
    'our table of the family netdev goes': 'nft delete table netdev cni-egress',
    'all of nftables is flushed': 'nft flush ruleset',
  };
  for (const [what, line] of Object.entries(changes)) {
    test(what, async () => {
      await hears(line);
    });
  }
});

describe('it does not call back when', () => {
  test('a neighbour that was learnt is confirmed, changes or ages', async () => {
    const states = ['reachable', 'delay', 'probe', 'stale'];
    const lines = states.map((state) => `ip neigh replace 192.0.2.8 lladdr 02:00:00:00:00:07 dev eth1 nud ${state}`);
    assert.equal(await callsFor(...lines), 0);
  });

  test('others change tables of theirs', async () => {
    const lines = ['add table inet other', 'add chain inet other c', 'add table ip cni', 'delete table ip cni'];
    assert.equal(await callsFor(...lines.map((line) => `nft ${line}`)), 0);
  });

  test('it was disposed of', async () => {
    let times = 0;
    listen(() => times++)[Symbol.dispose]();
    await hears('ip link add name eth3 type bridge');
    assert.equal(times, 0);
  });
});

test('it tells interfaces that come and go as those of pods do from others, and from what becomes of them', async () => {
  const heard: Record<string, boolean> = {};
  for (const line of [
    'ip link add name pod type veth peer name inside',
    'ip link set pod up',
    'ip link set pod down',
    'ip link del pod',
    'ip link add name eth4 type bridge',
    'ip link del eth4',
  ]) {
    const notices: boolean[] = [];
    using _listening = listen(({ isOfPods }) => notices.push(isOfPods));
    run(line);
    await until(() => notices.length > 0);
    heard[line] = notices.includes(true);
  }
  assert.deepEqual(Object.values(heard), [true, false, false, true, false, false]);
});

/** Room for a few notifications. */
const little = { bufferBytes: 4_096 };

/** Commands of `ip` that give a neighbour 200 addresses, one after the other. */
const neighbours = (address: string, state: string): string =>
  Array.from({ length: 200 }, (_, i) => `02:00:00:00:01:${i.toString(16).padStart(2, '0')}`)
    .map((mac) => `neigh replace ${address} lladdr ${mac} dev eth1 nud ${state}\n`)
    .join('');

test('it calls back when notifications were lost, and after that as before', async () => {
  let [heard, losses] = [0, 0];
  using _listening = listen(({ isLoss }) => {
    heard++;
    losses += isLoss ? 1 : 0;
  }, little);
  run('ip -batch -', neighbours('192.0.2.9', 'permanent'));
  await until(() => losses > 0);
  const before = heard;
  run('ip address add 192.0.2.3/24 dev eth1');
  await until(() => heard > before);
});

// A node whose pods have IPv6 has a link-local neighbour for each: as they aged, an agent lost notifications, and looked at all.
test('neighbours that are learnt take no room: what matters is not lost for them', async () => {
  const heard: boolean[] = [];
  using _listening = listen(({ isLoss }) => heard.push(isLoss), little);
  run('ip -batch -', neighbours('192.0.2.8', 'stale'));
  run('ip address add 192.0.2.4/24 dev eth1');
  await until(() => heard.length > 0);
  assert.deepEqual(new Set(heard), new Set([false]));
});

// Of each pod the plugins before us tell sixteen times in nftables, and a bridge four times: each woke the agent.
test('nor do others in tables of theirs, and bridges of their ports', async () => {
  const heard: boolean[] = [];
  run('ip link add name eth5 type bridge');
  run('ip link set eth1 master eth5');
  run('nft add table ip cni-egress-of-others');
  {
    using _listening = listen(({ isLoss }) => heard.push(isLoss), little);
    for (let i = 0; i < 100; i++) run(`nft add chain ip cni-egress-of-others c${i}`);
    run('bridge -batch -', Array.from({ length: 200 }, (_, i) => `link set dev eth1 cost ${i + 1}\n`).join(''));
    run('nft add table inet cni-egress');
    await until(() => heard.length > 0);
    assert.deepEqual(heard, [false]);
  }
  run('ip link del eth5');
});

test('it hears of our tables in a transaction that begins or ends with those of others', async () => {
  for (const line of [
    'add table ip one; add chain ip one c; add table inet cni-egress; add set inet cni-egress mine { type ipv4_addr; }',
    'delete set inet cni-egress mine; delete table ip one',
    'add table ip two; add chain ip two c; add chain inet cni-egress mine; add chain ip two d',
    'delete table ip two; delete chain inet cni-egress mine',
  ]) {
    let heard = false;
    using _listening = listen(() => {
      heard = true;
    });
    run(`nft ${line}`);
    await until(() => heard);
  }
});
