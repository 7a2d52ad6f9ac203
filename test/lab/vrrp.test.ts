import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type Family, families, familyOf } from '../../src/base/address.ts';
import { advertisedBy, type Instance } from '../../src/election/plan.ts';
import { RunningElection } from '../support/election.ts';
import { Keepalived } from '../support/keepalived.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const vrid = 51;
const device = 'eth1';
const addresses = world.exitAddress;

const instance = (family: Family, priority: number, changes: Partial<Instance> = {}): Instance => ({
  key: `${device} ${family}`,
  ...{ device, family, vrid, priority, interval: 10, preempt: false, needs: [], exits: ['partners'] },
  gateways: [],
  addresses: addresses.filter((address) => familyOf(address) === family),
  ...changes,
});

const both = (priority: number, changes: Partial<Instance> = {}) =>
  families.map((family) => instance(family, priority, changes));

/** What keepalived has to be told for the same Virtual Routers. */
const advertised = families.flatMap((family) => advertisedBy(instance(family, 1)));

/** Whether a node has the exit's addresses on the interface, of each family. */
async function holds({ machine }: LabNode): Promise<readonly boolean[]> {
  const shown = await machine.must(['ip', '-o', 'address', 'show', 'dev', device]);
  return addresses.map((address) => shown.includes(` ${address}/`));
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await setTimeout(5);
}

const isIn = (election: RunningElection, state: string) =>
  until(() => families.every((family) => election.router(family)?.state === state));

/** The station that the world outside sends to for each address, IPv4 first. */
async function stations(lab: Lab): Promise<readonly string[]> {
  const { host } = lab.back;
  const send = `import socket, sys
for a in sys.argv[1:]: socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (a, 9))`;
  await host.must([tool('python3'), '-c', send, ...addresses]);
  let found: readonly string[] = [];
  await until(async () => {
    const shown = await host.must(['ip', 'neigh', 'show', 'dev', 'eth0']);
    found = addresses.flatMap((address) => shown.match(new RegExp(`^${address} .*lladdr (\\S+)`, 'm'))?.[1] ?? []);
    return found.length === addresses.length;
  });
  return found;
}

const macOf = async ({ machine }: LabNode): Promise<string> =>
  (await machine.must(['cat', `/sys/class/net/${device}/address`])).trim();

describe('routers of ours and keepalived, on one segment', labTest, () => {
  test('ours is Active after keepalived was stopped, and Backup of it before', async () => {
    await using lab = await Lab.create();
    const [ours, other] = [await lab.node(3, []), await lab.node(4, [])];
    const keepalived = await Keepalived.start(other, { device, vrid, priority: 100, addresses: advertised });
    for (const family of families) await keepalived.entered('MASTER', family);
    const election = await RunningElection.start(ours, both(200));
    await isIn(election, 'backup');
    await until(() => families.every((family) => election.router(family)?.other !== undefined));
    assert.deepEqual(await holds(ours), [false, false]);
    const station = await macOf(other);
    assert.deepEqual(await stations(lab), [station, station]);
    await keepalived.daemon.stop();
    await isIn(election, 'active');
    assert.deepEqual(await holds(ours), [true, true]);
    const own = await macOf(ours);
    assert.deepEqual(await stations(lab), [own, own]);
    for (const family of families) {
      const { why, bad, foreign, duplicates } = election.router(family) ?? {};
      assert.equal(why, 'the gateway before it stepped down');
      assert.deepEqual([foreign, duplicates], [[], []]);
      assert.deepEqual(Object.values(bad ?? {}).filter(Boolean), []);
    }
  });

  test('keepalived is master after ours was stopped, at once, and ours gives the addresses up to it', async () => {
    await using lab = await Lab.create();
    const [ours, other] = [await lab.node(3, []), await lab.node(4, [])];
    const election = await RunningElection.start(ours, both(100));
    await isIn(election, 'active');
    assert.deepEqual(await holds(ours), [true, true]);
    const keepalived = await Keepalived.start(other, { device, vrid, priority: 200, addresses: advertised });
    await setTimeout(1_000); // it does not preempt
    assert.ok(!keepalived.daemon.lines.some((line) => line.includes('MASTER')));
    election.signal('SIGTERM');
    for (const family of families) await keepalived.entered('MASTER', family);
    await until(() => election.daemon.hasEnded);
    assert.deepEqual(
      [await holds(ours), await holds(other)],
      [
        [false, false],
        [true, true],
      ],
    );
    const station = await macOf(other);
    assert.deepEqual(await stations(lab), [station, station]);
  });

  test('each steps down for the other’s higher priority, if that preempts', async () => {
    await using lab = await Lab.create();
    const [ours, other] = [await lab.node(3, []), await lab.node(4, [])];
    const election = await RunningElection.start(ours, both(150));
    await isIn(election, 'active');
    const options = { device, vrid, addresses: advertised, preempt: true } as const;
    const stronger = await Keepalived.start(other, { ...options, priority: 200 });
    for (const family of families) await stronger.entered('MASTER', family);
    await isIn(election, 'backup');
    await until(async () => (await holds(ours)).every((has) => !has));
    await stronger.daemon.stop();
    await isIn(election, 'active');
    const weaker = await Keepalived.start(other, { ...options, priority: 50 });
    await setTimeout(1_000);
    assert.ok(!weaker.daemon.lines.some((line) => line.includes('MASTER')));
    assert.deepEqual(await holds(ours), [true, true]);
  });
});

