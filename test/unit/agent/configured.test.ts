import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { ConfiguredNode } from '../../../src/agent/configured.ts';
import { AgentNode, otherPolicies, policyText } from '../support/agent-node.ts';
import { added, newMachine } from '../support/fake-machine.ts';

/** A node, and what its chains say each time that somebody looks. */
function configured(t: TestContext, more: object = {}) {
  const node = new AgentNode(t, newMachine(t));
  node.policy();
  const configuredNode = new ConfiguredNode({ ...node.places, ...more }, node.surroundings.readFile);
  return { node, look: () => configuredNode.look(node.machine.store) };
}

describe('what the chains of a node say', () => {
  test('is judged again only when a text is another one', (t) => {
    const { node, look } = configured(t);
    node.chain();
    const first = look().whole();
    assert.equal(look().whole(), first);
    node.policy(policyText(otherPolicies));
    const second = look().whole();
    assert.notEqual(second, first);
    assert.equal(second.policies[0]?.exit, 'backup');
    assert.equal(look().whole(), second);
  });

  test('is read once in a look, for the node as for its pods', (t) => {
    const { node, look } = configured(t);
    node.chain();
    const { whole, own, of } = look();
    const [entry] = [...own.values()];
    assert.ok(entry);
    assert.equal(of(entry), whole());
    assert.equal(node.read.filter((path) => path.endsWith('.conflist')).length, 1);
  });

  test('is one for networks with the same options, and joins the exits of others', (t) => {
    const { node, look } = configured(t);
    node.chain({}, 'a');
    node.chain({}, 'b');
    const { own, of } = look();
    const [a, b] = [own.get('a'), own.get('b')];
    assert.ok(a && b);
    assert.equal(of(a), of(b));
    node.chain({ exits: [{ name: 'third', id: 9, interface: 'eth2', addresses: ['172.19.0.5'] }] }, 'c');
    const exits = look()
      .whole()
      .exits.map(({ name }) => name);
    assert.deepEqual(exits, ['partners', 'backup', 'third']);
  });

  test('goes by the policy file alone without any entry, and that must be there', (t) => {
    const { node, look } = configured(t, { policy: '/nowhere/policy.json' });
    assert.throws(() => look().whole(), /\/nowhere\/policy.json does not exist/);
    assert.equal(look().policyFile, '/nowhere/policy.json');
    const own = new ConfiguredNode({ ...node.places, policy: node.at('policy.json') }, node.surroundings.readFile);
    assert.equal(own.look(node.machine.store).whole().exits.length, 2);
  });

  test('has the policy file and the address of the command line, for pods, too', (t) => {
    const { node, look } = configured(t, { policy: '/nowhere', node: '192.0.2.9' });
    node.chain();
    const [entry] = [...look().own.values()];
    assert.ok(entry);
    assert.throws(() => look().of(entry), /\/nowhere does not exist/);
    const told = new ConfiguredNode({ ...node.places, node: '192.0.2.9' }, node.surroundings.readFile);
    assert.equal(told.look(node.machine.store).of(entry).node, '192.0.2.9');
  });

  test('leaves out chains whose pods are kept elsewhere, and refuses to go on when all are', (t) => {
    const { node, look } = configured(t);
    node.chain({ dataDir: '/var/lib/other' }, 'a');
    assert.throws(
      () => look().whole(),
      /network "a" says that its pods are kept in \/var\/lib\/other, not in .*--data-dir/,
    );
    node.chain({ dataDir: `${node.machine.dataDir}/` }, 'b');
    assert.equal(look().whole().exits.length, 2);
    assert.deepEqual([...look().own].filter(([, entry]) => entry !== undefined).length, 1);
  });

  test('is missing when a file at the default place is gone that pods are steered by', async (t) => {
    const { node, look } = configured(t);
    node.chain({ policyFile: undefined });
    assert.deepEqual(look().whole().exits, []);
    await added(node.machine, 'a', '10.0.0.5');
    assert.throws(() => look().whole(), /Policy file \/etc\/cni\/egress\/policy.json is gone/);
  });

  test('tells the policy file to follow, whatever else is wrong', (t) => {
    const { node, look } = configured(t);
    node.chain({ exits: 'no list' });
    assert.throws(() => look().whole(), /exits/);
    assert.equal(look().policyFile, node.at('policy.json'));
    rmSync(node.at('net.d/pods.conflist'));
    assert.equal(look().policyFile, '/etc/cni/egress/policy.json');
  });
});
