import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ForeignChain } from '../../../../src/datapath/examiner.ts';
import type { TraceEvent } from '../../../../src/datapath/tracer.ts';
import { decodeEvent } from '../../../../src/kernel/examine/trace.ts';
import { Follower, fateOf, isOver } from '../../../../src/report/follow/followed.ts';

const base = (chain: string, hook: string, priority = 0, table = 'cni-egress'): ForeignChain => ({
  ...{ family: hook === 'egress' ? 'netdev' : 'inet', table, chain },
  base: { type: 'filter', hook, priority },
  rules: [
    { handle: 7n, expressions: [] },
    { handle: 9n, expressions: [] },
  ],
});
const chains: readonly ForeignChain[] = [
  base('classify', 'prerouting', -90),
  base('ways', 'forward', 0, 'fw'),
  base('guard', 'postrouting', 300),
  base('sent-eth1', 'egress'),
  { family: 'inet', table: 'cni-egress', chain: 'program-1', rules: [{ handle: 12n, expressions: [] }] },
];

const pod = { source: '10.0.0.5', destination: '203.0.113.9' };
const translated = { source: '192.168.0.245', destination: '203.0.113.9' };

function event(id: number, chain: string, changes: Partial<TraceEvent> = {}): TraceEvent {
  const { family = 'inet', table = 'cni-egress-trace-1f' } = chains.find((each) => each.chain === chain) ?? {};
  return { id, family, table, chain, type: 'policy', verdict: { code: 'accept' }, mark: 0, ...changes };
}

describe('a packet is followed', () => {
  test('through hooks at which the kernel gives it other numbers', () => {
    const follower = new Follower(chains);
    const steps = [
      event(1, 'packets', pod),
      event(1, 'classify', { ...pod, type: 'rule', handle: 9n, verdict: { code: 'goto', chain: 'program-1' } }),
      event(1, 'program-1', { type: 'rule', handle: 12n, verdict: { code: 'accept' } }),
      event(2, 'ways', pod),
      event(3, 'guard', translated),
      event(3, 'sent-eth1'),
    ];
    const seen = steps.map((step) => follower.add(step));
    assert.deepEqual(new Set(seen.map(({ id }) => id)).size, 1);
    const packet = seen.at(-1);
    assert.ok(packet && isOver(packet));
    assert.deepEqual(
      packet.stops.map(({ hook, chain, rule }) => [hook, chain, rule?.place]),
      [
        ['prerouting', 'classify', 2],
        ['prerouting', 'program-1', 1],
        ['forward', 'ways', undefined],
        ['postrouting', 'guard', undefined],
        ['egress', 'sent-eth1', undefined],
      ],
    );
    assert.deepEqual([packet.first, packet.last], [pod, translated]);
    assert.deepEqual(fateOf(packet), { kind: 'left' });
  });

  test('and the next one of its connection is told from it, though it has the same number', () => {
    const follower = new Follower(chains);
    const first = follower.add(event(1, 'packets', pod));
    follower.add(event(1, 'classify', pod));
    const gone = follower.add(event(1, 'guard', translated));
    const next = follower.add(event(1, 'packets', pod));
    assert.equal(gone.id, first.id);
    assert.notEqual(next.id, first.id);
    assert.deepEqual([gone.last, next.last], [translated, pod]);
  });

  test('and none is joined to one that goes elsewhere, or was dropped', () => {
    const follower = new Follower(chains);
    const one = follower.add(event(1, 'classify', pod));
    const other = { source: '10.0.0.6', destination: '198.51.100.7' };
    assert.notEqual(follower.add(event(2, 'ways', other)).id, one.id);
    const dropped = follower.add(event(3, 'classify', { ...pod, verdict: { code: 'drop' } }));
    assert.deepEqual(fateOf(dropped).kind, 'dropped');
    assert.equal(follower.add(event(4, 'ways', pod)).id, one.id);
    follower.forget(one.id);
    assert.notEqual(follower.add(event(5, 'guard', { source: '10.0.0.5', destination: '192.0.2.1' })).id, one.id);
  });

  test('to where it was last seen', () => {
    const fates = (...steps: readonly TraceEvent[]) => {
      const follower = new Follower(chains);
      return fateOf(steps.map((step) => follower.add(step)).at(-1) ?? assert.fail());
    };
    assert.deepEqual(fates(event(1, 'packets', pod)), { kind: 'lost', behind: 'prerouting' });
    assert.deepEqual(fates(event(1, 'classify', pod), event(1, 'ways', pod)), { kind: 'lost', behind: 'forward' });
    assert.deepEqual(fates(event(1, 'classify', pod), event(1, 'guard', translated)), { kind: 'routed' });
  });
});

test('an event of the kernel is read: a rule that drops, with its addresses', () => {
  const attribute = (type: number, bytes: Buffer) => {
    const header = Buffer.alloc(4);
    header.writeUInt16LE(4 + bytes.length, 0);
    header.writeUInt16LE(type, 2);
    return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 3)]);
  };
  const be32 = (value: number) => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
  const header = Buffer.from('45000054000040004001000c' + '0a000005' + 'cb007109', 'hex');
  const body = Buffer.concat([
    Buffer.of(1, 0, 0, 0), // NFPROTO_INET
    attribute(1, Buffer.from('fw\0')),
    attribute(2, Buffer.from('ways\0')),
    attribute(3, Buffer.from('0000000000000009', 'hex')),
    attribute(4, be32(3)),
    attribute(5, attribute(1, be32(0x000d0000))), // NF_DROP with an error of its own
    attribute(6, be32(0xabc)),
    attribute(8, header),
    attribute(10, be32(5)),
    attribute(14, be32(0x40000007)),
  ]);
  assert.deepEqual(decodeEvent(body), {
    ...{ id: 0xabc, family: 'inet', table: 'fw', chain: 'ways', type: 'rule', mark: 0x40000007 },
    ...{ handle: 9n, verdict: { code: 'drop' }, inputIndex: 5 },
    ...pod,
  });
  assert.equal(decodeEvent(Buffer.of(99, 0, 0, 0)), undefined);
});
