import { readFileSync } from 'node:fs';
import { EgressError } from '../src/base/errors.ts';
import { failureOf, runPlugin } from '../src/cni/plugin.ts';
import { answer } from './answer.ts';
import { askLabels } from './ask-labels.ts';
import { end } from './end.ts';
import { identify, openMachine, readFile } from './machine.ts';

/** A container runtime calls: environment and stdin in, at most one JSON document on stdout and an exit code out. */
export async function runAsPlugin(): Promise<number> {
  answerInAnyCase();
  return answer(
    await runPlugin({
      variables: process.env,
      readStdin: () => readFileSync(0, 'utf8'),
      readFile,
      identify,
      openMachine,
      askLabels,
    }),
  );
}

/** Of errors that nobody awaited, and of an end before there is an answer, a runtime hears as of all others. */
function answerInAnyCase(): void {
  const fail = (error: unknown) => end(answer(failureOf(process.env, error)));
  process.once('uncaughtException', fail);
  process.once('beforeExit', () =>
    fail(new EgressError('internal', 'Nothing is left to wait for before the call ended')),
  );
}
