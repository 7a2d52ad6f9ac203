import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { ElectionProcess, Orders } from '../src/election/parts.ts';

/** The first word of the command line when an agent starts the process of elections. Nobody else uses it. */
export const electionCommand = 'election';

/** Milliseconds from the end of a process that was not to end to the next one. */
const pause = 200;
/** Milliseconds for a process to end: it may hang. */
const patience = 3_000;

/** The same for the process of the fast path. */
export const fastPathCommand = 'fast-path';

type Start = (told: (status: unknown) => void, report: (problem: string) => void) => ElectionProcess;

/** Starts the process of elections, and starts it anew whenever it ends. `told` takes what it tells; `report` its ends. */
export const startElection: Start = (told, report) => start(electionCommand, told, report);

/** The same for the process of the fast path. */
export const startFastPath: Start = (told, report) => start(fastPathCommand, told, report);

function start(command: string, told: (status: unknown) => void, report: (problem: string) => void): ElectionProcess {
  let child: ChildProcessWithoutNullStreams | undefined;
  let timer: NodeJS.Timeout | undefined;
  let wanted: Orders['want'];
  let isEnding = false;
  const say = (orders: Orders) => child?.stdin.write(`${JSON.stringify(orders)}\n`);
  const begin = () => {
    child = spawn(process.execPath, [command], { stdio: 'pipe' });
    child.stderr.pipe(process.stderr);
    child.stdin.on('error', () => {}); // it has ended: that is told below
    forEachLine(child, (line) => told(JSON.parse(line)));
    child.once('error', (error) => report(error.message));
    child.once('close', (code, signal) => {
      child = undefined;
      if (isEnding) return;
      report(`ended with ${signal ?? `code ${code}`}`);
      timer = setTimeout(begin, pause);
    });
    if (wanted !== undefined) say({ want: wanted });
  };
  begin();
  return {
    want: (all) => {
      wanted = all;
      say({ want: all });
    },
    stop: async (why) => {
      isEnding = true;
      clearTimeout(timer);
      if (child === undefined) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      child.once('close', () => resolve());
      say({ stop: why });
      const hangs = setTimeout(() => child?.kill('SIGKILL'), patience);
      await promise;
      clearTimeout(hangs);
    },
  };
}

function forEachLine({ stdout }: ChildProcessWithoutNullStreams, take: (line: string) => void): void {
  let rest = '';
  stdout.setEncoding('utf8');
  stdout.on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(take);
  });
}
