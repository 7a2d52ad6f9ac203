import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { NodeState, SteeredAttachment } from '../../src/datapath/attachment.ts';
import type { Needs } from '../../src/datapath/needs.ts';
import type { IngressMark } from '../../src/datapath/objects.ts';
import { applyEach, removeOutside } from '../../src/kernel/apply.ts';
import { NetlinkSocket, protocols } from '../../src/kernel/netlink/socket.ts';
import {
  deleteIngressMark,
  ingressMarkKind,
  readIngressMark,
  setIngressMark,
} from '../../src/kernel/rtnetlink/ingress-mark.ts';
import { readLink } from '../../src/kernel/rtnetlink/link.ts';
import { hangsAfterMs } from '../support/guard.ts';

// As in rtnetlink.test.ts: a network namespace of its own, which ends with the process, and the process with us.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const limits = { timeout: hangsAfterMs, killSignal: 'SIGKILL' } as const;
  const { status } = spawnSync('setpriv', command, { env, stdio: 'inherit', ...limits });
  process.exit(status ?? 1);
}

const run = (command: string) => {
  const [program = '', ...args] = command.split(' ');
  return execFileSync(program, args, { encoding: 'utf8' }).replace(/\s+$/gm, '');
};

const mark: IngressMark = { kind: 'ingressMark', device: 'pod', value: 0x40003fff, mask: 0x40003fff };

/** An interface of its own for each test, the other end of which is in a namespace like a pod's. */
async function withPod(action: (socket: NetlinkSocket, index: number) => Promise<void>): Promise<void> {
  run('ip link add pod type veth peer name other');
  const socket = new NetlinkSocket(protocols.route);
  try {
    await action(socket, (await readLink(socket, 'pod'))?.index ?? 0);
  } finally {
    socket.close();
    run('ip link del pod');
  }
}

/** What a socket is asked, by the exchange: each is one system call to and fro. */
function counted(socket: NetlinkSocket): string[] {
  const asked: string[] = [];
  for (const name of ['request', 'dump', 'each'] as const) {
    const call = socket[name].bind(socket) as (argument: never) => Promise<never>;
    const counting = (argument: never) => {
      asked.push(name);
      return call(argument);
    };
    Object.assign(socket, { [name]: counting });
  }
  return asked;
}

/** `tc`, the witness. By which of its names the parent was called last is no difference. */
const filters = () => run('tc filter show dev pod ingress').replaceAll('parent ffff: ', '').split('\n').filter(Boolean);
const queues = () => run('tc qdisc show dev pod');

test('a mark comes, is read and goes as tc shows it, with the queueing discipline that it needs', () =>
  withPod(async (socket, index) => {
    const before = queues();
    assert.equal(await readIngressMark(socket, 'pod', index), undefined);
    for (let times = 0; times < 2; times++) await setIngressMark(socket, mark, index);
    assert.match(queues(), /^qdisc clsact ffff:/m);
    assert.equal(filters().length, 2, filters().join('\n'));
    assert.match(
      filters()[1] ?? '',
      /^filter protocol all pref 230 bpf chain 0 handle 0x1 cni-egress-0x40003fff\/0x40003fff\/clsact direct-action .* name cni_egress/,
    );
    assert.deepEqual(await readIngressMark(socket, 'pod', index), mark);
    for (let times = 0; times < 2; times++) await deleteIngressMark(socket, mark, index);
    assert.equal(queues(), before);
  }));

test('another mark takes the place of the first in one step', () =>
  withPod(async (socket, index) => {
    await setIngressMark(socket, mark, index);
    const other = { ...mark, value: 0x20003fff, mask: 0x20003fff };
    await setIngressMark(socket, other, index);
    assert.equal(filters().length, 2, filters().join('\n'));
    assert.deepEqual(await readIngressMark(socket, 'pod', index), other);
  }));

for (const queue of ['clsact', 'ingress']) {
  test(`a filter of somebody else at ${queue} stays, and so does what it hangs on`, () =>
    withPod(async (socket, index) => {
      run(`tc qdisc add dev pod ${queue}`);
      const place = queue === 'ingress' ? 'parent ffff:' : 'ingress';
      run(`tc filter add dev pod ${place} pref 5 protocol ip u32 match u32 0 0 classid 1:1`);
      const [before, queued] = [filters(), queues()];
      await setIngressMark(socket, mark, index);
      assert.deepEqual(await readIngressMark(socket, 'pod', index), mark);
      await deleteIngressMark(socket, mark, index);
      assert.deepEqual([filters(), queues()], [before, queued]);
    }));
}

for (const [whose, filter] of [
  ['another kind', ['u32', 'match', 'u32', '0', '0', 'classid', '1:1']],
  ['our kind', ['handle', '1', 'bpf', 'bytecode', '1,6 0 0 0', 'classid', '1:1']],
] as const) {
  test(`a filter of somebody else in our place is not ours, not read, not replaced and not deleted: one of ${whose}`, () =>
    withPod(async (socket, index) => {
      run('tc qdisc add dev pod clsact');
      const place = ['filter', 'add', 'dev', 'pod', 'ingress', 'pref', '230', 'protocol', 'all'];
      execFileSync('tc', [...place, ...filter]);
      const before = filters();
      assert.equal(await readIngressMark(socket, 'pod', index), undefined);
      await deleteIngressMark(socket, mark, index);
      await assert.rejects(setIngressMark(socket, mark, index));
      assert.deepEqual(filters(), before);
    }));
}

