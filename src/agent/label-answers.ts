import type { Configuration } from '../config/configuration.ts';
import type { Pod } from '../policy/match.ts';
import type { PodLabels } from '../policy/selector.ts';
import { labelAnswer, readLabelQuestion } from '../sources/labels.ts';

/** Who knows the labels of pods: what the API server told, and tells. */
export interface LabelSource {
  /** The labels as they are known now; `undefined` while they are not. */
  labelsOf(pod: Pod): PodLabels | undefined;
  /** Comes when labels are known as far as can be waited for, before a round that goes by a configuration. */
  prepared?(configuration: Pick<Configuration, 'policies'> | undefined): Promise<void>;
  /** The labels, asked for if they are not known. Rejects with an error that says why nobody tells them. */
  ask(pod: Pod): Promise<PodLabels>;
}

/** The source of an agent that knows no Kubernetes. */
export const noLabels: LabelSource = {
  labelsOf: () => undefined,
  ask: async () => {
    throw new Error('it runs without a Kubernetes API, which alone knows labels');
  },
};

/** The answer to a line that ADD, or a person's command, sends to the agent's socket. */
export async function answerForLabels(line: string, source: LabelSource): Promise<string> {
  const pod = readLabelQuestion(line);
  if (pod === undefined) return labelAnswer('the question names no pod');
  try {
    return labelAnswer(source.labelsOf(pod) ?? (await source.ask(pod)));
  } catch (error) {
    return labelAnswer(error instanceof Error ? error.message : String(error));
  }
}
