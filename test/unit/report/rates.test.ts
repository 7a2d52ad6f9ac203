import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Look, lookOf, parseLook, withRates } from '../../../src/report/rates.ts';
import type { Status } from '../../../src/report/status.ts';

const counter = (packets: number) => ({ packets: BigInt(packets), bytes: BigInt(100 * packets) });

const status = (packets: number): Status => ({
  exits: [{ name: 'partners', id: 7, device: 'eth1', health: 'works', ways: [], steered: counter(packets) }],
  pods: [
    {
      ...{ network: 'pods', containerId: 'a', ifname: 'eth0', pod: {}, addresses: [], exits: [], policies: [] },
      ...counter(2 * packets),
    },
  ],
});

const look = (packets: number, uptime: number, boot = 'one'): Look => lookOf(status(packets), { boot, uptime });

describe('rates', () => {
  test('are what went by since the look before, in a second', () => {
    const { rateSeconds, exits, pods } = withRates(status(30), look(10, 100), look(30, 104));
    assert.equal(rateSeconds, 4);
    assert.deepEqual(
      [exits[0]?.rate, pods[0]?.rate],
      [
        { packets: 5, bytes: 500 },
        { packets: 10, bytes: 1000 },
      ],
    );
  });

  test('are of an exit that was not there, or has counted from 0 since, none', () => {
    const { exits } = withRates(status(5), look(10, 100), look(5, 104));
    assert.equal(exits[0]?.rate, undefined);
    const fresh = withRates(status(5), { ...look(0, 100), exits: {} }, look(5, 104));
    assert.equal(fresh.exits[0]?.rate, undefined);
    assert.deepEqual(fresh.pods[0]?.rate, { packets: 2.5, bytes: 250 });
  });

  test('are none after a start of the machine, without a look before, and at once after it', () => {
    for (const before of [undefined, look(1, 100, 'another'), look(1, 200), look(1, 104)]) {
      assert.deepEqual(withRates(status(9), before, look(9, 104)), status(9));
    }
  });

  test('count from a look that was written down, and from no other text', () => {
    assert.deepEqual(parseLook(JSON.stringify(look(7, 3))), look(7, 3));
    for (const text of [undefined, '', '{', '{}', '[]', '{"boot":1}']) assert.equal(parseLook(text), undefined);
  });
});
