import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Tunnel } from '../../../src/datapath/attachment.ts';
import { desiredEgressCounters, needsEgressHook, sentChains } from '../../../src/datapath/egress-counters.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import {
  type AroundFast,
  desiredFastCounters,
  desiredFastJudge,
  fastPriorities,
  offeredBit,
} from '../../../src/datapath/fast-path.ts';
import { fastPathOf, isMore } from '../../../src/datapath/fast-path-plan.ts';
import * as layout from '../../../src/datapath/layout.ts';
import type { Chain, Element } from '../../../src/nftables/object.ts';

const fwmark = 0x40000000;
const partners: ResolvedExit = {
  ...{ name: 'partners', id: 7, device: 'eth1', fastPath: true },
  ways: [
    { family: 4, addresses: ['192.0.2.10', '192.0.2.11'] },
    { family: 6, addresses: ['fd00:2::10'] },
  ],
};
const { fastPath: _, ...slow } = { ...partners, name: 'slow', id: 8, device: 'eth2' };
const sources = (device: string) => ({ devices: [device], others: [] });
const node = { fwmark, exits: [partners, slow] };
/** Of a worker; a node that is its gateway. */
const far: ResolvedExit = { ...partners, name: 'far', id: 9, device: 'egress0', gateway: '172.18.0.3', shared: true };
const near: ResolvedExit = { ...partners, name: 'near', id: 9, shared: true };
const gateway = { served: [9], owned: [], replies: [] };
const replies = [{ destination: '10.0.1.0/24', node: '172.18.0.5' }];
const tunnel: Tunnel = {
  ...{ vni: 1, port: 4788, local: '172.18.0.3', mtu: 1450, senders: [], peers: [] },
  families: [4, 6],
};
const textsOf = (chain: Chain | undefined) =>
  chain?.rules.map(({ statements }) => statements.map(({ text }) => text).join(' '));
const pod = (address: string, device: string, ...exits: readonly string[]) => ({
  ...{ addresses: [address], sources: sources(device), exits },
});

