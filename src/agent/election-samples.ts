import type { ElectionStatus } from '../election/elections.ts';
import type { MetricName } from './metric-table.ts';
import type { Labels } from './samples.ts';

/** Where metrics are kept. */
interface Kept {
  replace(name: MetricName, samples: readonly { readonly labels: Labels; readonly value: number }[]): void;
  add(name: MetricName, labels: Labels, value?: number): void;
}

const states = ['initialize', 'backup', 'active'] as const;

/** Metrics of elections. The process that elects begins to count anew when it does; what is told grows on. */
export class ElectionSamples {
  readonly #metrics: Kept;
  readonly #before = new Map<string, number>();

  constructor(metrics: Kept) {
    this.#metrics = metrics;
  }

  /** What elections tell now. */
  take({ routers, bad }: ElectionStatus): void {
    const exits = routers.flatMap((router) => router.instance.exits.map((exit) => ({ ...router, exit })));
    this.#metrics.replace(
      'vrrp_state',
      exits.flatMap(({ exit, state }) =>
        states.map((one) => ({ labels: { exit, state: one }, value: one === state ? 1 : 0 })),
      ),
    );
    this.#metrics.replace(
      'vrrp_holds',
      exits.map(({ exit, holds }) => ({ labels: { exit }, value: holds ? 1 : 0 })),
    );
    for (const { exit, transitions } of exits) this.#grow('vrrp_transitions_total', { exit }, transitions);
    const counted = [
      ...bad.map(({ device, family, counts }) => ({ device, key: String(family), counts })),
      ...routers.map(({ instance, bad: counts }) => ({ device: instance.device, key: instance.key, counts })),
    ];
    for (const { device, key, counts } of counted)
      for (const [reason, count] of Object.entries(counts))
        this.#grow('vrrp_bad_packets_total', { interface: device, reason }, count, key);
  }

  #grow(name: MetricName, labels: Labels, value: number, key = ''): void {
    const series = JSON.stringify([name, labels, key]);
    const before = this.#before.get(series) ?? 0;
    this.#before.set(series, value);
    this.#metrics.add(name, labels, value >= before ? value - before : value);
  }
}
