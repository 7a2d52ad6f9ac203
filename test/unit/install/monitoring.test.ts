import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fullName, type MetricName, metricTable } from '../../../src/agent/metric-table.ts';
import { alertExpressions, dashboard, dashboardQueries, metricsIn } from '../../support/monitoring.ts';

const names = Object.keys(metricTable) as MetricName[];

/** The names of series on the page. */
const series = new Set(
  names.flatMap((name) => {
    const parts = metricTable[name].type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    return parts.map((part) => `${fullName(name)}${part}`);
  }),
);

const unknown = (expressions: readonly string[]) => [...metricsIn(expressions)].filter((name) => !series.has(name));

describe('dashboard and alert rules', () => {
  test('ask only for metrics that the agent has', () => {
    assert.ok(dashboardQueries.length > 20 && alertExpressions.length > 10);
    const definitions = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
    assert.deepEqual(unknown([...dashboardQueries, ...definitions]), []);
    assert.deepEqual(unknown(alertExpressions), []);
  });

  test('leave no variable of Grafana in a query but those that the dashboard has', () => {
    assert.deepEqual(
      dashboardQueries.filter((query) => query.includes('$')),
      [],
    );
  });

  test('show every metric on the dashboard or have a rule for it, but for those named here', () => {
    const used = metricsIn([...dashboardQueries, ...alertExpressions]);
    const base = new Set([...used].map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    assert.deepEqual(
      names.filter((name) => !base.has(fullName(name))),
      [
        'exit_steered_bytes_total',
        'exit_tunnelled_bytes_total',
        'exit_served_bytes_total',
        'dropped_bytes_total',
        'unmarked_bytes_total',
        'call_logs',
        'metrics_errors_total',
      ],
    );
  });
});

describe('the names of metrics', () => {
  test('follow the conventions: a counter ends in _total, no other does, and units are base units', () => {
    for (const name of names) {
      assert.match(name, /^[a-z]+(_[a-z]+)+$|^attachments$|^failures$/);
      assert.equal(metricTable[name].type === 'counter', name.endsWith('_total'), name);
      assert.doesNotMatch(name, /milli|_ms\b|kilo|_kb/);
      assert.match(metricTable[name].help, /\.$/);
    }
  });
});
