import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import type { AgentSurroundings, Seen } from '../../../src/agent/agent.ts';
import { Metrics } from '../../../src/agent/metrics.ts';
import { Monitor } from '../../../src/agent/monitor.ts';
import { added, type FakeMachine, newMachine, noCounters } from '../support/fake-machine.ts';

const counter = (packets: number) => ({ packets: BigInt(packets), bytes: BigInt(100 * packets) });

const noChains: Seen['chains'] = { own: new Map(), present: [], areDraining: false };

const seen: Seen = {
  round: {
    ...{ adopted: [], refused: [], collected: ['pods/x/eth0'], failures: ['c'], isWhole: true, isConfigured: true },
    changes: [{ verb: 'add', object: { kind: 'table', name: 'cni-egress' } as never }],
  },
  ...{ configuration: undefined, seconds: 0.03, isReadable: true, missingRights: [], isApplied: false },
  chains: noChains,
};

/** A monitor of a machine at a port that was free a moment ago, and what it answers. */
async function monitored(t: TestContext, machine: FakeMachine, pods = 10) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  await once(probe.close(), 'close');
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const surroundings: AgentSurroundings = {
    openMachine: async () => machine,
    readFile: () => undefined,
    log: { debug: () => {}, info: () => resolve(), warn: () => {} },
    report: reject,
    findMissingRights: () => [],
    now: () => performance.now(),
  };
  const places = { confDir: '/nowhere', dataDir: machine.dataDir, resultsDir: '/nowhere' };
  const monitor = new Monitor({ listen: { host: '127.0.0.1', port }, pods, version: '1.2.3' }, places, surroundings);
  t.after(() => monitor[Symbol.dispose]());
  await promise;
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const value = async (series: string) => {
    const { text } = await ask('/metrics');
    const line = text.split('\n').find((line) => line.startsWith(`cni_egress_${series} `));
    return line && Number(line.split(' ').at(-1));
  };
  return { monitor, ask, value };
}

describe('what a monitor shows', () => {
  test('are rounds and what they did, once it is the agent of the node', async (t) => {
    const { monitor, ask, value } = await monitored(t, newMachine(t));
    assert.deepEqual([(await ask('/healthz')).status, (await ask('/readyz')).status], [200, 503]);
    monitor.began();
    monitor.failed();
    assert.equal((await ask('/readyz')).status, 503);
    await monitor.ended(seen);
    assert.deepEqual(await ask('/readyz'), { status: 200, text: 'ok\n' });
    assert.deepEqual(
      await Promise.all(
        [
          ...['build_info{version="1.2.3"}', 'rounds_total{result="failed"}', 'rounds_total{result="succeeded"}'],
          ...['restored_objects_total{kind="table"}', 'restored_objects_total{kind="rule"}', 'failures'],
          ...['collected_attachments_total', 'round_duration_seconds_sum', 'configuration_readable'],
        ].map(value),
      ),
      [1, 1, 1, 1, 0, 1, 1, 0.03, 1],
    );
    await monitor.ended({ ...seen, isApplied: true, isReadable: false });
    assert.equal(await value('applied_objects_total{kind="table"}'), 1);
    assert.deepEqual([await value('configuration_readable'), (await ask('/readyz')).status], [0, 503]);
  });

  test('is what the kernel counts since then, of no more pods than are wanted', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.6');
    machine.host.counters = noCounters;
    const { monitor, value } = await monitored(t, machine, 1);
    await monitor.ended(seen);
    const pods = new Map([
      ['pods/a/eth0', counter(3)],
      ['pods/b/eth0', counter(9)],
    ]);
    machine.host.counters = { ...noCounters, steered: new Map([[7, counter(12)]]), guarded: counter(2), pods };
    const shown = ['exit_steered_packets_total{exit="partners"}', 'exit_steered_bytes_total{exit="partners"}'];
    assert.deepEqual(await Promise.all(shown.map(value)), [12, 1200]);
    assert.equal(await value('dropped_packets_total{reason="guard"}'), 2);
    assert.deepEqual([await value('attachments'), await value('policy_pods{policy="partners"}')], [2, 2]);
    assert.equal(await value('pods_omitted'), 1);
  });

  test('stays while a table is missing, and goes on when it is back', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const counted = (packets: number) => ({ ...noCounters, pods: new Map([['pods/a/eth0', counter(packets)]]) });
    machine.host.counters = counted(0);
    const { monitor, value } = await monitored(t, machine);
    await monitor.ended(seen);
    machine.host.counters = counted(3);
    const series = 'pod_packets_total{pod_namespace="default",pod_name="pod-a"}';
    assert.equal(await value(series), 3);
    const hasTable = machine.host.hasTable;
    machine.host.hasTable = async () => false;
    assert.deepEqual([await value(series), await value('pods_omitted')], [3, 0]);
    machine.host.hasTable = hasTable;
    machine.host.counters = counted(2);
    assert.equal(await value(series), 5);
  });

  test('says of a round of which a part failed that it failed, and that the node is as ready as before', async (t) => {
    const { monitor, ask, value } = await monitored(t, newMachine(t));
    monitor.began();
    await monitor.ended({ ...seen, round: { ...seen.round, isWhole: false } });
    assert.deepEqual([await value('rounds_total{result="failed"}'), (await ask('/readyz')).status], [1, 503]);
    await monitor.ended(seen);
    await monitor.ended({ ...seen, round: { ...seen.round, isWhole: false } });
    assert.deepEqual([await value('rounds_total{result="failed"}'), (await ask('/readyz')).status], [2, 200]);
    monitor.waits();
    assert.equal((await ask('/readyz')).text, 'It waits for another agent of this node to end.\n');
  });

  test('is what is known, where the kernel cannot be asked', async (t) => {
    const machine = newMachine(t);
    const { value } = await monitored(t, machine);
    machine.host.hasTable = async () => {
      throw new Error('ENOBUFS');
    };
    assert.equal(await value('metrics_errors_total'), 1);
    assert.equal(await value('build_info{version="1.2.3"}'), 1);
  });
});

test('each format of the page has its names, whichever was asked for before', async () => {
  const metrics = new Metrics();
  metrics.add('adopted_pods_total', {}, 2);
  const [prometheus, openMetrics] = [await metrics.page('*/*'), await metrics.page('application/openmetrics-text')];
  assert.match(prometheus.text, /^# TYPE cni_egress_adopted_pods_total counter\ncni_egress_adopted_pods_total 2$/m);
  assert.match(openMetrics.text, /^# TYPE cni_egress_adopted_pods counter\ncni_egress_adopted_pods_total 2$/m);
  assert.deepEqual(await metrics.page('*/*'), prometheus);
  assert.deepEqual(await metrics.page('application/openmetrics-text'), openMetrics);
  assert.match(prometheus.type, /^text\/plain; version=0\.0\.4/);
});