/** Packets of the protocol with random bytes, among them such as begin like an advertisement for us. */
const noise = `import os, socket, sys
count, device = int(sys.argv[1]), sys.argv[2]
index = socket.if_nametoindex(device)
four = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("0.0.0.0") * 2 + index.to_bytes(4, "little"))
six = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 112)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
for i in range(count):
    hops = 255 if i % 8 else 1
    four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
    data = os.urandom(os.urandom(1)[0])
    if i % 2: data = bytes([0x31, ${vrid}, 255, 1]) + data
    four.sendto(data, ("224.0.0.18", 0))
    six.sendto(data, ("ff02::12", 0, 0, index))
`;

const packets = Number(process.env.EGRESS_PACKETS ?? 5_000);

describe('noise on the segment', labTest, () => {
  test('of random packets of protocol 112 moves nothing, is counted by reason, and takes no room', async () => {
    await using lab = await Lab.create();
    const [first, second, other] = [await lab.node(3, []), await lab.node(4, []), await lab.node(6, [])];
    const active = await RunningElection.start(first, both(254));
    await isIn(active, 'active');
    const backup = await RunningElection.start(second, both(206));
    await until(() => families.every((family) => backup.router(family)?.other !== undefined));
    const send = () => other.machine.must([tool('python3'), '-c', noise, String(packets), device]);
    const room = async () => {
      const status = await Promise.all([active, backup].map(({ pid }) => readFile(`/proc/${pid}/status`, 'utf8')));
      return status.map((text) => Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]));
    };
    await send();
    const before = await room();
    await send();
    const after = await room();
    for (const [i, kilobytes] of after.entries())
      assert.ok(kilobytes < (before[i] ?? 0) + 16_384, `${before} ${after}`);
    const heard = (election: RunningElection) => election.status.bad.map(({ counts }) => counts);
    await until(() => heard(active).every(({ ttl, version, checksum }) => ttl > 0 && version > 0 && checksum > 0));
    for (const [election, state] of [
      [active, 'active'],
      [backup, 'backup'],
    ] as const) {
      for (const family of families) {
        const router = election.router(family);
        assert.deepEqual([router?.state, router?.transitions], [state, state === 'active' ? 1 : 0]);
      }
    }
    assert.deepEqual(
      [await holds(first), await holds(second)],
      [
        [true, true],
        [false, false],
      ],
    );
  });

  test('of a foreign router with our number and other addresses is counted and named, and moves nothing', async () => {
    await using lab = await Lab.create();
    const [ours, other] = [await lab.node(3, []), await lab.node(4, [])];
    const election = await RunningElection.start(ours, both(100));
    await isIn(election, 'active');
    const foreign = ['192.168.0.77', 'fe80::77', 'fd00:168::77'];
    await Keepalived.start(other, { device, vrid, priority: 200, addresses: foreign });
    await until(() => families.every((family) => election.router(family)?.foreign[0] !== undefined));
    assert.deepEqual(election.router(4)?.foreign, [
      { source: other.addresses('eth1')[0], addresses: ['192.168.0.77'] },
    ]);
    assert.deepEqual(election.router(6)?.foreign[0]?.addresses, ['fe80::77', 'fd00:168::77']);
    await isIn(election, 'active');
    assert.deepEqual(await holds(ours), [true, true]);
  });
});
