import { agentFileIn } from '../base/agent-file.ts';
import { EgressError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Pod } from '../policy/match.ts';
import { asksForLabels } from '../policy/program.ts';
import type { Labels, PodLabels } from '../policy/selector.ts';

/** Asks the agent that looks after a data folder for a pod's labels. Throws `try-again` when it does not tell them. */
export type AskLabels = (pod: Pod, dataDir: string) => Promise<PodLabels>;

/** Tells the labels of a pod; `undefined` when nobody does. */
export type LabelsOf = (pod: Pod, dataDir: string) => Promise<PodLabels | undefined>;

/** The labels as the agent of a data folder tells them, for who can do without. */
export const labelsIfTold =
  (ask: AskLabels): LabelsOf =>
  (pod, dataDir) =>
    ask(pod, dataDir).catch(() => undefined);

/** Bytes of a question or an answer at most: all annotations and labels of an object of Kubernetes have 256 KiB. */
export const longestLabels = 1024 * 1024;

/** Milliseconds that an ADD waits for the agent's answer. */
export const answerWithinMs = 2_000;

/** Where the agent of a data folder answers. */
export const labelSocketOf = (dataDir: string): string => agentFileIn(dataDir, 'labels.sock');

/** The pod with its labels, where policies choose by labels among pods with its names; else as it is. */
export async function withLabels(
  { policies, dataDir }: Pick<Configuration, 'policies' | 'dataDir'>,
  pod: Pod,
  ask: LabelsOf,
): Promise<Pod> {
  if (!asksForLabels(policies, pod)) return pod;
  const labels = await ask(pod, dataDir);
  return labels === undefined ? pod : { ...pod, labels };
}

// One line of JSON in each direction: the names of a pod, and its labels or why they are not told.

/** A question for the labels of a pod. */
export const labelQuestion = ({ namespace, name, uid }: Pod): string => `${JSON.stringify({ namespace, name, uid })}\n`;

/** The pod of a question; `undefined` when it is none. */
export function readLabelQuestion(line: string): Pod | undefined {
  const { namespace, name, uid } = membersOf(line);
  if (!isText(namespace) || !isText(name)) return undefined;
  return { namespace, name, ...(isText(uid) && { uid }) };
}

/** An answer: labels, or the reason why they are not known as half a sentence. */
export const labelAnswer = (answer: PodLabels | string): string =>
  `${JSON.stringify(typeof answer === 'string' ? { problem: answer } : { labels: answer })}\n`;

/** The labels of an answer. Throws `try-again` when it has none. */
export function readLabelAnswer(line: string, pod: Pod): PodLabels {
  const { labels, problem } = membersOf(line);
  const { pod: own, namespace } = isObject(labels) ? labels : {};
  if (isLabels(own) && isLabels(namespace)) return { pod: own, namespace };
  throw labelsNotTold(pod, isText(problem) ? problem : 'its answer is none');
}

/** The error of a pod whose labels nobody tells. */
export const labelsNotTold = ({ namespace, name }: Pod, why: string): EgressError =>
  new EgressError(
    'try-again',
    `Policies choose by labels, and "egress agent" of this node does not tell those of pod ${namespace ?? ''}/${name ?? ''}: ${why}`,
  );

function membersOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

const isText = (value: unknown): value is string => typeof value === 'string';

const isLabels = (value: unknown): value is Labels => isObject(value) && Object.values(value).every(isText);
