import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { world } from '../support/world.ts';

/** What somebody does to the node while pods are steered. */
interface Damage {
  readonly what: string;
  readonly happens: (node: LabNode) => Promise<unknown>;
  /** What the command says that it mended. */
  readonly said: RegExp;
}

const damages: readonly Damage[] = [
  {
    what: 'the interface of the exit went down and came up',
    happens: async (node) => {
      await node.machine.ip('link set eth1 down', 'link set eth1 up');
      const [own, exit] = [node.addresses('eth1')[1], world.exitAddress[1]];
      await node.machine.ip(`address add ${own}/64 dev eth1 nodad`, `address add ${exit} dev eth1 nodad`);
    },
    said: /^Mended: ip route default via 192\.168\.0\.1 dev eth1 table 5\d+ metric 1024 is missing$/m,
  },
  {
    what: 'the ruleset was flushed',
    happens: (node) => node.machine.must(['nft', 'flush', 'ruleset']),
    said: /^Mended: table inet cni-egress is missing$/m,
  },
  {
    what: 'the policy rules were removed',
    happens: async (node) => {
      for (const family of ['-4', '-6'])
        for (const at of ['700', '701', '702'])
          await node.machine.must(['ip', family, 'rule', 'delete', 'priority', at]);
    },
    said: /^Mended: ip -6 rule priority 700 not fwmark \S+ goto 702 is missing$/m,
  },
  {
    what: 'the reverse path filter was set',
    happens: (node) => node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 }),
    said: /^Mended: sysctl net\/ipv4\/conf\/eth1\/rp_filter is 1, expected 2$/m,
  },
  {
    what: 'a chain has another rule',
    happens: (node) => node.machine.must(['nft', 'insert', 'rule', 'inet', 'cni-egress', 'classify', 'return']),
    said: /^Mended: base chain classify is not as expected/m,
  },
];

describe('egress repair, after', labTest, () => {
  for (const { what, happens, said } of damages) {
    test(`${what}, gives pods their exit back without another ADD, and says what it mended`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pods = [await node.started(), await node.started()];
      await happens(node);
      const planned = await node.egress('repair', '--dry-run');
      assert.equal(planned.code, 0, planned.stderr);
      assert.match(planned.stdout, / would be mended\.$/m);
      assert.match(
        (await node.egress('status')).stdout,
        /^Exit "\S+" is not as it should be: .*"egress repair" mends it/m,
      );
      const capture = await node.capture();
      const repaired = await node.egress('repair');
      assert.equal(repaired.code, 0, repaired.stderr + repaired.stdout);
      assert.match(repaired.stdout, said);
      for (const pod of pods) assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      assert.deepEqual(leaks(await capture.stop()), []);
      assert.equal((await node.egress('check')).code, 0);
      assert.deepEqual(await node.egress('repair').then(({ code, stdout }) => [code, stdout]), [
        0,
        'Nothing was wrong.\n',
      ]);
      assert.doesNotMatch((await node.egress('status')).stdout, /repair/);
    });
  }
});

describe('egress repair', labTest, () => {
  test('says what it cannot mend, and mends the rest', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.must(['nft', 'flush', 'ruleset']);
    await node.machine.ip(`link set eth1 netns ${lab.back.host.name}`);
    const { code, stdout } = await node.egress('repair');
    assert.equal(code, 1);
    assert.match(stdout, /eth1/);
    assert.match(stdout, /could not be mended/);
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
  });

  test('says what still keeps an exit from working when all of ours is there again', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    // An interface that went down comes up without its IPv6 addresses, and one that becomes a port has no answers.
    await node.machine.ip(
      'link set eth1 down',
      'link set eth1 up',
      `address add ${node.addresses('eth1')[1]}/64 dev eth1 nodad`,
    );
    const lost = await node.egress('repair');
    assert.equal(lost.code, 1);
    assert.match(lost.stdout, /^Mended: .* is missing$/m);
    assert.match(lost.stdout, /^partners: exit "partners" drops what is to leave with fd00:168::245: .*$/m);
    assert.match(lost.stdout, /^1 could not be mended; \d+ things were\.$/m);
    assert.deepEqual(await pod.askEach('udp'), [world.exitAddress[0], 'nothing']);
    await node.machine.ip(`address add ${world.exitAddress[1]} dev eth1 nodad`);
    await node.machine.ip('link add over type bridge', 'link set eth1 master over', 'link set over up');
    const { code, stdout } = await node.egress('repair');
    assert.equal(code, 1);
    assert.match(stdout, /^partners: exit "partners" leaves by eth1, which is a port of a bridge/m);
  });

  test('leaves a pod alone that is gone, and whose address another one has', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const gone = await node.pod('default', lab.unique('pod'), '10.0.0.77');
    await node.add(gone);
    await node.withoutEgress(() => node.end(gone));
    const next = await node.pod('elsewhere', lab.unique('pod'), '10.0.0.77');
    await node.withoutEgress(() => node.add(next));
    await node.started();
    const before = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']);
    assert.equal((await node.egress('repair')).code, 0);
    assert.equal(await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']), before);
  });

  test('changes nothing where nothing of egress is', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    assert.equal((await node.egress('repair')).stdout, 'Nothing was wrong.\n');
    assert.deepEqual(await node.records(), ['lock']);
  });
});
