import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EgressError } from '../../src/base/errors.ts';
import type { NodeState, SteeredAttachment } from '../../src/datapath/attachment.ts';
import { desired } from '../../src/datapath/desired.ts';
import { type Change, difference, keyOf } from '../../src/datapath/difference.ts';
import type { Host } from '../../src/datapath/host.ts';
import * as layout from '../../src/datapath/layout.ts';
import { type Needs, needsOf, needsOfNode } from '../../src/datapath/needs.ts';
import { desiredBesideNoted } from '../../src/datapath/noted.ts';
import { type HostObject, type IngressMark, isOutside, type Route } from '../../src/datapath/objects.ts';
import { released } from '../../src/datapath/release.ts';
import { tunnelDevice } from '../../src/datapath/tunnel.ts';
import { KernelError } from '../../src/kernel/netlink/socket.ts';
import type { Chain, Element, NftSet } from '../../src/nftables/object.ts';
import * as say from '../../src/nftables/statement.ts';
import { attachment, backup, gateway, partners, node as plainNode, remote, tunnel } from '../unit/datapath/samples.ts';

/** A node without anything of ours, with the interfaces and addresses of {@link hostLinks}. */
export interface HostSubject extends Disposable {
  readonly host: Host;
  /** Somebody else changes the ruleset. */
  interfere(): void;
}

/** Interfaces and their addresses: all up, with the reverse path filter off. */
export const hostLinks: Readonly<Record<string, readonly string[]>> = {
  eth0: ['172.18.0.5/16'],
  eth1: ['192.168.0.240/24', 'fd00:168::240/64'],
  eth2: ['172.19.0.5/24'],
  veth1: [],
  veth2: [],
};

const node: NodeState = {
  ...plainNode,
  exits: [partners, backup, remote],
  tunnel,
  gateway,
  spared: ['10.0.0.0/16', 'fd00::/16', 'fe80::/10'],
};

const pod = (name: string, changes: Partial<SteeredAttachment>): SteeredAttachment =>
  attachment({ mark: `pods/${name}/eth0`, program: `program-${name}`, ...changes });

const matchesBy = (exit: string): SteeredAttachment['matches'] =>
  attachment().matches.map((match) => ({ ...match, exit }));

const pods = {
  /** Both families, by an exit of this node, with ports of its own, and checked where it sends. */
  checked: pod('checked', {
    ports: [{ exit: partners.name, first: 2048, last: 4095 }],
    sources: { devices: ['veth1'], others: ['192.0.2.64/26'] },
  }),
  /** The same program, in one family. */
  fellow: pod('checked', {
    ...{ mark: 'pods/fellow/eth0', addresses: ['fd00::b0'] },
    sources: { devices: ['veth2'], others: [] },
  }),
  /** IPv4 by an exit that has nothing else. */
  four: pod('four', { addresses: ['10.0.0.180'], matches: matchesBy(backup.name) }),
  /** Through the tunnel. */
  far: pod('far', { addresses: ['10.0.0.190', 'fd00::be'], matches: matchesBy(remote.name) }),
  /** It holds a connection. */
  holding: pod('holding', {
    ...{ addresses: ['10.0.0.200'], matches: matchesBy('drop'), holds: true },
    held: [{ id: 4711, exit: backup.name }],
  }),
} as const satisfies Record<string, SteeredAttachment>;

type Who = keyof typeof pods | 'gateway';
const everybody = [...(Object.keys(pods) as (keyof typeof pods)[]), 'gateway'] as const;

const podsOf = (present: readonly Who[]): SteeredAttachment[] =>
  present.flatMap((name) => (name === 'gateway' ? [] : pods[name]));

/** A gateway's look is one for all of the node: with the pods that are there, and the exits that they or it use. */
function needsFor(who: Who, present: readonly Who[] = everybody): Needs {
  if (who !== 'gateway') return needsOf(node, pods[who]);
  const attachments = podsOf(present);
  const used = new Set(
    attachments.flatMap(({ matches, held = [] }) => [...matches, ...held].map(({ exit }): string => exit)),
  );
  const exits = node.exits.filter(({ id, name }) => gateway.served.includes(id) || used.has(name));
  return needsOfNode({ ...node, exits }, attachments);
}

/** In no order: lists of the kernel's have theirs. */
const keys = (objects: readonly HostObject[]): readonly string[] => objects.map(keyOf).sort();
const verbs = (changes: readonly Change[]) => changes.map(({ verb, object }) => `${verb} ${keyOf(object)}`);

