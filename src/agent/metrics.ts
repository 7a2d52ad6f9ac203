import { Counter, Gauge, Histogram, type PrometheusContentType, Registry, type RegistryContentType } from 'prom-client';
import { fullName, type MetricName, metricTable } from './metric-table.ts';
import type { Labels } from './samples.ts';

/** A value of a metric. */
export interface Point {
  readonly labels: Labels;
  readonly value: number | bigint;
}

type Known = Readonly<Record<MetricName, Counter | Gauge | Histogram>>;

/** A registry of Prometheus' client, with all metrics. */
interface Book {
  readonly registry: Registry<RegistryContentType>;
  readonly known: Known;
}

/**
 * The metrics of the agent, with Prometheus' client. Each format of the page has metrics of its own: printed as OpenMetrics
 * they get other names (prom-client 15.1.3, registry.js), which they keep.
 */
export class Metrics {
  readonly #prometheus = newBook(Registry.PROMETHEUS_CONTENT_TYPE);
  readonly #openMetrics = newBook(Registry.OPENMETRICS_CONTENT_TYPE);

  /** Adds to a counter. */
  add(name: MetricName, labels: Labels = {}, value = 1): void {
    for (const metric of this.#countable(name)) metric.inc(labels, value);
  }

  /** Adds an observation to a histogram. */
  observe(name: MetricName, labels: Labels, value: number): void {
    for (const metric of this.#each(name)) if (metric instanceof Histogram) metric.observe(labels, value);
  }

  /** Puts values in the place of all that a counter or gauge had. Those with the same labels add up. */
  replace(name: MetricName, points: readonly Point[]): void {
    for (const metric of this.#countable(name)) {
      metric.reset();
      for (const { labels, value } of points) metric.inc(labels, Number(value));
    }
  }

  #each(name: MetricName): readonly (Counter | Gauge | Histogram)[] {
    return [this.#prometheus, this.#openMetrics].map(({ known }) => known[name]);
  }

  #countable(name: MetricName): (Counter | Gauge)[] {
    return this.#each(name).flatMap((metric) => (metric instanceof Histogram ? [] : metric));
  }

  /** The page: that of OpenMetrics for who accepts it, that of Prometheus for all others. */
  async page(accept: string): Promise<{ readonly type: string; readonly text: string }> {
    const { registry } = accept.includes('application/openmetrics-text') ? this.#openMetrics : this.#prometheus;
    return { type: registry.contentType, text: await registry.metrics() };
  }
}

function newBook(type: RegistryContentType): Book {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(type);
  const names = Object.keys(metricTable) as MetricName[];
  return { registry, known: Object.fromEntries(names.map((name) => [name, made(name, registry)])) as Known };
}

function made(name: MetricName, registry: Registry<RegistryContentType>): Counter | Gauge | Histogram {
  const { type, help, labels = [], buckets = [] } = metricTable[name];
  const registers = [registry as Registry<PrometheusContentType>];
  const options = { name: fullName(name), help, labelNames: labels, registers };
  if (type === 'histogram') return new Histogram({ ...options, buckets: [...buckets] });
  return type === 'counter' ? new Counter(options) : new Gauge(options);
}
