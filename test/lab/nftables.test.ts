import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, beforeEach, describe, test } from 'node:test';
import { EgressError } from '../../src/base/errors.ts';
import { isKernelError, NetlinkSocket, protocols } from '../../src/kernel/netlink/socket.ts';
import {
  findElementsByComment,
  findElementsByKey,
  listChains,
  listElements,
  listRules,
  listSets,
  readIntervals,
  readTable,
} from '../../src/kernel/nftables/read.ts';
import { canHook, readGeneration, runTransaction } from '../../src/kernel/nftables/transaction.ts';
import { mergeIntervals, printRange } from '../../src/nftables/interval.ts';
import type { Chain, Element, NftObject, NftSet, Operation, Rule } from '../../src/nftables/object.ts';
import { printRule, printScript } from '../../src/nftables/script.ts';
import { sameRule, sameSet } from '../support/same.ts';
import { chains, counting, elements, everything, removal, sets } from '../unit/nftables/sample.ts';

const nft = (args: readonly string[], input = '') => execFileSync('nft', args, { input, encoding: 'utf8' });
const listing = () => nft(['-s', 'list', 'ruleset']);
const add = (...objects: NftObject[]): Operation[] => objects.map((object) => ({ verb: 'add', object }));
const table = { kind: 'table' } as const;
const tableAnd = (...objects: NftObject[]): Operation[] => [{ verb: 'add', object: table }, ...add(...objects)];
const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);

/** Sets and maps whose elements come one by one. */
const plainSets: readonly NftSet[] = (Object.values(sets) as NftSet[]).filter(
  ({ intervals }) => intervals === undefined,
);
const intervalSets: readonly NftSet[] = (Object.values(sets) as NftSet[]).filter(
  ({ intervals }) => intervals !== undefined,
);

/**
 * Writes and reads the tables of a network namespace of its own, with nft as the independent witness. The file starts
 * itself again in that namespace, and what it reports there goes to the test runner as if it came from here.
 */
if (process.env.NFTABLES_NAMESPACE === undefined) {
  const env = { ...process.env, NFTABLES_NAMESPACE: 'own' };
  process.exitCode =
    spawnSync('unshare', ['--net', process.execPath, import.meta.filename], { env, stdio: 'inherit' }).status ?? 1;
} else {
  defineTests();
}