describe('what fast paths have in our tables', () => {
  const chainAt = (around: AroundFast, device: string) => sentChains(around, [{ device }])[0];
  const elementsOf = (around: AroundFast) =>
    desiredFastCounters(around)
      .filter((object) => object.kind === 'element')
      .map(({ set, key, comment = '' }) => `${set} ${layout.keyText(set, key)} ${comment}`.trim())
      .sort();

  test('asks what the guard asks, with the source that the packet will have, and gives it its own back', () => {
    const [judge] = desiredFastJudge(node);
    assert.deepEqual(judge?.hook, { type: 'filter', hook: 'forward', priority: fastPriorities.judge });
    const passed = 'meta mark set meta mark & 0xdfffffff';
    assert.deepEqual(textsOf(judge), [
      'meta mark & 0x60000000 != 0x60000000 return',
      `oifname "egress0" meta mark & 0x00003fff == @tunnels ${passed} return`,
      'ip saddr set ct reply ip daddr',
      'ip6 saddr set ct reply ip6 daddr',
      `fib saddr . oif type local meta mark & 0x00003fff . oifname . ip saddr @lanes4 ${passed}`,
      `fib saddr . oif type local meta mark & 0x00003fff . oifname . ip6 saddr @lanes6 ${passed}`,
      `meta mark & 0x00003fff == @elsewhere fib saddr type local meta mark & 0x00003fff . oifname . ip saddr @lanes4 ${passed}`,
      `meta mark & 0x00003fff == @elsewhere fib saddr type local meta mark & 0x00003fff . oifname . ip6 saddr @lanes6 ${passed}`,
      'ip saddr set ct original ip saddr',
      'ip6 saddr set ct original ip6 saddr',
    ]);
  });

  test('counts by the proof and each of the exit’s addresses, where they leave', () => {
    assert.deepEqual(elementsOf(node), ['fast4 192.0.2.10 7', 'fast4 192.0.2.11 7', 'fast6 fd00:2::10 7']);
    const [unmarked, ...texts] = textsOf(chainAt(node, 'eth1')) ?? [];
    const [proven, taken] = ['meta mark & 0x40003fff == 0x40000000', 'meta mark set meta mark & 0xbfffc000 return'];
    assert.deepEqual(texts.slice(0, 2), [`${proven} ip saddr @fast4 ${taken}`, `${proven} ip6 saddr @fast6 ${taken}`]);
    assert.deepEqual(textsOf(chainAt(node, 'eth2')), [unmarked, ...texts.slice(2)]);
  });

  test('asks for the tunnel alone where the exit is behind it, and takes our bit away where packets go in', () => {
    const around = { fwmark, exits: [far] };
    assert.deepEqual(desiredFastCounters(around), []);
    assert.equal(
      textsOf(chainAt(around, 'egress0'))?.[0],
      'meta mark & 0x40000000 == 0x40000000 meta mark & 0x40003fff . oifname @sent meta mark set meta mark & 0x00003fff return',
    );
    const elements = desiredEgressCounters(around, [far]).filter(({ kind }) => kind === 'element') as Element[];
    assert.deepEqual(
      elements.map(({ set, key }) => [set, layout.keyText(set, key), layout.exitIdOfKey(key)]),
      [
        ['sent', '9 . egress0', 9],
        ['sent', `${fwmark + 9} . egress0`, 9],
      ],
    );
  });

  test('of a gateway counts what came by the tunnel, and drops what has the id of an exit without that address', () => {
    const sharing = { ...near, name: 'sharing', id: 10, ways: near.ways.slice(1) };
    const elsewhere = { ...near, name: 'elsewhere', id: 11, device: 'eth2', fastPath: false };
    const around = { fwmark, exits: [near, sharing, elsewhere], gateway } as unknown as AroundFast;
    assert.deepEqual(elementsOf(around), [
      ...['crossed4 192.0.2.10', 'crossed4 192.0.2.11', 'crossed6 fd00:2::10'],
      ...['fast4 192.0.2.10 9', 'fast4 192.0.2.11 9', 'fast6 fd00:2::10 9'],
      ...['taken4 11 . 192.0.2.10', 'taken4 11 . 192.0.2.11', 'taken4 9 . 192.0.2.10', 'taken4 9 . 192.0.2.11'],
      ...['taken6 10 . fd00:2::10', 'taken6 11 . fd00:2::10', 'taken6 9 . fd00:2::10'],
    ]);
    assert.equal(textsOf(chainAt(around, 'eth1'))?.[0], 'meta mark & 0x40000000 == 0x00000000 goto fast-served');
    assert.equal(textsOf(chainAt(around, 'eth2'))?.[0], 'meta mark & 0x40000000 == 0x00000000 return');
    const served = desiredFastCounters(around).find((object) => object.kind === 'chain');
    assert.deepEqual(textsOf(served), [
      'meta mark 0x00000000 return',
      'meta mark . ip saddr @taken4 meta mark set meta mark & 0x00000000 return',
      'meta mark . ip6 saddr @taken6 meta mark set meta mark & 0x00000000 return',
      'meta mark & 0xffffc000 != 0x00000000 return',
      'ip saddr @crossed4 drop',
      'ip6 saddr @crossed6 drop',
    ]);
  });

  test('is as many chains and rules for one exit as for a hundred', () => {
    const exits = Array.from({ length: 100 }, (_, i) => ({ ...near, name: `exit-${i}`, id: i + 1 }));
    const rulesFor = (some: readonly ResolvedExit[]) => {
      const around = { fwmark, exits: some, gateway: { served: some.map(({ id }) => id) } };
      const all = [...desiredFastJudge(around), ...desiredFastCounters(around), ...sentChains(around, some)];
      return all.flatMap((object) => (object.kind === 'chain' ? [[object.name, object.rules.length]] : []));
    };
    assert.deepEqual(rulesFor(exits), rulesFor(exits.slice(0, 1)));
  });

  test('is there for exits that have one, and on kernels that can count', () => {
    assert.deepEqual(
      [...desiredFastJudge({ fwmark, exits: [slow] }), ...desiredFastCounters({ fwmark, exits: [slow] })],
      [],
    );
    const all = { fwmark, exits: [partners], gateway: { served: [7] } };
    assert.ok([...desiredFastJudge(all), ...desiredFastCounters(all)].every(needsEgressHook));
  });

  test('have a bit of the mark that is not ours', () => {
    for (const own of [0x40000000, 0x20000000, 0x10000000]) assert.equal(offeredBit(own) & (own | 0x3fff), 0);
  });
});

