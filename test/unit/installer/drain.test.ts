import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ready, readyWithin } from '../../../src/cli/install.ts';
import { takeOut } from '../../../src/cli/uninstall.ts';
import { bringUp, leave } from '../../../src/gateway/gateway.ts';
import { withEntry } from '../../../src/installer/conflist.ts';
import { Drain } from '../../../src/installer/drain.ts';
import { entryText } from '../../../src/installer/entry.ts';
import type { HostTools } from '../../../src/installer/installer.ts';
import { uninstall } from '../../../src/installer/uninstall.ts';
import { lockFile } from '../../../src/kernel/lock.ts';
import { exchangeFiles } from '../../../src/kernel/netlink/libc.ts';
import { listOf, until } from '../../support/installation.ts';
import { type FakeMachine, gatewayConfiguration, newMachine, newNode } from '../support/fake-machine.ts';
import { quietWork } from '../support/quiet-work.ts';

const [first, second] = ['10-first.conflist', '20-second.conflist'];

const tools: HostTools = {
  ...{ program: 'none', machine: 'none', lockFile, exchange: exchangeFiles, now: () => performance.now() },
  tryInRoot: () => assert.fail('nothing was expected to be tried'),
};

/** Folders of a host with egress in its chain, and pods that are steered. */
class Host {
  readonly #folder = mkdtempSync(join(tmpdir(), 'egress-drain-'));
  readonly #records = this.at('data/attachments');
  readonly places = {
    ...{ hostRoot: '/', hostFiles: '/', binDir: this.at('bin'), confDir: this.at('net.d') },
    ...{ policyFile: this.at('etc/policy.json'), dataDir: this.at('data') },
  };
  readonly entry = entryText({ dataDir: this.places.dataDir, logLevel: 'debug' });
  readonly draining = entryText({ dataDir: this.places.dataDir, draining: true });

  readonly #machine: FakeMachine;
  /** Whether an agent runs. */
  hasAgent = false;