async function changesFor({ host }: HostSubject, who: Who, present?: readonly Who[]) {
  const needs = needsFor(who, present);
  const { state, generation } = await host.observe(node, needs, { contents: true });
  // Parameters are asked for by themselves, and connections that are held.
  const held = (await host.listHeld()).filter(({ comment }) => who !== 'gateway' && comment === pods[who].mark);
  const isOpen = (object: HostObject) => object.kind !== 'sysctl' || host.readSysctl(object.name) !== object.value;
  return { changes: difference(desired(node, needs).filter(isOpen), [...state, ...held]), generation };
}

async function apply({ host }: HostSubject, changes: readonly Change[]): Promise<boolean> {
  const { generation } = await host.observe(node, needsFor('checked'), { contents: false });
  return (await host.apply(changes, generation)) !== undefined;
}

async function setUp(subject: HostSubject, ...all: readonly Who[]): Promise<void> {
  for (const who of all) {
    const { changes, generation } = await changesFor(subject, who);
    const additions = changes.filter(({ verb }) => verb !== 'remove');
    assert.notEqual(await subject.host.apply(additions, generation), undefined);
  }
}

const add = (...objects: readonly HostObject[]): Change[] => objects.map((object) => ({ verb: 'add', object }));
const remove = (...objects: readonly HostObject[]): Change[] => objects.map((object) => ({ verb: 'remove', object }));

/** All of ours, by name: what a test of a refusal compares. */
async function whole({ host }: HostSubject) {
  const { state, generation } = await host.observeOurs(node);
  const { chains, sets, sent = [], uplinks, exitElements, outside } = state;
  return { objects: keys([...chains, ...sets, ...sent, ...uplinks, ...exitElements, ...outside]), generation };
}

const jump = (chain: string) => ({ statements: [say.verdict({ code: 'jump', chain })] });
const own: Chain = { kind: 'chain', name: 'program-own', rules: [] };
const ranges: NftSet = { kind: 'set', name: 'program-own-1', key: ['ipv4_addr'], intervals: ['192.0.2.0/24'] };
const lookup: Chain = {
  ...own,
  name: 'program-other',
  rules: [{ statements: [say.destinationIn(4, ranges.name, { first: true })] }],
};
const leading: Element = {
  ...{ kind: 'element', set: 'pods4', key: layout.addressHex('10.0.9.9'), comment: 'pods/own/eth0' },
  verdict: { code: 'goto', chain: own.name },
};

interface Refusal {
  readonly what: string;
  readonly changes: readonly Change[];
  readonly code: string;
}

/** On a node with {@link own}, which {@link leading} leads to, and {@link ranges}, which {@link lookup} looks into. */
const refusals: readonly Refusal[] = [
  { what: 'a chain that an element leads to goes', changes: remove(own), code: 'EBUSY' },
  { what: 'a set that a rule looks into goes', changes: remove(ranges), code: 'EBUSY' },
  { what: 'a chain goes that is not there', changes: remove({ ...own, name: 'program-none' }), code: 'ENOENT' },
  { what: 'a set goes that is not there', changes: remove({ ...ranges, name: 'program-none-1' }), code: 'ENOENT' },
  { what: 'an element goes that is not there', changes: remove({ ...leading, key: '0a000001' }), code: 'ENOENT' },
  { what: 'an element comes that is there', changes: add(leading), code: 'EEXIST' },
  {
    what: 'an element comes that is there, with another verdict',
    changes: add({ ...leading, verdict: { code: 'goto', chain: lookup.name } }),
    code: 'EEXIST',
  },
  { what: 'a set is not there for its element', changes: add({ ...leading, set: 'none4' }), code: 'ENOENT' },
  {
    what: 'an element leads to a chain that is not there',
    changes: add({ ...leading, key: '0a000001', verdict: { code: 'goto', chain: 'program-none' } }),
    code: 'ENOENT',
  },
  {
    what: 'a rule leads to a chain that is not there',
    changes: add({ ...own, name: 'program-new', rules: [jump('program-none')] }),
    code: 'ENOENT',
  },
  {
    what: 'a rule looks into a set that is not there',
    changes: add({
      ...lookup,
      name: 'program-new',
      rules: [{ statements: [say.destinationIn(4, 'none', { first: true })] }],
    }),
    code: 'ENOENT',
  },
  {
    what: 'the last of several changes is refused',
    changes: [...add({ ...own, name: 'program-new' }), ...remove(own)],
    code: 'EBUSY',
  },
];

const someRoute: Route = {
  kind: 'route',
  family: 4,
  table: plainNode.routeTable + 7,
  type: 'unicast',
  device: 'eth1',
  metric: 1024,
};

