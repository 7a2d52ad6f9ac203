import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { lockFile } from '../../../cmd/lock.ts';
import { Store } from '../../../src/store/store.ts';
import { sample } from './records.ts';

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'egress-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

const newStore = (dataDir: string) => new Store(dataDir, { lockFile, warn: assert.fail });

const worker = (...args: string[]) => [join(import.meta.dirname, 'worker.ts'), ...args];

function start(t: TestContext, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, worker(...args), { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

describe('a process that is killed while it saves', () => {
  for (const before of [undefined, sample({ program: 'program-01' })]) {
    const what = before === undefined ? 'nothing or the new record' : 'the old record or the new one';
    test(`leaves ${what}, whichever call it dies in, and no lock`, (t) => {
      const outcomes: (string | undefined)[] = [];
      for (let call = 1; ; call++) {
        const dataDir = newFolder(t);
        const store = newStore(dataDir);
        if (before !== undefined) {
          using _lock = store.lock();
          store.save(before);
        }
        const { signal } = spawnSync(process.execPath, worker(dataDir, 'save', String(call)), { stdio: 'inherit' });
        using _lock = store.lock();
        outcomes.push(store.load(sample())?.program);
        assert.deepEqual(
          store.list().map((record) => record.program),
          outcomes.slice(-1).filter(Boolean),
        );
        store.forget(sample());
        store.forgetNode();
        assert.deepEqual(readdirSync(dataDir), ['lock']);
        if (signal === null) break;
        assert.equal(signal, 'SIGKILL');
      }
      assert.deepEqual([...new Set(outcomes)], [before?.program, 'program-02']);
    });
  }
});

describe('what a killed writer left beside the records', () => {
  test('is no record, and goes with the next change', (t) => {
    const dataDir = newFolder(t);
    const store = newStore(dataDir);
    using _lock = store.lock();
    for (const change of [() => store.save(sample()), () => store.forget(sample())]) {
      store.save(sample());
      writeFileSync(join(dataDir, 'attachments/.new'), '{"version": 1, "netw');
      assert.deepEqual(store.list(), [sample()]);
      change();
      assert.ok(!existsSync(join(dataDir, 'attachments/.new')));
    }
  });
});

describe('the lock', () => {
  test('lets only one process in at a time', async (t) => {
    const [dataDir, turns] = [newFolder(t), 20];
    const children = [1, 2, 3].map(() => start(t, dataDir, 'takeTurns', String(turns)));
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    assert.deepEqual(codes, [0, 0, 0]);
    const lines = readFileSync(join(dataDir, 'turns'), 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, 2 * turns * children.length);
    for (let line = 0; line < lines.length; line += 2) {
      assert.equal(lines[line + 1], lines[line]?.replace('takes', 'gives'), `line ${line} of\n${lines.join('\n')}`);
    }
  });

  test('is waited for while its holder lives, and free when the holder is killed', async (t) => {
    const dataDir = newFolder(t);
    const holder = start(t, dataDir, 'hold');
    assert.equal(String(await once(holder.stdout ?? assert.fail(), 'data')), 'locked\n');
    const waiting = start(t, dataDir, 'hold');
    let got = false;
    const turn = once(waiting.stdout ?? assert.fail(), 'data').then(() => {
      got = true;
    });
    while (!got && !isBlocked(waiting)) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(got, false);
    holder.kill('SIGKILL');
    await turn;
  });

  test('is an error for the process that has it already', (t) => {
    const store = newStore(newFolder(t));
    using _lock = store.lock();
    assert.throws(() => store.lock(), /already held by this process/);
  });

  test('can be taken again when it was given back', (t) => {
    const store = newStore(newFolder(t));
    for (const record of [sample(), sample({ ifname: 'net1' })]) {
      using _lock = store.lock();
      store.save(record);
    }
    assert.equal(store.list().length, 2);
  });
});

/** Whether the kernel shows a process asleep behind somebody else's lock: `->` in /proc/locks. */
const isBlocked = ({ pid }: ChildProcess) =>
  new RegExp(`-> FLOCK .* ${pid} `).test(readFileSync('/proc/locks', 'utf8'));
