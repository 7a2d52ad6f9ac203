import { askAtSocket } from '../src/kernel/unix-socket.ts';
import type { Pod } from '../src/policy/match.ts';
import type { PodLabels } from '../src/policy/selector.ts';
import {
  answerWithinMs,
  labelQuestion,
  labelSocketOf,
  labelsNotTold,
  longestLabels,
  readLabelAnswer,
} from '../src/sources/labels.ts';

/** Asks the agent of a data folder for a pod's labels. Throws `try-again` without an answer in time. */
export async function askLabels(pod: Pod, dataDir: string): Promise<PodLabels> {
  let line: string;
  try {
    const limits = { seconds: answerWithinMs / 1000, bytes: longestLabels };
    line = askAtSocket(labelSocketOf(dataDir), labelQuestion(pod), limits);
  } catch (error) {
    throw labelsNotTold(pod, error instanceof Error ? error.message : String(error));
  }
  return readLabelAnswer(line, pod);
}
