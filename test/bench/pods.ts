import { Lab } from '../support/lab.ts';
import type { Containerd } from '../support/runtime/containerd.ts';
import { containerdOn } from '../support/runtime/runtime.ts';
import { missingForRuntime } from '../support/tools.ts';
import { type ResultTable, spreadOf } from './result.ts';
import { roundsOf } from './statistics.ts';

const rounds = roundsOf(20);
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

/** Measures a pod's life through the CRI with egress in the chain and without. */
export async function measurePods(): Promise<readonly ResultTable[]> {
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
  return [tableOf(subjects)];
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

/** `more` is what a call took longer than for the first subject, in the same round. */
function tableOf(subjects: readonly Subject[]): ResultTable {
  const [first] = subjects;
  const longer = ({ times }: Subject, call: (typeof calls)[number]) =>
    times[call].map((ms, round) => ms - (first?.times[call][round] ?? Number.NaN));
  return {
    name: 'pods',
    title: 'chain',
    columns: calls.flatMap((call) => [
      { name: call, unit: 'ms', digits: 0, shows: ['p50', 'p95'] as const },
      { name: `more, ${call}`, unit: 'ms', signed: true },
    ]),
    rows: subjects.map((each) => ({
      name: each.name,
      cells: calls.flatMap((call) => [spreadOf(each.times[call]), spreadOf(longer(each, call))]),
    })),
  };
}
