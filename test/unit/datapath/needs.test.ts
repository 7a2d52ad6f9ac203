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
    assert.deepEqual(needsOf(full, pod), { exits: [backup], attachment: pod, ports: [] });
  });

  test('the tunnel with an exit that goes through it, but never the gateway', () => {
    const pod = using('backup', 'remote');
    assert.deepEqual(needsOf(full, pod), { exits: [remote, backup], attachment: pod, ports: [], tunnel });
  });

  test('no exit when it only drops', () => {
    const pod = using('drop');
    assert.deepEqual(needsOf(full, pod), { exits: [], attachment: pod, ports: [] });
  });
});

test('a node needs all its exits, the tunnel and what is the gateway’s own, where it has them', () => {
  assert.deepEqual(needsOfNode(full, []), { exits: full.exits, ports: [], tunnel, gateway });
  assert.deepEqual(needsOfNode(node, []), { exits: node.exits, ports: [] });
});

describe('ports of its own', () => {
  const ports = [
    { exit: backup.name, first: 1024, last: 2047 },
    { exit: 'gone', first: 2048, last: 3071 },
  ];
  const own = { id: backup.id, address: '10.0.0.174', first: 1024, last: 2047 };

  test('are needed for each address of a family that the exit has', () => {
    const pod = { ...using('backup'), addresses: ['10.0.0.174', 'fd00::ae'], ports };
    const families = backup.ways.map(({ family }) => family);
    assert.deepEqual(
      needsOf(node, pod).ports,
      [own, { ...own, address: 'fd00::ae' }]
        .filter((_, i) => families.includes(i === 0 ? 4 : 6))
        .map((block) => ({ ...block, mark: pod.mark })),
    );
  });

  test('of others follow their exits as well', () => {
    const other = { ...using('backup'), mark: 'net/other/eth0', addresses: ['10.0.0.175'], ports };
    const expected = [{ ...own, address: '10.0.0.175', mark: 'net/other/eth0' }];
    assert.deepEqual(needsOf(node, using('backup'), [other]).ports, expected);
    assert.deepEqual(needsOfNode(node, [other]).ports, expected);
  });
});
