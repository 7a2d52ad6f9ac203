// A process beside the test's own: `node worker.ts <data folder> <task> [argument]`.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { lockFile } from '../../../src/kernel/lock.ts';
import { Store } from '../../../src/store/store.ts';
import { sample } from './records.ts';

const [dataDir = '', task = '', argument = ''] = process.argv.slice(2);
const store = new Store(dataDir, { lockFile, warn: console.error });

const sleep = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Every change that the store makes to the file system goes through one of these. */
const changing = ['mkdirSync', 'openSync', 'writeFileSync', 'fsyncSync', 'closeSync', 'renameSync', 'rmSync'] as const;

function dieBeforeCall(number: number): void {
  let calls = 0;
  for (const name of changing) {
    const original = fs[name] as (...args: unknown[]) => unknown;
    const counting = (...args: unknown[]) => {
      calls++;
      if (calls === number) process.kill(process.pid, 'SIGKILL');
      return original(...args);
    };
    Object.assign(fs, { [name]: counting });
  }
  syncBuiltinESMExports();
}

const tasks: Record<string, () => Promise<void>> = {
  /** Says when it has the lock, and keeps it until it is killed. */
  async hold() {
    using _lock = await store.lock();
    fs.writeSync(1, 'locked\n');
    sleep(2 ** 31 - 1);
  },

  /** Writes down when it takes and gives back the lock, again and again. */
  async takeTurns() {
    const log = join(dataDir, 'turns');
    for (let turn = 0; turn < Number(argument); turn++) {
      using _lock = await store.lock();
      fs.appendFileSync(log, `${process.pid} takes\n`);
      sleep(1);
      fs.appendFileSync(log, `${process.pid} gives\n`);
    }
  },

  /** Saves a record, but is killed before the given change to the file system, if there are so many. */
  async save() {
    using _lock = await store.lock();
    dieBeforeCall(Number(argument));
    store.save(sample({ program: 'program-02' }));
  },
};

await tasks[task]?.();
