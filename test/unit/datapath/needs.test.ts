import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeState } from '../../../src/datapath/attachment.ts';
import { needsOf, needsOfNode } from '../../../src/datapath/needs.ts';
import type { Match } from '../../../src/policy/match.ts';
import { attachment, backup, gateway, node, partners, remote, tunnel } from './samples.ts';

/** A node with everything that a node can have. */
const full: NodeState = { ...node, exits: [partners, remote, backup], tunnel, gateway };

const using = (...exits: string[]) =>
  attachment({
    matches: exits.map((exit): Match => ({ policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: [], exit })),
  });

describe('an attachment needs', () => {
  test('the exits that its matches name, the built-in ones left out, and nothing of the tunnel', () => {
    const pod = using('backup', 'drop', 'node', 'backup');
    assert.deepEqual(needsOf(full, pod), { exits: [backup], attachment: pod });
  });

  test('the tunnel with an exit that goes through it, but never the gateway', () => {
    const pod = using('backup', 'remote');
    assert.deepEqual(needsOf(full, pod), { exits: [remote, backup], attachment: pod, tunnel });
  });

  test('no exit when it only drops', () => {
    const pod = using('drop');
    assert.deepEqual(needsOf(full, pod), { exits: [], attachment: pod });
  });
});

test('a node needs all its exits, the tunnel and what is the gateway’s own, where it has them', () => {
  assert.deepEqual(needsOfNode(full), { exits: full.exits, tunnel, gateway });
  assert.deepEqual(needsOfNode(node), { exits: node.exits });
});
