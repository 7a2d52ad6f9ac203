import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Gateway } from '../../../src/datapath/attachment.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { difference, keyOf } from '../../../src/datapath/difference.ts';
import { needsOfNode } from '../../../src/datapath/needs.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { backup, gateway as gatewayOfTwoFamilies, partners, node as plainNode, tunnel } from './samples.ts';

const golden = (name: string) => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');

const node = { ...plainNode, tunnel };

/** The commands that a gateway takes on a node whose pods use the exits and the tunnel already. */
function commands(gateway: Gateway): string {
  const kernel = new FakeKernel();
  const withGateway = { ...node, gateway };
  kernel.apply(difference(desired(node, needsOfNode(node, [])), []));
  const needs = needsOfNode(withGateway, []);
  const wanted = desired(withGateway, needs).filter(({ kind }) => kind !== 'sysctl'); // they are compared elsewhere
  return printChanges(difference(wanted, kernel.observe(withGateway, needs, true)));
}

describe('a gateway takes', () => {
  test('its addresses and what serves its exits, and for answers through the tunnel the ways to the pods', () => {
    assert.equal(commands(gatewayOfTwoFamilies), golden('gateway'));
  });

  test('no ways to pods when answers go directly', () => {
    assert.equal(commands({ ...gatewayOfTwoFamilies, replies: [] }), golden('gateway-direct'));
  });

  test('addresses of their full length, of which those that somebody else gave are none', () => {
    const owned = [{ device: 'eth1', address: 'fd00:168::245' }];
    const objects = desired(node, needsOfNode({ ...node, gateway: { ...gatewayOfTwoFamilies, owned } }, []));
    assert.deepEqual(
      objects.filter((object) => object.kind === 'address' && object.device !== 'egress0'),
      [{ kind: 'address', device: 'eth1', address: 'fd00:168::245', prefixLength: 128, scope: 'global' }],
    );
  });
});

describe('what a gateway takes', () => {
  const both = { ...gatewayOfTwoFamilies, served: [partners.id, backup.id] };
  const objects = desired({ ...node, gateway: both }, needsOfNode({ ...node, gateway: both }, []));

  test('has no two objects of one key', () => {
    const keys = objects.map(keyOf);
    assert.deepEqual(keys, [...new Set(keys)]);
  });

  test('can be written at once: nothing is named before it is there', () => {
    new FakeKernel().apply(difference(objects, []));
  });

  test('leads each exit that it serves to that exit’s chain', () => {
    const served = objects.flatMap((object) =>
      object.kind === 'element' && object.set === 'served' ? [[object.key, object.verdict]] : [],
    );
    assert.deepEqual(served, [
      ['07000000', { code: 'goto', chain: 'exit-7' }],
      ['2c010000', { code: 'goto', chain: 'exit-300' }],
    ]);
  });
});
