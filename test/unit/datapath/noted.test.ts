import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { keyOf } from '../../../src/datapath/difference.ts';
import { needsOf } from '../../../src/datapath/needs.ts';
import { desiredBesideNoted, isNotable, nodePart } from '../../../src/datapath/noted.ts';
import { type HostObject, isOutside } from '../../../src/datapath/objects.ts';
import { attachment, backup, partners, node as plainNode, remote, tunnel } from './samples.ts';

const node: NodeState = {
  ...plainNode,
  exits: [partners, backup, remote],
  tunnel,
  spared: ['10.0.0.0/16', 'fd00::/16', 'fe80::/10'],
};

const isAtInterface = (object: HostObject) =>
  object.kind === 'chain' && object.hook !== undefined && 'device' in object.hook;

/** What no generation of the ruleset tells, or is the pod's alone. */
const isBeside =
  ({ mark }: SteeredAttachment) =>
  (object: HostObject): boolean =>
    isOutside(object) || isAtInterface(object) || (object.kind === 'element' && object.comment === mark);

const byKey = (objects: readonly HostObject[]) => Object.fromEntries(objects.map((object) => [keyOf(object), object]));

const towards = (exit: string) => attachment().matches.map((match) => ({ ...match, exit }));
const sources = { devices: ['veth1'], others: [] };

describe('what is desired is what a note tells, and the rest,', () => {
  for (const [what, pod] of Object.entries({
    'of a pod that is not checked': attachment(),
    'of a checked one': attachment({ sources }),
    'of one with sources of others': attachment({ sources: { devices: ['veth1'], others: ['192.0.2.64/26'] } }),
    'of IPv4 alone': attachment({ addresses: ['10.0.0.180'], matches: towards(backup.name), sources }),
    'through the tunnel': attachment({ matches: towards(remote.name), sources }),
    'that all is dropped of': attachment({ matches: towards('drop'), sources }),
  })) {
    test(what, () => {
      const needs = needsOf(node, pod);
      assert.ok(isNotable(needs));
      const all = desired(node, needs);
      const rest = desiredBesideNoted(node, needs);
      assert.deepEqual(byKey(rest), byKey(all.filter(isBeside(pod))));
      // Another pod with the same program has the same told of it.
      const other = { ...pod, mark: 'pods/other/eth0', addresses: ['10.0.0.77', 'fd00::77'] };
      const told = (one: SteeredAttachment) =>
        byKey(desired(node, needsOf(node, one)).filter((o) => !isBeside(one)(o)));
      assert.deepEqual(
        told({ ...other, ...(pod.sources && { sources: { devices: ['veth9'], others: [] } }) }),
        told(pod),
      );
    });
  }
});

test('the node’s part is all that the told part of a program depends on', () => {
  const [told, pod] = [nodePart(node), attachment({ sources })];
  const part = (of: NodeState) => byKey(desired(of, needsOf(of, pod)).filter((object) => !isBeside(pod)(object)));
  for (const changed of [
    { ...node, fwmark: 0x200000 },
    { ...node, inside: ['10.0.0.0/8'] },
    { ...node, exits: [{ ...partners, device: 'eth7' }, backup, remote] },
    { ...node, exits: [{ ...partners, onUnavailable: 'node' as const }, backup, remote] },
  ]) {
    assert.notDeepEqual(part(changed), part(node));
    assert.notEqual(nodePart(changed), told);
  }
  const kept = { ...node, addresses: [{ device: 'eth1', address: '192.0.2.1' }] };
  assert.deepEqual(part(kept), part(node));
  assert.equal(nodePart(kept), told);
});

test('no note is of pods with ports or connections of their own', () => {
  assert.equal(isNotable(needsOf(node, attachment({ holds: true }))), false);
  const ports = [{ exit: partners.name, first: 2048, last: 4095 }];
  assert.equal(isNotable(needsOf(node, attachment({ ports }))), false);
  assert.equal(isNotable(needsOf(node, attachment(), [], [attachment()])), false);
});
