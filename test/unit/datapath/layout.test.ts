import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { families } from '../../../src/base/address.ts';
import * as layout from '../../../src/datapath/layout.ts';

const names = (sets: readonly { readonly name: string }[]) => sets.map(({ name }) => name).sort();

describe('the tables of our names', () => {
  test('give the sets of pods to pods, and to nobody else', () => {
    assert.deepEqual(names(families.flatMap(layout.podSets)), layout.setsOf('pod').toSorted());
  });

  test('know an owner of every set that gets its elements one by one', () => {
    const owned = (['base', 'pod', 'tunnel', 'gateway', 'interfaces'] as const).flatMap(layout.setsOf);
    assert.deepEqual(
      names(layout.nodeSets).filter((name) => !owned.includes(name)),
      [],
    );
  });

  test('name no chain and no set twice', () => {
    const owners = ['base', 'pod', 'tunnel', 'gateway', 'interfaces', 'earlier versions'] as const;
    for (const all of [owners.flatMap(layout.chainsOf), owners.flatMap(layout.setsOf)])
      assert.equal(new Set(all).size, all.length);
  });
});

describe('the key of an element, for a person,', () => {
  const lane = layout.laneKey(7, 'eth1', '192.168.0.245');
  for (const [set, key, text] of [
    ['pods4', layout.addressHex('10.0.0.5'), '10.0.0.5'],
    ['steered6', layout.addressHex('fd00::5'), 'fd00::5'],
    ['returns4', layout.addressHex('192.168.0.245'), '192.168.0.245'],
    ['uplinks', Buffer.from('eth1'.padEnd(16, '\0')).toString('hex'), 'eth1'],
    ['tunnels', layout.exitKey(300), '300'],
    ['snat4', layout.exitDeviceKey(7, 'eth1'), '7 . eth1'],
    ['sent', layout.exitDeviceKey(7, 'abcdefghijklmno'), '7 . abcdefghijklmno'],
    ['blocks6', layout.exitAddressKey(7, 'fd00::5'), '7 . fd00::5'],
    ['lanes4', lane, '7 . eth1 . 192.168.0.245'],
    ['exit-7-slots4', layout.addressHex('0.0.0.63'), '0.0.0.63'],
    ['exit-7-flows6', '003f', '63'],
  ] as const)
    test(`of ${set} is ${text}`, () => assert.equal(layout.keyText(set, key), text));

  test('of a set that is none of ours is what it is', () => {
    for (const set of ['theirs', 'pods', 'exit-x-slots4']) assert.equal(layout.keyText(set, lane), lane);
  });
});

test('README.md says what each chain, set and map of ours holds', () => {
  const words = readFileSync(join(import.meta.dirname, '../../../src/datapath/README.md'), 'utf8');
  const fixed = (names: Readonly<Record<string, unknown>>) =>
    Object.values(names).filter((name) => typeof name === 'string');
  const perFamily = (['base', 'pod', 'tunnel', 'gateway', 'interfaces', 'earlier versions'] as const)
    .flatMap((owner) => layout.setsOf(owner))
    .filter((name) => !name.endsWith('6'));
  const missing = [...fixed(layout.chainNames), ...perFamily].filter((name) => !words.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});