function defineTests(): void {
  const socket = new NetlinkSocket(protocols.netfilter);
  const write = (operations: readonly Operation[]) => runTransaction(socket, operations);
  const find = async (set: NftSet, key: string) => (await findElementsByKey(socket, [{ set, key }]))[0];
  after(() => socket.close());
  beforeEach(() => {
    nft(['flush', 'ruleset']);
  });

  describe('what a transaction writes', () => {
    test('is for nft the same as the script of the transaction', async () => {
      await write(everything);
      const ours = listing();
      nft(['flush', 'ruleset']);
      nft(['-f', '-'], printScript(everything));
      assert.equal(ours, listing());
      assert.match(ours, /10\.0\.0\.174 counter comment "net\/abc\/eth0" : goto program-a/);
    });

    test('is listed by nft in the words of our rules', async () => {
      await write(everything);
      const lines = new Set(
        listing()
          .split('\n')
          .map((line) => line.trim()),
      );
      const rules = [...Object.values(chains), counting.chain].flatMap((chain): readonly Rule[] => chain.rules);
      assert.deepEqual(
        rules.map(printRule).filter((words) => !lines.has(words)),
        [],
      );
    });

    test('is read back as it was written', async () => {
      await write(everything);
      await assertEverything(socket);
    });

    test('is read alike when nft has written it', async () => {
      nft(['-f', '-'], printScript(everything));
      await assertEverything(socket);
    });

    test('is gone when a transaction takes it away', async () => {
      await write(everything);
      await write(removal);
      assert.equal(listing(), '');
    });

    test('may come in ten thousand prefixes of each family at once', async () => {
      const many4 = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 7}.${(i & 127) * 2}.0/24`);
      const many6 = Array.from({ length: 10_000 }, (_, i) => `fd00:0:${(2 * i + 1).toString(16)}::/48`);
      const large: NftSet[] = [
        { ...sets.cluster4, intervals: many4 },
        { ...sets.cluster6, intervals: many6 },
      ];
      await write(tableAnd(...large));
      for (const set of large) assert.deepEqual(await readIntervals(socket, set), set.intervals);
      assert.match(listing(), /10\.78\.28\.0\/24/);
    });

    test('takes the place of what was flushed in the same transaction', async () => {
      await write(everything);
      const cluster = { ...sets.cluster4, intervals: ['172.16.0.0/12'] };
      const exit: Chain = { ...chains.exit, rules: chains.exit.rules.slice(0, 1) };
      await write([{ verb: 'flush', object: cluster }, ...add(cluster), { verb: 'flush', object: exit }, ...add(exit)]);
      assert.deepEqual(await readIntervals(socket, cluster), ['172.16.0.0/12']);
      assert.equal((await listRules(socket, 'exit-7')).length, 1);
    });
  });

  describe('whether the kernel takes a hook', () => {
    test('is found out without changing anything', async () => {
      const generation = await readGeneration(socket);
      assert.equal(await canHook(socket, counting.chain.hook), true);
      assert.deepEqual([listing(), await readGeneration(socket)], ['', generation]);
    });

    test('is not said of an answer that is about something else', async () => {
      await assert.rejects(canHook(socket, { ...counting.chain.hook, device: 'd'.repeat(20) }));
      assert.equal(listing(), '');
    });
  });

  describe('a transaction', () => {
    test('that rests on what somebody has changed since does nothing, and says so', async () => {
      await write(tableAnd());
      const generation = await readGeneration(socket);
      nft(['add', 'table', 'inet', 'other']);
      const before = listing();
      const stale = runTransaction(socket, add(sets.local), generation);
      await assert.rejects(stale, (error) => isKernelError(error, 'ERESTART'));
      assert.equal(listing(), before);
    });

    test('that rests on the present ruleset is done', async () => {
      const generation = await readGeneration(socket);
      await runTransaction(socket, tableAnd(sets.local), generation);
      assert.deepEqual(await listSets(socket), [sets.local]);
      assert.notEqual(await readGeneration(socket), generation);
    });

    test('of which one rule is refused does nothing, and names that rule', async () => {
      const lost: Chain = { ...chains.program, rules: [chains.exit.rules[1], chains.program.rules[2]] };
      const refused = write([...tableAnd(sets.cluster6, lost, chains.exit)]);
      await assert.rejects(refused, (error) => {
        assert.ok(error instanceof EgressError);
        assert.equal(error.code, 'kernel-refused');
        assert.match(error.message, /^add rule inet cni-egress program-a ip6 daddr @cluster6 jump exit-7: ENOENT/);
        assert.ok(isKernelError(error.cause, 'ENOENT'));
        return true;
      });
      assert.equal(listing(), '');
    });

    test('that is refused names an element by the types of a set that is there already', async () => {
      await write(tableAnd(sets.lanes4));
      const refused = runTransaction(socket, [{ verb: 'delete', object: elements.lane4 }], undefined, [sets.lanes4]);
      await assert.rejects(
        refused,
        /delete element inet cni-egress lanes4 \{ 0x00000007 \. "eth1" \. 172\.18\.0\.33 \}: ENOENT/,
      );
    });

    test('without operations is nothing', async () => {
      const generation = await readGeneration(socket);
      await runTransaction(socket, [], generation - 1);
      assert.equal(await readGeneration(socket), generation);
    });
  });

  describe('an element', () => {
    const taken: Element = { ...elements.pod4, verdict: { code: 'drop' }, comment: 'net/def/eth0' };
    const withPod = tableAnd(...plainSets, ...intervalSets, chains.exit, chains.program, elements.pod4);

    test('that is there already is refused, even with the same value', async () => {
      await write(withPod);
      await assert.rejects(write(add(taken)), /add element inet cni-egress pods4 \{ .* \}: EEXIST/);
      await assert.rejects(write(add({ ...elements.pod4, comment: 'net/def/eth0' })), /EEXIST/);
      assert.equal((await find(sets.pods4, elements.pod4.key))?.comment, 'net/abc/eth0');
    });

    test('is replaced by deleting and adding it in one transaction', async () => {
      await write(withPod);
      await write([{ verb: 'delete', object: elements.pod4 }, ...add(taken)]);
      assert.deepEqual(await listElements(socket, sets.pods4), [{ ...taken, counter: { packets: 0n, bytes: 0n } }]);
    });

    test('is found by its key, or not', async () => {
      await write(everything);
      assert.deepEqual(await find(sets.snat6, elements.snat6.key), elements.snat6);
      assert.deepEqual(await find(sets.lanes6, elements.lane6.key), {
        ...elements.lane6,
        counter: { packets: 0n, bytes: 0n },
      });
      assert.equal(await find(sets.snat6, elements.snat6.key.replace('07', '08')), undefined);
    });

    test('is found among others that are asked for at once, also where one of them or its set is not there', async () => {
      await write(everything);
      const absent = { ...sets.pods4, name: 'absent' };
      const wanted = [
        { set: absent, key: elements.pod4.key },
        { set: sets.pods4, key: elements.pod4.key },
        { set: sets.pods4, key: 'c0000263' },
        { set: sets.snat6, key: elements.pod4.key },
        { set: sets.snat6, key: elements.snat6.key },
      ];
      const found = await findElementsByKey(socket, wanted);
      assert.deepEqual(
        found.map(({ set, key }) => ({ set, key })),
        [
          { set: 'pods4', key: elements.pod4.key },
          { set: 'snat6', key: elements.snat6.key },
        ],
      );
      const many = Array.from({ length: 300 }, () => wanted).flat();
      assert.equal((await findElementsByKey(socket, many)).length, 600);
    });

    test('is found by how its comment begins, among ten thousand', async () => {
      const pod = (i: number): Element => ({
        kind: 'element',
        set: 'pods4',
        key: `0a01${i.toString(16).padStart(4, '0')}`,
        verdict: { code: 'drop' },
        comment: `net/container-${i}/eth0`,
      });
      const odd: Element = { ...elements.drop4, comment: 'not/net/container-77/' };
      await write([...tableAnd(sets.pods4, odd), ...add(...Array.from({ length: 10_000 }, (_, i) => pod(i)))]);
      const found = await findElementsByComment(socket, sets.pods4, 'net/container-77/');
      assert.deepEqual(found, [{ ...pod(77), counter: { packets: 0n, bytes: 0n } }]);
      assert.equal((await listElements(socket, sets.pods4)).length, 10_001);
    });
  });

  describe('what others have written', () => {
    test('in tables that are not ours is not seen', async () => {
      nft(['-f', '-'], 'add table inet other\nadd chain inet other c\n');
      await assertNothing(socket);
    });

    test('into our rules makes them differ', async () => {
      await write(tableAnd(chains.exit));
      nft(
        ['-f', '-'],
        'flush chain inet cni-egress exit-7\nadd rule inet cni-egress exit-7 limit rate 1/second drop\n',
      );
      const [rule] = await listRules(socket, 'exit-7');
      assert.equal(rule?.expressions[0]?.name, 'unknown');
      assert.ok(rule && !sameRule(chains.exit.rules[1], rule));
    });

    test('as a hook or a set that we never write is told from ours', async () => {
      nft(
        ['-f', '-'],
        `table inet cni-egress {
          set timed { type ipv4_addr; flags timeout; }
          set protocols { type inet_proto; }
          chain strict { type filter hook input priority 0; policy drop; }
        }\n`,
      );
      assert.deepEqual(await listChains(socket), [{ name: 'strict', hook: 'other', use: 0 }]);
      assert.deepEqual(
        (await listSets(socket)).map(({ key }) => key),
        [[], []],
      );
    });

    test('as counts is read', async () => {
      nft(['-f', '-'], 'table inet cni-egress {\n chain c {\n counter packets 7 bytes 700 drop\n }\n}\n');
      const [rule] = await listRules(socket, 'c');
      assert.deepEqual(rule?.counter, { packets: 7n, bytes: 700n });
    });
  });

  test('without our table there is nothing to read, and that is no error', () => assertNothing(socket));

  test('in an empty table there is nothing to read', async () => {
    await write(tableAnd());
    assert.equal((await readTable(socket)) !== undefined, true);
    assert.deepEqual(await listSets(socket), []);
    assert.deepEqual(await listRules(socket, 'exit-7'), []);
  });
}

async function assertNothing(socket: NetlinkSocket): Promise<void> {
  assert.equal((await readTable(socket)) !== undefined, false);
  assert.deepEqual(await listChains(socket), []);
  assert.deepEqual(await listRules(socket), []);
  assert.deepEqual(await listRules(socket, 'exit-7'), []);
  assert.deepEqual(await listSets(socket), []);
  assert.deepEqual(await listElements(socket, sets.pods4), []);
  assert.deepEqual(await findElementsByComment(socket, sets.pods4, 'net/'), []);
  assert.deepEqual(await readIntervals(socket, sets.cluster4), []);
  assert.deepEqual(await findElementsByKey(socket, [{ set: sets.pods4, key: elements.pod4.key }]), []);
}

/** The namespace holds the objects of the sample, as all our ways of reading see them. */
async function assertEverything(socket: NetlinkSocket): Promise<void> {
  assert.equal((await readTable(socket)) !== undefined, true);
  await assertChains(socket);
  await assertSets(socket);
  await assertCounting(socket);
}

async function assertCounting(socket: NetlinkSocket): Promise<void> {
  const { table, set, chain, element } = counting;
  assert.equal((await readTable(socket, table)) !== undefined, true);
  assert.deepEqual(await listSets(socket, table), [set]);
  assert.deepEqual(await listChains(socket, table), [{ name: chain.name, hook: chain.hook, use: chain.rules.length }]);
  const rules = await listRules(socket, chain.name, table);
  assert.ok(
    rules.length === chain.rules.length && chain.rules.every((rule, i) => rules[i] && sameRule(rule, rules[i])),
  );
  assert.deepEqual(await listElements(socket, set), [{ ...element, counter: { packets: 0n, bytes: 0n } }]);
}

async function assertChains(socket: NetlinkSocket): Promise<void> {
  const wanted = Object.values(chains) as Chain[];
  const observed = await listChains(socket);
  assert.deepEqual(
    observed.map(({ name, hook }) => ({ name, hook })).sort(byName),
    wanted.map(({ name, hook }) => ({ name, hook })).sort(byName),
  );
  // Its two rules, and the two rules that lead to it.
  assert.equal(observed.find(({ name }) => name === 'exit-7')?.use, 4);
  assert.equal((await listRules(socket)).length, wanted.flatMap(({ rules }) => rules).length);
  for (const { name, rules } of wanted) {
    const listed = await listRules(socket, name);
    assert.equal(listed.length, rules.length);
    for (const [i, rule] of rules.entries()) {
      assert.equal(listed[i]?.chain, name);
      assert.deepEqual(
        listed[i]?.expressions,
        rule.statements.flatMap(({ expressions }) => expressions),
      );
      assert.ok(listed[i] && sameRule(rule, listed[i]));
    }
  }
}

async function assertSets(socket: NetlinkSocket): Promise<void> {
  const wanted = [...plainSets, ...intervalSets].sort(byName);
  const observed = [...(await listSets(socket))].sort(byName);
  assert.deepEqual(
    observed,
    wanted.map((set) => ({ ...set, ...(set.intervals && { intervals: [] }) })),
  );
  assert.ok(wanted.every((set, i) => observed[i] && sameSet(set, observed[i])));
  for (const set of intervalSets) {
    assert.deepEqual(await readIntervals(socket, set), mergeIntervals(set.intervals ?? []).map(printRange));
  }
  for (const set of plainSets) {
    const written = (Object.values(elements) as Element[]).filter((element) => element.set === set.name);
    const counter = { packets: 0n, bytes: 0n };
    assert.deepEqual(
      [...(await listElements(socket, set))].sort(byKey),
      written.map((element) => ({ ...element, ...(set.counter && { counter }) })).sort(byKey),
    );
  }
}
