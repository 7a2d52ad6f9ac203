import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Orders, StartChild } from '../src/agent/child.ts';

/** The first words of the command line when an agent starts the process of elections, or of the fast path. Nobody else uses them. */
export const [electionCommand, fastPathCommand] = ['election', 'fast-path'] as const;

/** Milliseconds from the end of a process that was not to end to the next one. */
const pause = 200;
/** Milliseconds for a process to end: it may hang. */
const patience = 3_000;

/** Starts the process of elections. */
export const startElection: StartChild = (...given) => start(electionCommand, ...given);

/** Starts the process of the fast path. */
export const startFastPath: StartChild = (...given) => start(fastPathCommand, ...given);

function start(command: string, ...[told, ended]: Parameters<StartChild>): ReturnType<StartChild> {
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
    child.once('error', (error) => ended(error.message));
    child.once('close', (code, signal) => {
      child = undefined;
      if (isEnding) return;
      ended(`ended with ${signal ?? `code ${code}`}`);
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