test('a queueing discipline that was there stays, also without a filter: somebody made it for one of theirs', () =>
  withPod(async (socket, index) => {
    run('tc qdisc add dev pod clsact');
    for (let times = 0; times < 2; times++) {
      await setIngressMark(socket, mark, index);
      assert.deepEqual(await readIngressMark(socket, 'pod', index), mark);
    }
    await deleteIngressMark(socket, mark, index);
    assert.deepEqual(filters(), []);
    assert.match(queues(), /^qdisc clsact ffff:/m);
  }));

test('one that we made goes when our mark goes, however often it was set anew, but not with a filter of somebody else', () =>
  withPod(async (socket, index) => {
    const before = queues();
    for (const value of [mark.value, 0x20003fff, mark.value])
      await setIngressMark(socket, { ...mark, value, mask: value }, index);
    run('tc filter add dev pod egress pref 7 protocol all u32 match u32 0 0 classid 1:1');
    await deleteIngressMark(socket, mark, index);
    assert.match(queues(), /^qdisc clsact ffff:/m);
    run('tc filter del dev pod egress pref 7');
    run('tc qdisc del dev pod clsact');
    await setIngressMark(socket, mark, index);
    await deleteIngressMark(socket, mark, index);
    assert.equal(queues(), before);
  }));

test('an ADD asks for the interface and its filters, and sets the mark with one exchange more', () =>
  withPod(async (socket) => {
    const asked = counted(socket);
    const attachment = { sources: { devices: ['pod'], others: [] } } as unknown as SteeredAttachment;
    const node: NodeState = { fwmark: 0x40000000, routeTable: 0, rulePriority: 0, exits: [], spared: [] };
    const needs: Needs = { exits: [], ports: [], checked: [attachment] };
    const observe = () => ingressMarkKind.observe({ socket, found: [], node, needs });
    assert.deepEqual(await observe(), []);
    assert.deepEqual(asked.splice(0), ['request', 'dump']);
    await applyEach(socket, [mark]);
    assert.deepEqual(asked.splice(0), ['request', 'each']);
    assert.deepEqual(await observe(), [mark]);
    assert.deepEqual(asked.splice(0), ['request', 'dump'], 'and CHECK, or another ADD, no more than the first look');
    await removeOutside(socket, [mark]);
    assert.deepEqual(asked, ['request', 'dump', 'request', 'dump', 'request']);
  }));

test('an interface that is gone before its mark is set is no error: nothing comes in by it', () =>
  withPod(async (socket) => {
    await applyEach(socket, [{ ...mark, device: 'gone' }]);
  }));

test('a mark that is refused keeps those of other interfaces from nothing', () =>
  withPod(async (socket, index) => {
    run('tc qdisc add dev other clsact');
    run('tc filter add dev other ingress pref 230 protocol all u32 match u32 0 0 classid 1:1');
    await assert.rejects(applyEach(socket, [{ ...mark, device: 'other' }, mark]), /other cannot be marked/);
    assert.deepEqual(await readIngressMark(socket, 'pod', index), mark);
  }));

test('an interface that is gone has no mark to read or to take away', () =>
  withPod(async (socket) => {
    assert.equal(await readIngressMark(socket, 'pod', 4711), undefined);
    await deleteIngressMark(socket, mark, 4711);
  }));

/** Sends a frame out of the other end, with a mark that is not taken away: it stays in its network namespace. */
const frame = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(sys.argv[1], 0))
s.bind(("other", 0))
s.send(b"\\xff" * 6 + b"\\x02" * 6 + bytes.fromhex(sys.argv[2]) + bytes(50))
`;

test('a packet has the mark before nftables sees it, and keeps the bits that are not ours', () =>
  withPod(async (socket, index) => {
    run('ip link set pod up');
    run('ip link set other up');
    run('nft add table netdev seen');
    run('nft add chain netdev seen in { type filter hook ingress device pod priority -500 ; }');
    const counted = ['0x40003fff', '0x4000bfff', '0x0', '0x8005'];
    for (const value of counted) run(`nft add rule netdev seen in meta protocol 0x88b5 meta mark ${value} counter`);
    await setIngressMark(socket, mark, index);
    for (const value of ['0', '0x8005']) execFileSync('python3', ['-c', frame, value, '88b5']);
    const seen = [...run('nft list chain netdev seen in').matchAll(/packets (\d+)/g)].map(([, number]) => number);
    assert.deepEqual(seen, ['1', '1', '0', '0'], 'both with our bits, and the second with 0x8000 beside them');
    run('nft delete table netdev seen');
  }));

test('ARP has no mark: no chain of ours would take it away', () =>
  withPod(async (socket, index) => {
    run('ip link set pod up');
    run('ip link set other up');
    run('nft add table netdev seen');
    run('nft add chain netdev seen in { type filter hook ingress device pod priority -500 ; }');
    for (const value of ['0x8005', '0x40003fff', '0x4000bfff'])
      run(`nft add rule netdev seen in meta protocol arp meta mark ${value} counter`);
    await setIngressMark(socket, mark, index);
    execFileSync('python3', ['-c', frame, '0x8005', '0806']);
    const seen = [...run('nft list chain netdev seen in').matchAll(/packets (\d+)/g)].map(([, number]) => number);
    assert.deepEqual(seen, ['1', '0', '0']);
    run('nft delete table netdev seen');
  }));
