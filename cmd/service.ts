import { unwatchFile, watchFile } from 'node:fs';
import type { Service } from '../src/cli/command.ts';
import { restBetweenTurns, takeTurns } from '../src/kernel/netlink/turns.ts';
import { startElection, startFastPath } from './children.ts';
import { claimFile } from './claim.ts';
import { explain } from './explain.ts';
import { openLogTo } from './log.ts';
import { giveBack, staySmall } from './memory.ts';
import { writeOut } from './output.ts';

const endings = ['SIGTERM', 'SIGINT'] as const;
/**
 * Milliseconds between two looks at a file. A look sees changes that inotify does not report: links, mounts, and files
 * yet to come.
 */
const interval = 1_000;
/** Milliseconds that whoever collects logs may leave a pipe full: the node matters more. */
const patience = 100;
/** Milliseconds after which a look at the node lets timers have their turn: gateways are asked beside it, every 25 ms at the fastest. */
const turn = 5;

/** From now on SIGTERM and SIGINT end the service; a second one ends the process as it is. */
export function openService(): Service & Disposable {
  staySmall();
  takeTurns(turn);
  const controller = new AbortController();
  const end = () => controller.abort();
  for (const signal of endings) process.once(signal, end);
  return {
    signal: controller.signal,
    report: (error, consequence) => process.stderr.write(`${explain(error)} ${consequence}\n`),
    openLog: async () => openLogTo({ write: (line) => void writeOut(Buffer.from(line), patience) }, 'info'),
    startElection,
    startFastPath,
    claim: claimFile,
    answerQuestions: async (...question) => (await import('./labels.ts')).answerQuestions(...question),
    rest: giveBack,
    restBetweenTurns,
    watchFile: (path, changed) => {
      watchFile(path, { interval }, changed);
      return { [Symbol.dispose]: () => unwatchFile(path, changed) };
    },
    [Symbol.dispose]: () => {
      for (const signal of endings) process.off(signal, end);
    },
  };
}
