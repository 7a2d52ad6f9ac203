import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Family, familyOf } from '../../src/base/address.ts';
import { egressEntry, type Json, partners } from '../support/chain.ts';
import { packetsOutside } from '../support/cluster.ts';
import { foretold, foretoldOfPort } from '../support/foretold.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertMended, assertNamed } from '../support/mending.ts';
import { deleteRule, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, changedLines, snapshot } from '../support/snapshot.ts';

/** Three of IPv4 and two of IPv6. */
const addresses = ['192.168.0.245', '192.168.0.246', '192.168.0.247', 'fd00:168::245', 'fd00:168::246'];

const ofFamily = (family: Family) => addresses.filter((address) => familyOf(address) === family);

const entry = (changes: Json = {}) => egressEntry({ exits: [{ ...partners, addresses, ...changes }] });

/** A node whose exit has several addresses, and what it was like before the first pod. */
async function started(lab: Lab, changes: Json = {}) {
  const node = await lab.node(5, addresses);
  await node.write({ egress: entry(changes) });
  await node.settle();
  return { node, before: await snapshot(node) };
}

/** Ports that another pod does not ask from: of two that do, the node would change one. */
const portsOf = (pod: number) => Array.from({ length: 16 }, (_, i) => 20_000 + 1000 * pod + 5 * i);

/** The outside says which address and port it saw: those that are foretold, in both protocols, as often as one asks. */
async function assertAsForetold(pod: Pod, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const expected = foretoldOfPort(addresses, port).map((address) => `${address} ${port}`);
    for (const protocol of ['udp', 'tcp', 'udp'] as const) {
      assert.deepEqual(await pod.askFromPort(port, protocol), expected, `${protocol} from ${port}`);
    }
  }
}

/** Source addresses of the pings that a pod sends to the outside, as tcpdump sees them; IPv4 first. */
async function pingedWith(node: LabNode, pod: Pod): Promise<readonly string[]> {
  const capture = await node.capture();
  for (let i = 0; i < 3; i++) assert.deepEqual(await pod.askEach('icmp'), ['reply', 'reply']);
  const packets = packetsOutside(await capture.stop()).filter(({ protocol }) => protocol.startsWith('icmp'));
  return [...new Set(packets.map(({ source }) => source))].toSorted((a, b) => familyOf(a) - familyOf(b));
}

