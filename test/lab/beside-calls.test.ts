import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import type { Outcome } from '../support/run.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const dataDir = '/var/lib/cni/egress';
/** What stops a call where all is written down and little or nothing done: of ADD behind its last record, of DEL before it forgets. */
const stops = {
  'the first ADD': ['-P', `${dataDir}/.new`, '-e', 'inject=rename:signal=STOP:when=1'],
  'an ADD between its routes and its table': [
    '-P',
    '/proc/sys/net/ipv4/conf/eth1/rp_filter',
    '-e',
    'inject=write:signal=STOP:when=1',
  ],
  'the last DEL': ['-P', `${dataDir}/programs`, '-e', 'inject=openat:signal=STOP:when=1'],
} as const;

interface Look {
  readonly words: (pod: Pod) => readonly string[];
  /** What of its answer must be the same beside a call and when that has ended. */
  readonly told: (outcome: Outcome) => unknown;
}

const whole = ({ code, stdout, stderr }: Outcome) => [code, stdout, stderr];
const looks: Readonly<Record<string, Look>> = {
  check: { words: () => ['check'], told: whole },
  status: { words: () => ['status'], told: whole },
  explain: { words: ({ addresses: [four = ''] }) => ['explain', four, world.service[0]], told: whole },
  'repair --dry-run': { words: () => ['repair', '--dry-run'], told: whole },
  'gc --dry-run': { words: () => ['gc', '--dry-run'], told: whole },
};

// A DaemonSet that runs "egress check" each minute, on a node where pods come and go: with cni-egress 0.1.0 it found
// something missing in half of the runs, though every ADD and DEL succeeded.
describe('beside a call that is under way', labTest, () => {
  for (const [where, stop] of Object.entries(stops)) {
    for (const [name, { words, told }] of Object.entries(looks)) {
      test(`egress ${name} tells of no more than when ${where} has ended`, async () => {
        await using lab = await Lab.create();
        const node = await lab.node();
        const pod = await (where === 'the last DEL' ? node.started() : node.withoutEgress(() => node.started()));
        const call = await stopped(node, pod, where === 'the last DEL' ? 'DEL' : 'ADD', stop);
        const looking = node.egress(...words(pod));
        await waiting(node, looking);
        assert.equal((await call.goOn()).code, 0);
        assert.deepEqual(told(await looking), told(await node.egress(...words(pod))));
      });
    }
  }

  test('and beside ADDs and DELs without end, egress check finds nothing wrong', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    let isOver = false;
    const churn = async () => {
      while (!isOver) await node.end(await node.started());
    };
    const workers = [churn(), churn()];
    const outcomes: Outcome[] = [];
    while (outcomes.length < 12) outcomes.push(await node.egress('check'));
    isOver = true;
    await Promise.all(workers);
    for (const { code, stdout, stderr } of outcomes) assert.deepEqual([code, stderr], [0, ''], stdout);
  });
});

/** A call that is stopped in the middle. */
async function stopped(node: LabNode, pod: Pod, command: 'ADD' | 'DEL', stop: readonly string[]) {
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

/** Comes when somebody waits for a lock behind whoever has it (`->` in /proc/locks), or has ended without. */
async function waiting(node: LabNode, looking: Promise<unknown>): Promise<void> {
  let isOver = false;
  void looking.finally(() => {
    isOver = true;
  });
  const { stdout } = await node.machine.run(['stat', '-c', '%i', `${dataDir}/lock`]);
  const isWaiting = async () => new RegExp(`-> FLOCK.*:${stdout.trim()} `).test(await readFile('/proc/locks', 'utf8'));
  while (!isOver && !(await isWaiting())) await setTimeout(20);
}