/** The tests of a host: the same for the fake one and for the kernel, so that what a test was told by the fake is so. */
export function hostSuite(create: () => Promise<HostSubject>): void {
  const on = (name: string, action: (subject: HostSubject) => Promise<void>) =>
    test(name, async () => {
      using subject = await create();
      await action(subject);
    });

  on('a node without anything of ours shows nothing, in any look', async (subject) => {
    const { host } = subject;
    for (const who of everybody)
      assert.deepEqual((await host.observe(node, needsFor(who), { contents: true })).state, []);
    for (const known of [node, undefined]) {
      const { table, chains, sets, sent, outside } = (await host.observeOurs(known)).state;
      assert.deepEqual(
        { table, chains, sets, sent, outside },
        { table: false, chains: [], sets: [], sent: undefined, outside: [] },
      );
    }
    assert.deepEqual([await host.hasTable(), await host.listServed(), await host.listHeld()], [false, [], []]);
  });

  on('each look sees what it needs of a node with all of them, and nothing else', async (subject) => {
    await setUp(subject, ...everybody);
    for (const who of everybody) assert.deepEqual(verbs((await changesFor(subject, who)).changes), [], who);
    assert.equal(await subject.host.hasTable(), true);
  });

  on('what is there is made again without a change', async (subject) => {
    await setUp(subject, ...everybody);
    const before = await whole(subject);
    const outside = desired(node, needsFor('gateway')).filter(isOutside);
    assert.ok(await apply(subject, add(...outside)));
    assert.deepEqual(await whole(subject), before);
    for (const who of everybody) assert.deepEqual(verbs((await changesFor(subject, who)).changes), [], who);
  });

  on('what nobody has is taken away without an error', async (subject) => {
    const outside = desired(node, needsFor('gateway')).filter(
      (object) => isOutside(object) && object.kind !== 'sysctl',
    );
    for (let times = 0; times < 2; times++) assert.ok(await apply(subject, remove(...outside)));
    assert.deepEqual((await whole(subject)).objects, []);
  });

  on('use counts tell how many rules and elements lead to a chain', async (subject) => {
    await setUp(subject, 'checked', 'fellow', 'four', 'holding');
    const { chains } = (await subject.host.observeOurs(node)).state;
    const counts = Object.fromEntries(chains.map(({ name, references }) => [name, references]));
    const wanted = [
      'program-checked',
      'program-checked-entry',
      'program-four',
      'program-holding',
      'exit-7',
      'exit-300',
      'guard',
    ];
    assert.deepEqual(Object.fromEntries(wanted.map((name) => [name, counts[name]])), useCounts);
    const asked: Record<string, number> = {};
    for (const name of wanted) asked[name] = await subject.host.countReferences(name);
    assert.deepEqual(asked, useCounts);
    assert.equal(await subject.host.countReferences('program-nobody'), 0);
  });

  on('whoever goes takes along what nobody else needs, until nothing is left', async (subject) => {
    await setUp(subject, ...everybody);
    const { host } = subject;
    for (const [i, who] of everybody.entries()) {
      const { state, generation } = await host.observeOurs(node);
      const elements = who === 'gateway' ? await host.listServed() : await host.findElements(pods[who].mark);
      const chains = (state.sent ?? []).filter(
        ({ rules }) => who !== 'gateway' && rules[0]?.comment === pods[who].mark,
      );
      const objects = released(state, elements, { ...node, sysctls: {} }, chains);
      assert.ok(await host.apply(remove(...objects), generation));
      const left = everybody.slice(i + 1);
      for (const one of left)
        assert.deepEqual(verbs((await changesFor(subject, one, left)).changes), [], `${one} without ${who}`);
    }
    const { table, chains, sets, sent, outside } = (await host.observeOurs(undefined)).state;
    assert.deepEqual({ table, chains, sets, sent }, { table: false, chains: [], sets: [], sent: undefined });
    assert.deepEqual(keys(outside), []);
  });

  on('a change of an earlier ruleset is refused: only what stands before nftables is made', async (subject) => {
    const { changes, generation } = await changesFor(subject, 'checked');
    subject.interfere();
    assert.equal(await subject.host.apply(changes, generation), undefined);
    const { chains, sets, outside } = (await subject.host.observeOurs(node)).state;
    assert.deepEqual([chains, sets], [[], []]);
    assert.deepEqual([...new Set(outside.map(({ kind }) => kind))].sort(), ['route', 'rule']);
    await setUp(subject, 'checked');
    assert.deepEqual(verbs((await changesFor(subject, 'checked')).changes), []);
  });

  on('or made all the same, when others changed tables of their own alone since it was decided', async (subject) => {
    const { host } = subject;
    const early = await changesFor(subject, 'four');
    using _besideOthers = host.besideOthers();
    const { changes, generation } = await changesFor(subject, 'checked');
    subject.interfere();
    const later = await host.apply(changes, generation);
    assert.ok(later);
    assert.equal(await host.generation(), generation + later);
    assert.deepEqual(verbs((await changesFor(subject, 'checked')).changes), []);
    assert.equal(await host.apply(early.changes, early.generation), undefined); // nobody heard what came behind it
    assert.equal(await host.apply(early.changes, generation), undefined); // of what came behind it one was ours
  });

  on('a change without nftables asks for no ruleset', async (subject) => {
    const { generation } = await subject.host.observe(node, needsFor('checked'), { contents: false });
    subject.interfere();
    assert.equal(await subject.host.apply(add(someRoute), generation), 0);
  });

  on(
    'the generation grows by one with each transaction, by an unknown number with others’, and else stays',
    async (subject) => {
      const { host } = subject;
      await setUp(subject, 'four');
      const first = await host.generation();
      assert.equal(await host.apply(add(someRoute), first), 0);
      assert.equal(await host.generation(), first);
      const { changes } = await changesFor(subject, 'checked');
      const transactions = await host.apply(changes, first);
      assert.ok(transactions);
      assert.equal(await host.generation(), first + transactions);
      assert.equal(await host.apply(remove(leading), first), undefined);
      assert.equal(await host.generation(), first + transactions);
      subject.interfere();
      assert.notEqual(await host.generation(), first + transactions);
    },
  );

  on('of one generation what it does not tell is seen alone, and of others nothing', async (subject) => {
    const { host } = subject;
    await setUp(subject, 'checked', 'four');
    const [needs, generation] = [needsOf(node, { ...pods.checked, ports: [] }), await host.generation()];
    const seen = await host.observeBesideNoted(node, needs, generation);
    const isAsked = (object: HostObject) => object.kind !== 'sysctl';
    assert.deepEqual(keys(seen ?? []), keys(desiredBesideNoted(node, needs).filter(isAsked)));
    assert.equal(await host.observeBesideNoted(node, needs, generation - 1), undefined);
    assert.equal(await host.observeOwn(pods.checked, generation - 1), undefined);
  });

  on('a pod’s own part is seen with those who use its program', async (subject) => {
    const { host } = subject;
    await setUp(subject, 'checked', 'fellow');
    const { elements, chains, references } =
      (await host.observeOwn(pods.checked, await host.generation())) ?? assert.fail();
    const isOwn = ({ comment }: Element) => comment === pods.checked.mark;
    const found = (await host.findElements(pods.checked.mark)).filter(({ set }) => !set.startsWith('blocks'));
    assert.deepEqual(keys(elements), keys(found));
    assert.ok(elements.every(isOwn));
    assert.deepEqual(
      chains.map(({ name, rules }) => [name, rules[0]?.comment]),
      [[layout.chainNames.from('veth1'), pods.checked.mark]],
    );
    const { program } = pods.checked;
    const counts = [program, layout.entryOf(program)].map((name) => [name, references.get(name)]);
    assert.deepEqual(Object.fromEntries(counts), {
      [program]: await host.countReferences(program),
      [layout.entryOf(program)]: await host.countReferences(layout.entryOf(program)),
    });
  });

  for (const { what, changes, code } of refusals) {
    on(`nothing changes where ${what}: ${code}`, async (subject) => {
      await setUp(subject, 'four');
      assert.ok(await apply(subject, add(own, ranges, lookup, leading)));
      const before = await whole(subject);
      await assert.rejects(apply(subject, changes), (error) => {
        assert.ok(error instanceof EgressError && error.cause instanceof KernelError, String(error));
        assert.deepEqual([error.code, error.cause.code], ['kernel-refused', code]);
        return true;
      });
      assert.deepEqual(await whole(subject), before);
    });
  }

  on('a chain that changes keeps who leads to it, a set who looks into it', async (subject) => {
    await setUp(subject, 'four');
    await apply(subject, add(own, ranges, lookup, leading));
    const rules = [jump(layout.chainNames.drop)];
    const intervals = ['198.51.100.0/24'];
    await apply(subject, [
      { verb: 'replace', object: { ...own, rules }, observed: own },
      { verb: 'replace', object: { ...ranges, intervals }, observed: ranges },
    ]);
    const { chains } = (await subject.host.observeOurs(node)).state;
    const [changed] = chains.filter(({ name }) => name === own.name);
    assert.deepEqual([changed?.references, changed?.rules.length], [1, 1]);
    assert.deepEqual(
      (await subject.host.findElements('pods/own/eth0')).map(({ verdict }) => verdict),
      [leading.verdict],
    );
  });

  on('an element that is replaced has its new verdict', async (subject) => {
    await setUp(subject, 'four');
    await apply(subject, add(own, leading));
    const verdict = { code: 'goto', chain: 'program-four' } as const;
    await apply(subject, [{ verb: 'replace', object: { ...leading, verdict }, observed: leading }]);
    assert.deepEqual(
      (await subject.host.findElements('pods/own/eth0')).map((element) => element.verdict),
      [verdict],
    );
    assert.ok(await apply(subject, remove(own)), 'and nothing leads to the chain of the earlier one');
  });

  on('elements are found by the mark of their pod, anywhere or at its addresses', async (subject) => {
    await setUp(subject, ...everybody);
    const { mark, addresses } = pods.checked;
    const found = await subject.host.findElements(mark);
    assert.deepEqual([...new Set(found.map(({ comment }) => comment))], [mark]);
    const sets = found.map(({ set }) => set).sort();
    assert.deepEqual(sets, [
      'blocks4',
      'blocks6',
      'checked4',
      'checked6',
      'pods4',
      'pods6',
      'programs4',
      'programs6',
      'steered4',
      'steered6',
    ]);
    assert.deepEqual(keys(await subject.host.findElements(mark, addresses)), keys(found));
    assert.deepEqual(await subject.host.findElements(mark, ['10.0.0.1']), []);
    assert.deepEqual(await subject.host.findElements('pods/none'), []);
    assert.deepEqual(
      (await subject.host.listHeld()).map(({ comment }) => comment),
      [pods.holding.mark],
    );
    assert.deepEqual(
      (await subject.host.listServed()).map(({ key }) => layout.exitIdOfKey(key)),
      gateway.served,
    );
  });

  on('with the tunnel goes what is on its device', async (subject) => {
    await setUp(subject, 'far', 'gateway');
    const isOn = (object: HostObject) => 'device' in object && object.device === tunnelDevice;
    const kindsOn = async () => {
      const { state } = await subject.host.observe(node, needsFor('gateway'), { contents: false });
      return [...new Set(state.filter(isOn).map(({ kind }) => kind))].sort();
    };
    assert.deepEqual(await kindsOn(), ['address', 'forwarding', 'neighbour', 'route']);
    const [device] = desired(node, needsFor('far')).filter(({ kind }) => kind === 'tunnel');
    assert.ok(device);
    await apply(subject, remove(device));
    assert.deepEqual(await kindsOn(), []);
  });

  on(
    'a mark at an interface is replaced by another, and one at an interface that is gone is no error',
    async (subject) => {
      await setUp(subject, 'checked');
      const [mark] = desired(node, needsFor('checked')).filter(
        (object) => object.kind === 'ingressMark',
      ) as IngressMark[];
      assert.ok(mark);
      const other = { ...mark, value: 0x20003fff, mask: 0x20003fff };
      await apply(subject, [{ verb: 'replace', object: other, observed: mark }, ...add({ ...mark, device: 'gone' })]);
      const { state } = await subject.host.observe(node, needsFor('checked'), { contents: false });
      assert.deepEqual(
        state.filter(({ kind }) => kind === 'ingressMark'),
        [other],
      );
    },
  );

  on('an address goes to no interface that is not there', async (subject) => {
    const address = {
      kind: 'address',
      device: 'gone',
      address: '192.0.2.1',
      prefixLength: 32,
      scope: 'global',
    } as const;
    await assert.rejects(apply(subject, add(address)), { code: 'kernel-refused' });
  });

  on('a parameter has the value that it was given, and one that is not there stays away', async (subject) => {
    const { host } = subject;
    const name = 'net/ipv4/conf/eth1/rp_filter';
    const none = 'net/ipv4/conf/gone/rp_filter';
    assert.deepEqual([host.readSysctl(name), host.readSysctl(none)], ['0', undefined]);
    await apply(subject, add({ kind: 'sysctl', name, value: '2' }, { kind: 'sysctl', name: none, value: '2' }));
    assert.deepEqual([host.readSysctl(name), host.readSysctl(none)], ['2', undefined]);
    await apply(subject, remove({ kind: 'sysctl', name, value: '1' }));
    assert.equal(host.readSysctl(name), '1');
  });
}

/** Two elements for each address lead to a program, or to its entry; a rule for each match to the exit. */
const useCounts: Readonly<Record<string, number>> = {
  ...{ 'exit-300': 6, 'exit-7': 6, guard: 0 },
  ...{ 'program-checked': 4, 'program-checked-entry': 3, 'program-four': 2, 'program-holding': 1 },
};
