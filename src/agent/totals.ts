import type { MetricName } from './metric-table.ts';
import { keyOfLabels, type Labels, type Sample } from './samples.ts';

/** What a metric with certain labels has counted since the agent began. */
export interface Total {
  readonly metric: MetricName;
  readonly labels: Labels;
  readonly value: bigint;
}

/** What something showed when it was read last. */
interface Last {
  readonly value: bigint;
  readonly beside: bigint;
}

/**
 * Adds up by how much counters grew, so that what is told never falls while the agent runs, though the kernel's counters
 * begin anew when their objects are made anew. What they show first is where counting begins: what was counted before the
 * agent began is not told again, or Prometheus, which takes a lower value for a new beginning from 0, would count it twice.
 */
export class Totals {
  #last: ReadonlyMap<string, Last> | undefined;
  readonly #totals = new Map<string, Total>();

  /** Takes all that is shown now; what is not among it is gone. */
  take(samples: readonly Sample[]): void {
    const now = new Map<string, Last>();
    for (const sample of samples) {
      const { metric, labels, value, beside = value, of = keyOfLabels(labels) } = sample;
      const key = `${metric} ${of}`;
      const last = this.#last === undefined ? { value, beside } : (this.#last.get(key) ?? { value: 0n, beside: 0n });
      const isAnew = beside < last.beside;
      // Of one that began anew nobody knows which of its parts did: what it shows may be counted already.
      this.#add(metric, labels, isAnew || value < last.value ? 0n : value - last.value);
      now.set(key, { value: isAnew || value > last.value ? value : last.value, beside });
    }
    this.#last = now;
  }

  #add(metric: MetricName, labels: Labels, increase: bigint): void {
    const key = `${metric} ${keyOfLabels(labels)}`;
    this.#totals.set(key, { metric, labels, value: (this.#totals.get(key)?.value ?? 0n) + increase });
  }

  /** Forgets what is not wanted any more. */
  forget(isUnwanted: (total: Total) => boolean): void {
    for (const [key, total] of this.#totals) if (isUnwanted(total)) this.#totals.delete(key);
  }

  get all(): readonly Total[] {
    return [...this.#totals.values()];
  }
}
