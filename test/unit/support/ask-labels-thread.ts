import { parentPort, workerData } from 'node:worker_threads';
import { askLabels } from '../../../cmd/ask-labels.ts';
import { EgressError } from '../../../src/base/errors.ts';

// Who asks waits in the kernel: an agent in the same thread could not answer.
const answer = await askLabels(workerData.pod, workerData.dataDir).then(
  (labels) => ({ labels }),
  (error) => ({ problem: { message: error.message, ...(error instanceof EgressError && { code: error.code }) } }),
);
parentPort?.postMessage(answer);
