import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { RunningAgent } from '../support/agent.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { alertExpressions, alertsFile, dashboardQueries } from '../support/monitoring.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { Prometheus } from '../support/prometheus.ts';
import { must, run } from '../support/run.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const logFile = '/var/lib/cni/egress.log';
const exitAddresses: readonly string[] = partners.addresses;
const left = 'cni_egress_exit_left_packets_total{exit="partners"}';

describe('the metrics of an agent', labTest, () => {
  test('count what leaves, though its tables are deleted, and after the agent’s own end, and what calls of the plugin took', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: egressEntry({ logFile }) });
    const first = await RunningAgent.start(node);
    const pod = await node.started();
    const sent = await sentBy(node, pod);
    const before = await first.metrics();
    assert.deepEqual([before.get(left), before.get(countOf('ADD'))], [sent, 1]);
    await node.machine.must(['nft', 'delete table inet cni-egress; delete table netdev cni-egress']);
    await first.line('put back what somebody had taken or changed');
    const after = await sentBy(node, pod);
    const then = await first.metrics();
    assert.equal(then.get(left), sent + after);
    assert.equal(then.get('cni_egress_restored_objects_total{kind="table"}'), 2);
    assert.deepEqual(fallen(before, then), []);
    const mended = /\nIt mended last at \S+ \S+ UTC: table \w+ cni-egress is missing, and \d+ more\.\n/;
    assert.match(await status(node), new RegExp(`\nAn agent runs since .*, and looked last at .*\\.${mended.source}`));
    await first.end('SIGKILL');
    assert.match(await status(node), new RegExp(`\nNo agent runs; one looked last at .*\\.${mended.source}`));
    const second = await RunningAgent.start(node);
    assert.equal((await second.metrics()).get(left), 0);
    const last = await sentBy(node, pod);
    assert.equal((await second.metrics()).get(left), last);
    await node.end(pod);
    assert.equal((await second.metrics()).get(countOf('DEL')), 1);
  });

  test('are what Prometheus reads, and what the dashboard asks for: of a gateway, and of a node of its pods', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.write({ egress: { type: 'egress', policyFile, logFile } });
    const [gateway, other, worker] = await Promise.all(cluster.all.map((node) => RunningAgent.start(node)));
    assert.ok(gateway && other && worker);
    const elected = 'this node has the exit’s addresses now';
    await Promise.race([gateway, other].map((agent) => agent.line(elected)));
    await Promise.all(
      cluster.workers.map(async (node) => {
        const pod = await node.started();
        // The gateway may be just about to serve.
        while (!isDeepStrictEqual(await pod.askEach(), internet.addresses));
      }),
    );
    const page = await worker.page('/metrics');
    const check = await run([tool('promtool'), 'check', 'metrics'], { stdin: page });
    assert.deepEqual([check.code, check.stdout, check.stderr], [0, '', '']);
    const openMetrics = await worker.page('/metrics', 'application/openmetrics-text');
    assert.match(openMetrics, /^# TYPE cni_egress_rounds counter\ncni_egress_rounds_total\{[^}]*\} \d+$/m);
    assert.match(openMetrics, /\n# EOF\n$/);
    assert.deepEqual([await worker.page('/healthz'), await worker.page('/readyz')], ['ok\n', 'ok\n']);
    const cases = join(lab.folder, 'dashboard.yaml');
    await writeFile(cases, JSON.stringify(queriesOn(await gateway.metrics(), await worker.metrics())));
    await must([tool('promtool'), 'test', 'rules', cases]);
  });
});

test(
  'a real Prometheus reads the pages of a gateway and of a node of its pods, answers all that the dashboard asks, and judges the alert rules',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.write({ egress: { type: 'egress', policyFile, logFile } });
    const [worker] = cluster.workers;
    assert.ok(worker);
    const targets = cluster.all.map((node) => `${cluster.end(node)}:14597`);
    const agents = await Promise.all(
      cluster.all.map((node, i) => RunningAgent.start(node, '--metrics', targets[i] ?? '')),
    );
    await Promise.race(agents.map((agent) => agent.line('this node has the exit’s addresses now')));
    const pod = await worker.started();
    while ((await pod.ask('udp', world.service[0])) === 'nothing');
    const prometheus = await Prometheus.start(worker, targets, alertsFile);
    await prometheus.found('sum_over_time(up{job="cni-egress"}[5m]) >= 2', targets.length);
    const queries = dashboardQueries.filter((each) => !neverThere.test(each));
    assert.deepEqual(await prometheus.unanswered(queries), []);
    const rules = await prometheus.rules();
    assert.equal(rules.length, alertExpressions.length);
    assert.deepEqual(
      rules.filter(({ health }) => health !== 'ok'),
      [],
    );
  },
);

test('the alert rules are raised when they should be, and not otherwise', labTest, async () => {
  await must([tool('promtool'), 'check', 'rules', alertsFile]);
  await must([tool('promtool'), 'test', 'rules', join(import.meta.dirname, 'alerts.yaml')]);
});

const countOf = (command: string) => `cni_egress_call_duration_seconds_count{command="${command}"}`;

const status = async (node: LabNode): Promise<string> => (await node.egress('status')).stdout;

/** Has a pod ask by UDP, and returns how many packets were seen to leave with the addresses of the exit. */
async function sentBy(node: LabNode, pod: Pod): Promise<number> {
  const capture = await node.capture();
  assert.deepEqual(await pod.askEach('udp'), partners.addresses);
  const packets = await capture.stop();
  const ours = packets.filter(({ protocol, source }) => protocol === 'udp' && exitAddresses.includes(source));
  assert.ok(ours.length >= 2);
  return ours.length;
}

/** Counters that show less than before. */
const fallen = (before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): string[] =>
  [...before].filter(([name, value]) => /_total\b/.test(name) && (now.get(name) ?? 0) < value).map(([name]) => name);

/** What never failed in the lab has no series. */
const neverThere = /call_errors_total/;

/** Tests of promtool: each query of the dashboard finds series among those of pages that are read again and again. */
function queriesOn(...pages: readonly ReadonlyMap<string, number>[]) {
  const series = pages.flatMap((page, instance) =>
    [...page].map(([name, value]) => ({ series: onInstance(name, instance), values: `${value}x10` })),
  );
  const queries = dashboardQueries.filter((query) => !neverThere.test(query));
  const found = (query: string) => ({
    expr: `count(${query}) > bool 0`,
    eval_time: '9m',
    exp_samples: [{ labels: '{}', value: 1 }],
  });
  return { tests: [{ interval: '1m', input_series: series, promql_expr_test: queries.map(found) }] };
}

/** With the labels that Prometheus adds. */
const onInstance = (name: string, instance: number): string => {
  const [metric = '', labels = ''] = name.replace('}', '').split('{');
  return `${metric}{${[labels, `instance="${instance}"`, 'job="egress"'].filter((part) => part !== '').join(',')}}`;
};