describe('an exit with several addresses', labTest, () => {
  test('spreads pods over all of them; each keeps the one that is foretold for it', async () => {
    await using lab = await Lab.create();
    const { node, before } = await started(lab);
    const pods = await Promise.all(Array.from({ length: 12 }, () => node.started()));
    const capture = await node.capture();
    const seen = new Set<string>();
    for (const pod of pods) {
      for (const protocol of ['tcp', 'udp', 'tcp', 'udp', 'tcp'] as const) {
        const answers = await pod.askEach(protocol);
        assert.deepEqual(answers, foretold(addresses, pod));
        for (const address of answers) seen.add(address);
      }
    }
    assert.deepEqual([...seen].toSorted(), addresses.toSorted());
    const packets = packetsOutside(await capture.stop());
    assert.deepEqual(new Set(packets.map(({ source }) => source)), seen);
    assert.deepEqual(new Set(packets.map((packet) => packet.interface)), new Set(['eth1']));
    for (const pod of pods.slice(0, 3)) assert.deepEqual(await pingedWith(node, pod), foretold(addresses, pod));
    assert.equal((await node.egress('check')).code, 0);
    for (const pod of pods) await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('spreads connections, if it is told to: by their source ports, and pings all alike', async () => {
    await using lab = await Lab.create();
    const { node, before } = await started(lab, { addressPerFlow: true });
    const pods = [await node.started(), await node.started()];
    for (const [i, pod] of pods.entries()) {
      await assertAsForetold(pod, portsOf(i));
      assert.deepEqual(new Set(portsOf(i).flatMap((port) => foretoldOfPort(addresses, port))), new Set(addresses));
    }
    for (const pod of pods) assert.deepEqual(await pingedWith(node, pod), foretoldOfPort(addresses, 0));
    assert.equal((await node.egress('check')).code, 0);
    for (const pod of pods) await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  for (const one of [4, 6] as const) {
    test(`of which one is of IPv${one} spreads the other family alone`, async () => {
      await using lab = await Lab.create();
      const some = [...ofFamily(one).slice(0, 1), ...ofFamily(one === 4 ? 6 : 4)];
      const { node, before } = await started(lab, { addresses: some });
      const pods = await Promise.all(Array.from({ length: 6 }, () => node.started()));
      for (const pod of pods) {
        for (const protocol of ['tcp', 'udp'] as const) {
          assert.deepEqual(await pod.askEach(protocol), foretold(some, pod));
        }
      }
      for (const pod of pods) await node.end(pod);
      assertUnchanged(before, await snapshot(node));
    });
  }

  test('uses no address any more that was taken out of the configuration, after the next ADD', async () => {
    await using lab = await Lab.create();
    const { node } = await started(lab);
    const pods = await Promise.all(Array.from({ length: 6 }, () => node.started()));
    const fewer = [...ofFamily(4).slice(1), ...ofFamily(6).slice(1)];
    await node.write({ egress: entry({ addresses: fewer }) });
    pods.push(await node.started());
    for (const pod of pods) assert.deepEqual(await pod.askEach(), foretold(fewer, pod));
    const ruleset = await node.machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
    for (const address of addresses) {
      assert.equal(new RegExp(`${address}\\b`).test(ruleset), fewer.includes(address), address);
    }
    assert.equal((await node.egress('check')).code, 0);
  });

  test('becomes one with others, with one, or with one for each connection, and again what it was', async () => {
    await using lab = await Lab.create();
    const { node, before } = await started(lab);
    const pod = await node.started();
    const first = await snapshot(node);
    const forms: readonly Json[] = [
      { addresses: addresses.slice(1) },
      { addresses: [addresses[1], addresses[3]] },
      { addressPerFlow: true },
      { addresses: addresses.slice(0, 4), addressPerFlow: true },
      {},
    ];
    for (const form of forms) {
      await node.write({ egress: entry(form) });
      assert.equal((await node.plugin('ADD', { pod })).code, 0);
      assert.equal((await node.egress('check')).code, 0);
      const [four] = await pod.askEach();
      assert.ok(addresses.includes(four ?? ''), four);
    }
    assert.deepEqual(changedLines(first, await snapshot(node)), []);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });
});

/** Something that an exit with several addresses needs, how it gets lost, and how CHECK names it. */
interface Part {
  readonly what: string;
  readonly lose: (node: LabNode, id: number) => Promise<unknown>;
  readonly named: (id: number) => string;
}

const parts: readonly Part[] = [
  {
    what: 'the address of a slot',
    lose: (node, id) => nft(node, `delete element ${table} exit-${id}-slots4 { 0.0.0.5 }`),
    named: (id) => `element 0.0.0.5 of exit-${id}-slots4 is missing`,
  },
  {
    what: 'the right address of a slot',
    lose: (node, id) =>
      nft(
        node,
        `delete element ${table} exit-${id}-slots6 { ::3f }`,
        `add element ${table} exit-${id}-slots6 { ::3f : fd00:168::99 }`,
      ),
    named: (id) => `element ::3f of exit-${id}-slots6 is not as expected`,
  },
  {
    what: 'what leads to the chain that chooses',
    lose: (node, id) => nft(node, `delete element ${table} spread { ${id} . "eth1" }`),
    named: (id) => `element ${id} . eth1 of spread is missing`,
  },
  {
    what: 'the chain that chooses',
    lose: (node, id) =>
      nft(node, `delete element ${table} spread { ${id} . "eth1" }`, `delete chain ${table} exit-${id}-snat`),
    named: (id) => `chain exit-${id}-snat is missing`,
  },
  {
    what: 'a rule of the chain that chooses',
    lose: (node, id) => deleteRule(node, `exit-${id}-snat`, 'ip6'),
    named: (id) => `rule 2 of chain exit-${id}-snat is missing: snat ip6 to ip6 saddr & ::3f map @exit-${id}-slots6`,
  },
  {
    what: 'the map of the slots',
    lose: (node, id) => nft(node, `flush chain ${table} exit-${id}-snat`, `delete map ${table} exit-${id}-slots4`),
    named: (id) => `map exit-${id}-slots4 is missing`,
  },
  {
    what: 'the lane of one address',
    lose: (node, id) => nft(node, `delete element ${table} lanes4 { ${id} . "eth1" . 192.168.0.246 }`),
    named: (id) => `element ${id} . eth1 . 192.168.0.246 of lanes4 is missing`,
  },
  {
    what: 'the rule that leads to chains that choose',
    lose: (node) => deleteRule(node, 'translate', '@spread'),
    named: () => 'of chain translate is missing: meta mark & 0x00003fff . oifname vmap @spread',
  },
];

describe('CHECK of a pod whose exit has several addresses', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;
  let id: number;
  let whole: string;

  before(async () => {
    lab = await Lab.create();
    ({ node } = await started(lab));
    pod = await node.started();
    id = JSON.parse((await node.egress('status', '--json')).stdout).exits[0].id;
    whole = await snapshot(node);
  });

  after(() => lab.remove());

  for (const { what, lose, named } of parts) {
    test(`fails without ${what}, names it, and passes again after ADD is repeated; nothing leaks meanwhile`, async () => {
      await lose(node, id);
      await assertNamed(node, pod, named(id));
      const seen = (await pod.askEach('udp')).filter((address) => address !== 'nothing');
      assert.deepEqual(
        seen.filter((address) => !addresses.includes(address)),
        [],
      );
      await assertMended(node, pod, whole);
    });
  }
});
