import { printTable } from '../../src/cli/table.ts';
import { Lab } from '../support/lab.ts';
import type { Containerd } from '../support/runtime/containerd.ts';
import { containerdOn } from '../support/runtime/runtime.ts';
import { missingForRuntime } from '../support/tools.ts';
import { median, percentile } from './statistics.ts';

const rounds = 20;
/** Not counted: files come into the cache, chains that stay are made. */
const warmUps = 2;
const calls = ['RunPodSandbox', 'StopPodSandbox'] as const;

/** Pods of one kind, and what the calls for them took, in ms, in the order of the rounds. */
interface Subject {
  readonly name: string;
  readonly containerd: Containerd;
  readonly namespace: string;
  readonly times: Record<(typeof calls)[number], number[]>;
}

/** Measures a pod's life through the CRI with egress in the chain and without. Returns a table. */
export async function measurePods(): Promise<string> {
  const missing = missingForRuntime();
  if (missing !== undefined) throw new Error(`No pods can be measured: ${missing}`);
  await using lab = await Lab.create();
  await using without = await containerdOn(lab, { chain: { egress: undefined } }, 5);
  await using chained = await containerdOn(lab, {}, 6);
  const subjects = [
    subject('bridge, portmap', without, 'steered'),
    subject('bridge, portmap, egress; pod without a policy', chained, 'other'),
    subject('bridge, portmap, egress; steered', chained, 'steered'),
  ];
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const each of subjects) await live(each, round >= warmUps);
  }
  return print(subjects);
}

const subject = (name: string, containerd: Containerd, namespace: string): Subject => ({
  name,
  containerd,
  namespace,
  times: { RunPodSandbox: [], StopPodSandbox: [] },
});

/** The life of one pod. Each calls DEL of the chain twice, of which the second, with RemovePodSandbox, is not measured. */
async function live({ containerd, namespace, times }: Subject, counts: boolean): Promise<void> {
  const begin = performance.now();
  const pod = await containerd.sandbox({ namespace });
  const started = performance.now();
  await pod.stop();
  const stopped = performance.now();
  await pod.remove();
  if (!counts) return;
  times.RunPodSandbox.push(started - begin);
  times.StopPodSandbox.push(stopped - started);
}

/** The difference is the median over the rounds of what a call took longer than for the first subject. */
function print(subjects: readonly Subject[]): string {
  const [first] = subjects;
  const rows = subjects.map(({ name, times }) => [
    name,
    ...calls.flatMap((call) => {
      const longer = times[call].map((ms, round) => ms - (first?.times[call][round] ?? Number.NaN));
      return [
        `${percentile(times[call], 0.5).toFixed(0)} / ${percentile(times[call], 0.95).toFixed(0)}`,
        signed(longer),
      ];
    }),
  ]);
  return printTable(['chain', ...calls.flatMap((call) => [`${call}, ms: p50 / p95`, 'more'])], rows, false);
}

const signed = (differences: readonly number[]) =>
  `${median(differences) < 0 ? '' : '+'}${median(differences).toFixed(1)}`;
