import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';

/** What somebody does to a node behind our back, and what the agent says that it put back. */
const damages: Readonly<Record<string, readonly [damage: (node: LabNode) => Promise<unknown>, mended: RegExp]>> = {
  'nft flush ruleset': [(node) => node.machine.must(['nft', 'flush', 'ruleset']), /table inet cni-egress is missing/],
  'nft delete table inet cni-egress': [
    (node) => node.machine.must(['nft', 'delete', 'table', 'inet', 'cni-egress']),
    /table inet cni-egress is missing/,
  ],
  'our chains are emptied': [
    (node) => node.machine.must(['nft', 'flush', 'table', 'inet', 'cni-egress']),
    /rule 1 of base chain classify is missing/,
  ],
  'our policy rules are deleted': [(node) => inBothFamilies(node, 'rule flush protocol 230'), /rule .* is missing/],
  'the exit’s routes are deleted': [
    (node) => inBothFamilies(node, 'route flush table all proto 230'),
    /route .* is missing/,
  ],
  'the exit’s interface goes down and comes back': [
    async (node) => {
      await node.machine.ip('link set eth1 down');
      const [, own] = node.addresses('eth1');
      const [, exit] = partners.addresses;
      await node.machine.ip(
        'link set eth1 up',
        `address replace ${own}/64 dev eth1 nodad`,
        `address replace ${exit} dev eth1 nodad preferred_lft 0`,
      );
    },
    /route .* is missing/,
  ],
  'rp_filter is strict again': [
    (node) => node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 }),
    /sysctl net\/ipv4\/conf\/eth1\/rp_filter is 1/,
  ],
};

/** Runs a command of `ip` for IPv4 and for IPv6. */
async function inBothFamilies(node: LabNode, command: string): Promise<void> {
  for (const family of ['-4', '-6']) await node.machine.must(['ip', family, ...command.split(' ')]);
}

describe('under the traffic of ten pods an agent puts right by itself', labTest, () => {
  test('all that somebody takes, and nothing leaves with another address meanwhile', async (t) => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pods = await Promise.all(Array.from({ length: 10 }, () => node.started()));
    const agent = await RunningAgent.start(node);
    for (const [what, [damage, mended]] of Object.entries(damages)) {
      const said = agent.length;
      const capture = await node.capture();
      const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.05', ...world.service)));
      await damage(node);
      const line = await agent.line('put back what somebody had taken', said);
      assert.match(line, mended, what);
      for (const pod of pods) while (`${await pod.askEach('udp')}` !== `${partners.addresses}`);
      await Promise.all(senders.map((sender) => sender.stop()));
      const packets = packetsTo(await capture.stop(), ...world.service);
      assert.deepEqual(
        packets.filter(isWrong).map(({ source }) => source),
        [],
        what,
      );
      assert.notEqual(packets.length, 0);
      const { wrongForMs } = JSON.parse(line) as { wrongForMs?: number };
      t.diagnostic(`${what}: wrong for ${wrongForMs} ms, 0 of ${packets.length} packets with another source`);
    }
    assert.equal(await agent.end(), 'exit code 0');
    assert.equal((await node.egress('check')).code, 0);
  });
});

const isWrong = ({ source }: { readonly source: string }): boolean =>
  !partners.addresses.some((address) => address === source);
