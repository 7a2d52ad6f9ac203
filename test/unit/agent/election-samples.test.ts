import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ElectionSamples } from '../../../src/agent/election-samples.ts';
import { pair } from '../election/segment.ts';

test('metrics of elections have a state for each exit, and grow on when the process that elects begins anew', async () => {
  const { world, first, second } = await pair();
  const [gauges, counters] = [new Map<string, number>(), new Map<string, number>()];
  const keyOf = (name: string, labels: object) => `${name} ${Object.values(labels).join(' ')}`;
  const samples = new ElectionSamples({
    replace: (name, all) => {
      for (const { labels, value } of all) gauges.set(keyOf(name, labels), value);
    },
    add: (name, labels, value = 1) => {
      const key = keyOf(name, labels);
      counters.set(key, (counters.get(key) ?? 0) + value);
    },
  });
  samples.take(second.elections.status);
  assert.deepEqual(
    [
      gauges.get('vrrp_state internet backup'),
      gauges.get('vrrp_state internet active'),
      gauges.get('vrrp_holds internet'),
    ],
    [1, 0, 0],
  );
  first.isPlugged = false;
  first.isAlive = false;
  second.hear({ vrid: 51, priority: 9, interval: 10, addresses: ['192.0.2.99'] }, '192.0.2.9', 4);
  await world.pass(1_000);
  samples.take(second.elections.status);
  samples.take(second.elections.status);
  assert.deepEqual([gauges.get('vrrp_state internet active'), gauges.get('vrrp_holds internet')], [1, 1]);
  assert.equal(counters.get('vrrp_transitions_total internet'), 1);
  assert.equal(counters.get('vrrp_bad_packets_total eth1 foreign'), 1);
  assert.equal(counters.get('vrrp_bad_packets_total eth1 ttl'), 0);
  samples.take({
    isReady: true,
    routers: second.elections.status.routers.map((router) => ({ ...router, transitions: 0 })),
    bad: [],
  });
  samples.take(second.elections.status);
  assert.equal(counters.get('vrrp_transitions_total internet'), 2);
});
