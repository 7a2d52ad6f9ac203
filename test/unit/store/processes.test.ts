import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { lockFile, pauseAfter } from '../../../src/kernel/lock.ts';
import { Store } from '../../../src/store/store.ts';
import { isPending } from '../support/pending.ts';
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

// Before all others: the file of a folder that is gone may have left its number to this one, and with it who waited.
test('the lock is not wanted by whoever else in its process asks for it', async (t) => {
  const store = newStore(newFolder(t));
  const [first, second] = [store.lock(), store.lock()];
  (await first)[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  assert.equal(store.isWanted, false);
});

describe('a process that is killed while it saves', () => {
  for (const before of [undefined, sample({ program: 'program-01' })]) {
    const what = before === undefined ? 'nothing or the new record' : 'the old record or the new one';
    test(`leaves ${what}, whichever call it dies in, and no lock`, async (t) => {
      const outcomes: (string | undefined)[] = [];
      for (let call = 1; ; call++) {
        const dataDir = newFolder(t);
        const store = newStore(dataDir);
        if (before !== undefined) {
          using _lock = await store.lock();
          store.save(before);
        }
        const { signal } = spawnSync(process.execPath, worker(dataDir, 'save', String(call)), { stdio: 'inherit' });
        using _lock = await store.lock();
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
  test('is no record, and goes with the next change', async (t) => {
    const dataDir = newFolder(t);
    const store = newStore(dataDir);
    using _lock = await store.lock();
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

  test('lets the users of one process in one after the other, as they asked', async (t) => {
    const dataDir = newFolder(t);
    const order: string[] = [];
    const use = async (store: Store, user: string) => {
      using _lock = await store.lock();
      order.push(`${user} takes`);
      await aWhile();
      order.push(`${user} gives`);
    };
    // Two stores of one folder are two users, as two that share a store.
    const [one, other] = [newStore(dataDir), newStore(dataDir)];
    await Promise.all([use(one, 'a'), use(one, 'b'), use(other, 'c'), use(one, 'd')]);
    assert.deepEqual(
      order,
      ['a', 'b', 'c', 'd'].flatMap((user) => [`${user} takes`, `${user} gives`]),
    );
  });

  test('is taken at once when it is free, without a timer', async (t) => {
    const store = newStore(newFolder(t));
    const timers = t.mock.method(globalThis, 'setTimeout');
    using _lock = await store.lock();
    assert.equal(timers.mock.callCount(), 0);
  });

  test('of another process is waited for while timers and sockets of this one go on', async (t) => {
    const dataDir = newFolder(t);
    const holder = start(t, dataDir, 'hold');
    await once(holder.stdout ?? assert.fail(), 'data');
    const got = newStore(dataDir).lock();
    while (!isBlocked(process)) await aWhile();
    for (let words = 0; words < 10; words++) assert.equal(await echoOf('hello'), 'hello');
    assert.ok(await isPending(got));
    holder.kill('SIGKILL');
    (await got)[Symbol.dispose]();
  });

  test('that is given back and asked for at once goes to another process that waits for it', async (t) => {
    const dataDir = newFolder(t);
    const mine = newStore(dataDir);
    let lock = await mine.lock();
    const other = start(t, dataDir, 'takeTurns', '1');
    while (!isBlocked(other)) await aWhile();
    lock[Symbol.dispose]();
    lock = await mine.lock();
    assert.equal(readFileSync(join(dataDir, 'turns'), 'utf8'), `${other.pid} takes\n${other.pid} gives\n`);
    lock[Symbol.dispose]();
  });

  test('is wanted when another process had it that this one asked for', async (t) => {
    const dataDir = newFolder(t);
    const holder = start(t, dataDir, 'hold');
    await once(holder.stdout ?? assert.fail(), 'data');
    const other = newStore(dataDir);
    const got = other.lock();
    while (!isBlocked(process)) await aWhile();
    holder.kill('SIGKILL');
    (await got)[Symbol.dispose]();
    assert.equal(other.isWanted, true);
  });

  test('is left alone the longer the longer it was held: who waits has time to wake', () => {
    assert.deepEqual([0, 50, 200, 20_000].map(pauseAfter), [5, 5, 20, 50]);
  });

  test('that its holder asks for again is an error that names the holder, not a wait without end', async (t) => {
    const store = newStore(newFolder(t));
    t.mock.timers.enable({ apis: ['setInterval'] });
    using _lock = await store.lock();
    const again = store.lock();
    const refused = assert.rejects(again, {
      code: 'try-again',
      message: new RegExp(`/lock has been locked for 20 seconds by process ${process.pid} \\(\\S*node.*, running\\)`),
    });
    await waitedFor();
    t.mock.timers.tick(20_000);
    await refused;
  });

  test('is had by the next when one has given up, and by nobody when all have', async (t) => {
    const dataDir = newFolder(t);
    const store = newStore(dataDir);
    t.mock.timers.enable({ apis: ['setInterval'] });
    const holder = start(t, dataDir, 'hold');
    await once(holder.stdout ?? assert.fail(), 'data');
    for (const _ of [1, 2, 3]) {
      const refused = assert.rejects(store.lock(), { code: 'try-again' });
      await waitedFor();
      t.mock.timers.tick(20_000);
      await refused;
    }
    assert.equal(waitersOf(process), 1); // one thread, however often somebody gave up
    const got = store.lock();
    holder.kill('SIGKILL');
    (await got)[Symbol.dispose]();
    (await store.lock())[Symbol.dispose]();
    assert.equal(readdirSync('/proc/self/fd').filter((fd) => isOpenAt(fd, dataDir)).length, 0);
  });

  test('can be taken again when it was given back', async (t) => {
    const store = newStore(newFolder(t));
    for (const record of [sample(), sample({ ifname: 'net1' })]) {
      using _lock = await store.lock();
      store.save(record);
    }
    assert.equal(store.list().length, 2);
  });
});

/** How often the kernel shows a process asleep behind somebody else's lock: `->` in /proc/locks. */
const waitersOf = ({ pid }: { readonly pid?: number | undefined }) =>
  [...readFileSync('/proc/locks', 'utf8').matchAll(new RegExp(`-> FLOCK .* ${pid} `, 'g'))].length;

const isBlocked = (child: { readonly pid?: number | undefined }) => waitersOf(child) > 0;

const aWhile = () => new Promise((resolve) => setTimeout(resolve, 5));

/** All is done that needs no time: whoever asked for a lock waits now. */
const waitedFor = () => new Promise((resolve) => setImmediate(resolve));

/** What a server in this process sends back. */
async function echoOf(text: string): Promise<string> {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.end(text);
  const [bytes] = await once(socket, 'data');
  server.close();
  return String(bytes);
}

function isOpenAt(fd: string, folder: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
  } catch {
    return false;
  }
}
