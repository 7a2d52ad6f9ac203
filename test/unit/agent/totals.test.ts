import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Sample } from '../../../src/agent/samples.ts';
import { Totals } from '../../../src/agent/totals.ts';

const steered = (value: number, exit = 'partners'): Sample => ({
  metric: 'exit_steered_packets_total',
  labels: { exit },
  value: BigInt(value),
});

const dropped = (value: number, beside: number): Sample => ({
  metric: 'exit_dropped_packets_total',
  labels: { exit: 'partners' },
  value: BigInt(value),
  beside: BigInt(beside),
});

const ofPod = (of: string, value: number): Sample => ({
  metric: 'pod_packets_total',
  labels: { pod_namespace: 'default', pod_name: 'web-0' },
  of,
  value: BigInt(value),
});

/** What is told after each reading. */
function told(...readings: readonly (readonly Sample[])[]): number[] {
  const totals = new Totals();
  return readings.map((samples) => {
    totals.take(samples);
    return totals.all.reduce((sum, { value }) => sum + Number(value), 0);
  });
}

describe('totals', () => {
  test('begin at 0, whatever was counted before, and grow as the counters do', () => {
    assert.deepEqual(told([steered(1000)], [steered(1007)], [steered(1007)]), [0, 7, 7]);
  });

  test('go on after a flush from what they were, and count nothing twice', () => {
    assert.deepEqual(told([steered(0)], [steered(50)], [steered(0)], [steered(8)]), [0, 50, 50, 58]);
  });

  test('count nothing of a counter that began anew between two readings, since a part of it may be counted', () => {
    assert.deepEqual(told([steered(0)], [steered(50)], [steered(20)], [steered(30)]), [0, 50, 50, 60]);
  });

  test('count all of what came to be after the first reading', () => {
    assert.deepEqual(told([], [steered(3)], [steered(3), steered(5, 'other')]), [0, 3, 8]);
  });

  test('stay while what they count is not there, and go on when it is there again', () => {
    assert.deepEqual(told([steered(0)], [steered(4)], [], [steered(6)]), [0, 4, 4, 10]);
  });

  test('take a small step back of a difference for none, and a new beginning of what it is a part of for one', () => {
    const readings = [[dropped(0, 0)], [dropped(5, 100)], [dropped(3, 110)], [dropped(6, 120)]];
    assert.deepEqual(told(...readings), [0, 5, 5, 6]);
    assert.deepEqual(told(...readings, [dropped(0, 2)], [dropped(2, 9)]), [0, 5, 5, 6, 6, 8]);
  });

  test('add up interfaces of one pod, of which one may go', () => {
    assert.deepEqual(told([], [ofPod('a', 5), ofPod('b', 9)], [ofPod('b', 10)]), [0, 14, 15]);
  });

  test('never fall, and never tell more than was counted, whatever begins anew', () => {
    const totals = new Totals();
    let [value, counted, before] = [0, 0, 0];
    totals.take([steered(0)]);
    for (let step = 1; step < 500; step++) {
      if (step % 7 === 0) value = 0;
      value += step % 5;
      counted += step % 5;
      totals.take([steered(value)]);
      const now = Number(totals.all[0]?.value);
      assert.ok(now >= before && now <= counted, `${before} ${now} ${counted}`);
      before = now;
    }
    assert.ok(before > 500);
  });

  test('forget what they are told to', () => {
    const totals = new Totals();
    totals.take([steered(1), ofPod('a', 1)]);
    totals.forget(({ labels }) => 'pod_name' in labels);
    assert.deepEqual(
      totals.all.map(({ metric }) => metric),
      ['exit_steered_packets_total'],
    );
  });
});
