import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';
import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** A call that is stopped in the middle: `stop` are the words that tell strace where. */
export async function stopped(node: LabNode, pod: Pod, command: 'ADD' | 'DEL', stop: readonly string[]) {
  const log = `${node.folder}/strace`;
  const ended = node.plugin(command, { pod, through: [tool('strace'), '-f', '-qq', '-o', log, ...stop] });
  for (;;) {
    const [, pid] = /^(\d+) +--- stopped by SIGSTOP ---$/m.exec(await readFile(log, 'utf8').catch(() => '')) ?? [];
    if (pid !== undefined) return { goOn: () => goOn(Number(pid), ended) };
    const over = await Promise.race([ended, setTimeout(20)]);
    if (over !== undefined) throw new Error(`${command} was never stopped: ${over.code} ${over.stdout}`);
  }
}

/** Not all of its threads may have stopped when the first has: then one signal is not enough. */
async function goOn(pid: number, ended: Promise<Outcome>): Promise<Outcome> {
  for (;;) {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      return await ended; // it is gone, and only its end has not come to us yet
    }
    const outcome = await Promise.race([ended, setTimeout(100)]);
    if (outcome !== undefined) return outcome;
  }
}

/** Comes when somebody waits for the lock on a file behind whoever has it (`->` in /proc/locks), or the call has ended without. */
export async function waiting(node: LabNode, file: string, call: Promise<unknown>): Promise<void> {
  let isOver = false;
  void call.finally(() => {
    isOver = true;
  });
  const { stdout } = await node.machine.run(['stat', '-L', '-c', '%i', file]);
  const isWaiting = async () => new RegExp(`-> FLOCK.*:${stdout.trim()} `).test(await readFile('/proc/locks', 'utf8'));
  while (!isOver && !(await isWaiting())) await setTimeout(20);
}