describe('a fast path', () => {
  test('is for checked pods of exits that have one', () => {
    const pods = [pod('10.0.0.3', 'veth3', 'partners', 'slow'), pod('10.0.0.2', 'veth2', 'slow')];
    const { sources: _, ...unchecked } = pod('10.0.0.4', 'veth4', 'partners');
    assert.deepEqual(fastPathOf(node, [...pods, unchecked]), {
      ...{ fwmark, devices: ['eth1', 'veth3'], pods: [{ address: '10.0.0.3', exit: 7 }], into: [] },
    });
  });

  test('is by one exit for each pod where that is behind the tunnel: the first of its program', () => {
    const another = { ...far, name: 'another', id: 10 };
    const pods = [pod('10.0.0.3', 'veth3', 'slow', 'far', 'another', 'partners')];
    assert.deepEqual(fastPathOf({ fwmark, tunnel, exits: [partners, another, far] }, pods), {
      ...{ fwmark, devices: ['egress0', 'eth1', 'veth3'], into: [9] },
      pods: [
        { address: '10.0.0.3', exit: 7 },
        { address: '10.0.0.3', exit: 9 },
      ],
    });
  });

  test('is for what comes out of the tunnel, on a gateway, without any pod', () => {
    const served = { exits: [9], families: [4], answersByTunnel: false };
    const wanted = { fwmark, devices: ['egress0'], pods: [], into: [], served };
    assert.deepEqual(fastPathOf({ fwmark, tunnel, exits: [near, slow], gateway }, []), wanted);
    assert.deepEqual(fastPathOf({ fwmark, tunnel, exits: [near, slow], gateway: { ...gateway, replies } }, []), {
      ...{ ...wanted, devices: ['egress0', 'eth1'], served: { ...served, families: [4, 6], answersByTunnel: true } },
    });
  });

  test('takes no answers on a gateway whose answers go directly, though a pod of its own leaves by that interface', () => {
    const own = pod('10.0.0.3', 'veth3', 'near');
    assert.deepEqual(fastPathOf({ fwmark, tunnel, exits: [near], gateway }, [own])?.devices, ['egress0', 'veth3']);
  });

  test('leads no IPv4 into a tunnel between IPv6 addresses, nor takes it out of it', () => {
    const between6 = { fwmark, tunnel: { ...tunnel, local: 'fd00:172::3' } };
    const own = { ...pod('10.0.0.3', 'veth3', 'far'), addresses: ['10.0.0.3', 'fd00:10::3'] };
    assert.deepEqual(fastPathOf({ ...between6, exits: [far] }, [own])?.pods, [{ address: 'fd00:10::3', exit: 9 }]);
    assert.deepEqual(fastPathOf({ ...between6, exits: [near], gateway }, [])?.served?.families, []);
    assert.deepEqual(
      fastPathOf({ ...between6, exits: [near], gateway: { ...gateway, replies } }, [])?.served?.families,
      [6],
    );
  });

  test('is none without such a pod', () => {
    assert.equal(fastPathOf(node, [pod('10.0.0.2', 'veth2', 'slow')]), undefined);
    assert.equal(fastPathOf({ fwmark, exits: [slow] }, [pod('10.0.0.2', 'veth2', 'slow')]), undefined);
  });

  test('becomes more with a pod, and less without one', () => {
    const use = (address: string) => ({ address, exit: 7 });
    const one = { fwmark, devices: ['eth1', 'veth2'], pods: [use('10.0.0.2')], into: [] };
    const two = { ...one, devices: ['eth1', 'veth2', 'veth3'], pods: [use('10.0.0.2'), use('10.0.0.3')] };
    assert.deepEqual([isMore(two, one), isMore(one, one), isMore(one, two)], [true, true, false]);
    assert.equal(isMore({ ...two, fwmark: 0x20000000 }, one), false);
  });
});
