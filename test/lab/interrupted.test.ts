import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { placesIn, signalledAt } from '../support/killing.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import type { Outcome } from '../support/run.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary, program, tool } from '../support/tools.ts';

/** A command that people call, and a node for it. */
interface Scene {
  readonly node: LabNode;
  readonly words: readonly string[];
  /** Makes that there is something to do for the command. */
  readonly again: () => Promise<unknown>;
  /** What is compared. */
  readonly state: () => Promise<string>;
}

async function repairScene(lab: Lab): Promise<Scene> {
  const node = await lab.node();
  await node.started();
  const again = async () => {
    await node.machine.must(['nft', 'flush', 'ruleset']);
    for (const family of ['-4', '-6']) await node.machine.must(['ip', family, 'rule', 'flush', 'protocol', '230']);
  };
  return { node, words: ['repair'], again, state: () => snapshot(node) };
}

const scenes: Readonly<Record<string, (lab: Lab) => Promise<Scene>>> = {
  repair: repairScene,
  adopt: async (lab) => {
    const node = await lab.node();
    const pods = await node.withoutEgress(async () => [await node.started(), await node.started()]);
    const again = async () => {
      for (const pod of pods) {
        assert.equal((await node.plugin('DEL', { pod })).code, 0);
        await setUp(node, pod);
      }
    };
    const state = async () =>
      (await snapshot(node))
        .split('\n')
        .filter((line) => !/veth|fe80::/.test(line))
        .toSorted() // chains stand in the order in which pods were adopted
        .join('\n');
    return { node, words: ['adopt'], again, state };
  },
  'exit move': async (lab) => {
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [worker, first, second] = [cluster.workers[0], ...cluster.gateways];
    assert.ok(worker && first && second);
    await worker.started();
    const to = (gateway: LabNode) => [
      ...['exit', 'move', internet.name, '--policy', policyFile, '--to', gateway.addresses('eth0')[0]],
    ];
    const again = async () => assert.equal((await worker.egress(...to(first))).code, 0);
    return { node: worker, words: to(second), again, state: () => snapshot(worker) };
  },
  gc: async (lab) => {
    const node = await lab.node();
    await node.settle();
    await node.started();
    const again = async () => {
      const pod = await node.started();
      await node.withoutEgress(() => node.end(pod));
    };
    return { node, words: ['gc'], again, state: () => snapshot(node) };
  },
};

/** DEL sets the host end of the pod's interface down. */
async function setUp(node: LabNode, { network }: Pod): Promise<void> {
  const index = /eth0@if(\d+)/.exec(await network.must(['ip', '-o', 'link', 'show', 'eth0']))?.[1];
  const links = await node.machine.must(['ip', '-o', 'link']);
  await node.machine.ip(`link set ${new RegExp(`^${index}: ([^@]+)@`, 'm').exec(links)?.[1]} up`);
}

/** How often a command is stopped; `EGRESS_KILLS=all` does it at every request. */
const stops = { INT: 2, KILL: 1 } as const;

describe('Ctrl-C, and a kill, in the middle of', { ...labTest, concurrency: 2 }, () => {
  for (const [name, sceneIn] of Object.entries(scenes)) {
    test(`egress ${name} leave nothing that the next call does not finish`, async () => {
      await using lab = await Lab.create();
      const { node, words, again, state } = await sceneIn(lab);
      const call = (through: readonly string[]): Promise<Outcome> =>
        node.machine.run([...through, egressBinary, ...words]);
      await again();
      const places = await placesIn(call, stops.INT);
      assert.notEqual(places.length, 0);
      const whole = await state();
      for (const signal of ['INT', 'KILL'] as const) {
        for (const place of signal === 'INT' || places.length > stops.INT ? places : places.slice(-stops.KILL)) {
          const when = `${signal} at request ${place}`;
          await again();
          const { code, stdout, stderr } = await call(signalledAt(signal, 'sendto', place));
          if (signal === 'INT') assert.ok(code === 0 || code === 1, `${when}: ${code} ${stdout}${stderr}`);
          const next = await call([]);
          assert.equal(next.code, 0, `${when}: ${next.stdout}${next.stderr}`);
          assertUnchanged(whole, await state(), when);
        }
      }
    });
  }

  test('egress repair end it behind the part that is under way, and say what is left', async () => {
    await using lab = await Lab.create();
    const { node, words, again, state } = await repairScene(lab);
    await again();
    assert.equal((await node.egress('repair')).code, 0);
    const whole = await state();
    await again();
    const interrupted = await node.machine.run([...signalledAt('INT', 'sendto', 3), egressBinary, ...words]);
    assert.equal(interrupted.code, 1);
    assert.match(interrupted.stderr, /^egress: ends as soon as what is under way is done; another signal ends it/m);
    assert.match(interrupted.stderr, /^egress: ended by a signal\. What follows was done; the rest is as it was/m);
    assert.equal((await node.egress('repair')).code, 0);
    assertUnchanged(whole, await state());
  });
});

test('what takes a while says so on a terminal, and leaves no trace there or in a pipe', labTest, async () => {
  await using lab = await Lab.create();
  const node = await lab.node();
  await node.started();
  const words = [egressBinary, 'doctor'];
  const shown = await node.machine.run([tool('python3'), program('terminal.py'), '80', '24', '', '0', ...words]);
  const erase = '\r\x1b[K';
  assert.ok(shown.stdout.startsWith(`${erase}Examining this host …`), shown.stdout);
  const findings = shown.stdout.split(erase).at(-1) ?? '';
  assert.match(stripVTControlCharacters(findings), /^(ok|warning|FAULT) +exits /);
  const piped = await node.machine.run(words);
  assert.ok(!`${piped.stdout}${piped.stderr}`.includes('\x1b'));
});