  /** @param machine one that serves nothing to others if none is given */
  constructor(t: TestContext, machine: FakeMachine = newMachine(t)) {
    this.#machine = machine;
    for (const folder of ['bin', 'net.d', 'data/attachments']) mkdirSync(this.at(folder), { recursive: true });
    writeFileSync(this.at('bin/egress'), '');
    this.write(first, withEntry(listOf('first'), this.entry));
    t.after(() => rmSync(this.#folder, { recursive: true }));
  }

  at(path: string): string {
    return join(this.#folder, path);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.places.confDir, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.places.confDir, name), 'utf8');
  }

  steer(...pods: readonly string[]): void {
    for (const pod of pods) writeFileSync(join(this.#records, pod), '{}');
  }

  end(pod: string): void {
    rmSync(join(this.#records, pod));
  }

  drain(fileName?: string): Drain {
    return new Drain(this.places, { dataDir: this.places.dataDir, fileName }, tools);
  }

  /** The file by which `egress ready` in a container answers. */
  get readyFile(): string {
    return this.at('run/ready.json');
  }

  /** `egress uninstall --drain`, what it has said so far, and how it is told to end. */
  uninstall(more: { readonly stay?: true } = {}) {
    const said: string[] = [];
    const end = new AbortController();
    let exitCode = 0;
    const service = {
      signal: end.signal,
      report: (error: unknown) => assert.fail(String(error)),
      rest: () => {},
      restBetweenTurns: () => {},
      watchFile: () => assert.fail('nothing was expected to be watched so'),
      openLog: () => assert.fail('no log was expected'),
      startElection: () => assert.fail('no election was expected'),
      startFastPath: () => assert.fail('no fast path was expected'),
      claim: () => assert.fail('nothing was expected to be claimed'),
      answerQuestions: () => assert.fail('no agent'),
      [Symbol.dispose]: () => {},
    };
    const surroundings = {
      ...{ version: '1', colors: false, readFile: () => undefined, hostTools: tools },
      openWork: () => quietWork,
      ...{ worked: () => 0, hostName: 'node-1', sinceBoot: () => ({ boot: 'b', uptime: 0 }) },
      ...{ write: (text: string) => said.push(text), remark: (text: string) => said.push(text) },
      setExitCode: (code: number) => {
        exitCode = code;
      },
      openMachine: async () => this.#machine,
      findMissingRights: () => [],
      askLabels: () => Promise.reject(new Error('nobody is asked')),
      isClaimed: () => this.hasAgent,
      openExamination: () => assert.fail('nothing was expected to be examined'),
      openService: () => service,
    };
    const done = takeOut({ ...this.places, readyFile: this.readyFile, drain: true, ...more }, surroundings).then(
      () => exitCode,
    );
    return { said, end: () => end.abort(), done };
  }
}

describe('a node that is drained', () => {
  test('says so in the chain while pods are steered, also when the primary writes its file anew', async (t) => {
    const host = new Host(t);
    host.steer('a', 'b');
    const drain = host.drain();
    for (const mark of ['first', 'second', 'third']) {
      const found = await drain.look();
      assert.deepEqual([found?.attachments, found?.network.ok], [2, true]);
      assert.equal(host.read(first), withEntry(listOf(mark), host.draining));
      host.write(first, listOf(mark === 'first' ? 'second' : 'third'));
    }
  });

  test('says so in every list that egress is in, and in no other one but that which runtimes use', async (t) => {
    const host = new Host(t);
    host.write(second, withEntry(listOf('second'), host.entry));
    host.write('30-third.conflist', listOf('third'));
    host.steer('a');
    await host.drain().look();
    assert.equal(host.read(first), withEntry(listOf('first'), host.draining));
    assert.equal(host.read(second), withEntry(listOf('second'), host.draining));
    assert.equal(host.read('30-third.conflist'), listOf('third'));
  });

  test('says so in the list that is named, and where egress is', async (t) => {
    const host = new Host(t);
    host.write(second, listOf('second'));
    host.steer('a');
    await host.drain(second).look();
    assert.equal(host.read(first), withEntry(listOf('first'), host.draining));
    assert.equal(host.read(second), withEntry(listOf('second'), host.draining));
  });

  test('has nothing to wait for without pods, and its chain stays as it is', async (t) => {
    const host = new Host(t);
    assert.equal(await host.drain().look(), undefined);
    assert.equal(host.read(first), withEntry(listOf('first'), host.entry));
  });

  test('is never given an entry whose binary is missing, and no folder either', async (t) => {
    const host = new Host(t);
    host.write(first, listOf('first'));
    host.steer('a');
    rmSync(host.at('bin/egress'));
    assert.equal(await host.drain().look(), undefined);
    assert.equal(host.read(first), listOf('first'));
    assert.deepEqual(readdirSync(host.places.binDir), []);
  });

  test('whose binary goes while somebody else has the lock is given no entry', async (t) => {
    const host = new Host(t);
    host.write(first, listOf('first'));
    host.steer('a');
    const lock = (fd: number, path: string) => {
      rmSync(host.at('bin/egress'));
      return lockFile(fd, path);
    };
    const drain = new Drain(host.places, {}, { ...tools, lockFile: lock });
    assert.equal(await drain.look(), undefined);
    assert.equal(host.read(first), listOf('first'));
  });
});

describe('egress uninstall --drain', () => {
  test('waits for the last pod, and then takes egress out', async (t) => {
    const host = new Host(t);
    host.steer('a', 'b');
    const { said, done } = host.uninstall();
    await until(() => said.length === 1);
    host.end('a');
    await until(() => said.length === 2);
    assert.equal(host.read(first), withEntry(listOf('first'), host.draining));
    host.end('b');
    assert.equal(await done, 0);
    assert.equal(host.read(first), listOf('first'));
    assert.deepEqual(said.slice(0, 2), [
      '2 attachments of pods are steered until they end\n',
      '1 attachment of pods is steered until it ends\n',
    ]);
    assert.equal(existsSync(host.at('bin/egress')), true);
  });

  test('with --stay stays after its work and says so, and "egress ready" shows what it waits for and when it is done', async (t) => {
    const host = new Host(t);
    host.steer('a');
    for (const name of ['moves.json', 'drained', 'policies.summary']) writeFileSync(host.at(`data/${name}`), '{}');
    const { said, end, done } = host.uninstall({ stay: true });
    const shown = () => {
      const texts: string[] = [];
      const readFile = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
      let isReady = true;
      const setExitCode = () => {
        isReady = false;
      };
      ready(host.readyFile, { readFile, write: (text) => texts.push(text), setExitCode });
      return { isReady, text: texts.join('') };
    };
    await until(() => said.length === 1);
    await until(() => /1 attachment of pods is steered until it ends/.test(shown().text));
    assert.equal(shown().isReady, false);
    assert.equal(existsSync(host.at('data/moves.json')), true, 'a pod that runs may need it');
    host.end('a');
    await until(() => /egress is off this node/.test(said.at(-1) ?? ''));
    assert.equal(shown().isReady, true);
    assert.match(shown().text, /is left: pods that run need it/);
    assert.equal(host.read(first), listOf('first'));
    assert.deepEqual(readdirSync(host.at('data')), ['attachments'], 'what was said of gateways goes with the last pod');
    end();
    assert.equal(await done, 0);
    assert.equal(shown().isReady, false, 'nobody says any more how it is');
  });

  test('"egress ready --wait" answers as soon as all is ready, and says no only when the time is over', async (t) => {
    const host = new Host(t);
    const readFile = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
    const codes: number[] = [];
    const surroundings = { readFile, write: () => {}, setExitCode: (code: number) => void codes.push(code) };
    await readyWithin(0.1, host.readyFile, surroundings);
    assert.deepEqual(codes, [1]);
    const { done, end } = host.uninstall({ stay: true });
    await readyWithin(3600, host.readyFile, surroundings);
    assert.deepEqual(codes, [1], 'nothing was waited for: no pod is steered');
    end();
    await done;
  });

  test('refuses to look where the chain’s pods are not: it would leave the chain at once', async (t) => {
    const host = new Host(t);
    host.steer('a');
    const before = host.read(first);
    for (const [places, remedy] of [
      [{ binDir: host.at('elsewhere') }, /elsewhere\/egress is not there: say with --bin-dir/],
      [{ dataDir: host.at('elsewhere') }, /not in .*elsewhere: say so with --data-dir/],
    ] as const) {
      const drain = new Drain({ ...host.places, ...places }, {}, tools);
      assert.throws(() => drain.requirePlaces(), remedy);
    }
    host.drain().requirePlaces();
    assert.equal(host.read(first), before);
  });

  test('that is told to end before that leaves the chain as it is, and says so', async (t) => {
    const host = new Host(t);
    host.steer('a');
    const { said, end, done } = host.uninstall();
    await until(() => said.length === 1);
    end();
    assert.equal(await done, 1);
    assert.match(said.at(-1) ?? '', /before the last pod had ended/);
    assert.equal(host.read(first), withEntry(listOf('first'), host.draining));
  });

  test('waits for the agent to end what the node serves, and takes its lock from nobody for that', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    const host = new Host(t, machine);
    host.hasAgent = true;
    await bringUp(machine, gatewayConfiguration());
    const { said, done } = host.uninstall();
    await until(() => said.length === 1);
    assert.match(said[0] ?? '', /^"shared" is served to others until the agent ends that/);
    await leave(machine);
    host.write(second, listOf('second')); // rings
    assert.equal(await done, 0);
  });

  test('tells why the chain cannot say that it is drained, and goes on to wait', async (t) => {
    const host = new Host(t);
    rmSync(join(host.places.confDir, first));
    host.steer('a');
    const { said, done } = host.uninstall();
    await until(() => said.length === 2);
    assert.match(said[1] ?? '', /^egress: network: waiting for a network configuration\n$/);
    host.write(first, listOf('late'));
    await until(() => host.read(first) !== listOf('late'));
    assert.equal(host.read(first), withEntry(listOf('late'), host.draining));
    host.end('a');
    assert.equal(await done, 0);
    assert.equal(host.read(first), listOf('late'));
  });

  test('ends when somebody removes the binary, and leaves no entry that names it', async (t) => {
    const host = new Host(t);
    host.steer('a');
    const { said, done } = host.uninstall();
    await until(() => said.length === 1);
    rmSync(host.at('bin/egress'));
    assert.equal(await done, 0);
    assert.equal(host.read(first), listOf('first'));
  });
});

describe('egress uninstall in a container', () => {
  test('removes what is kept of the policy file where the data folder is mounted to be written', async (t) => {
    const host = new Host(t);
    const root = host.at('root');
    const summaries = [root, '/'].map((top) => join(top, host.places.dataDir, 'policies.summary'));
    for (const summary of summaries) {
      mkdirSync(dirname(summary), { recursive: true });
      writeFileSync(summary, '');
    }
    await uninstall({ ...host.places, hostRoot: root }, tools, { binary: false });
    assert.deepEqual(
      summaries.map((path) => existsSync(path)),
      [true, false],
    );
  });
});
