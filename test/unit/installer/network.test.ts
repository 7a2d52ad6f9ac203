import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { withEntry, withoutEntry } from '../../../src/installer/conflist.ts';
import { entryText } from '../../../src/installer/entry.ts';
import { Network } from '../../../src/installer/network.ts';
import { exchangeFiles } from '../../../src/kernel/netlink/libc.ts';
import { listOf, list as name } from '../../support/installation.ts';

const entry = entryText({});

/** A folder with a primary's list, which the primary has open when egress takes its place. */
class Host {
  readonly folder = mkdtempSync(join(tmpdir(), 'egress-network-'));
  readonly path = join(this.folder, name);
  now = 0;
  readonly network = new Network(
    { entry },
    { folder: () => this.folder, exchange: exchangeFiles, now: () => this.now },
  );
  readonly #fd: number;

  constructor(t: TestContext) {
    writeFileSync(this.path, listOf('first'));
    this.#fd = openSync(this.path, 'r+');
    t.after(() => {
      closeSync(this.#fd);
      rmSync(this.folder, { recursive: true });
    });
    this.network.look();
    assert.equal(this.text, withEntry(listOf('first'), entry));
  }

  get text(): string {
    return readFileSync(this.path, 'utf8');
  }

  /** The primary writes into the file that it has open, in whatever place that is now. */
  writeLate(text: string): void {
    ftruncateSync(this.#fd);
    writeSync(this.#fd, text, 0);
  }

  /** Somebody puts another file in its place. */
  replace(text: string): void {
    writeFileSync(join(this.folder, 'new'), text);
    renameSync(join(this.folder, 'new'), this.path);
  }

  requireListOf(mark: string): void {
    assert.equal(this.text, withEntry(listOf(mark), entry));
    assert.deepEqual(readdirSync(this.folder), [name]);
  }
}

const openFiles = () => readdirSync('/proc/self/fd').length;

test('somebody who never stops to replace the file costs no more files that are open than ten seconds of it', (t) => {
  const host = new Host(t);
  const replaced = () => {
    host.replace(listOf('second'));
    host.now += 1000;
    host.network.look();
  };
  for (let second = 0; second < 20; second++) replaced();
  const before = openFiles();
  for (let second = 0; second < 200; second++) replaced();
  assert.ok(openFiles() <= before, `${openFiles() - before} more files are open`);
});

describe('a primary that has its file open while egress takes its place', () => {
  test('is heard when it writes after that, and again when it writes once more', (t) => {
    const host = new Host(t);
    for (const mark of ['second', 'third', 'first']) {
      host.writeLate(listOf(mark));
      host.now += 1000;
      assert.equal(host.network.look().done, `put egress back into ${name}`);
      host.requireListOf(mark);
      assert.equal(host.network.look().done, undefined);
    }
  });

  test('is waited for until it has written all', (t) => {
    const host = new Host(t);
    host.writeLate(listOf('second').slice(0, 40));
    assert.equal(host.network.look().ok, true);
    host.requireListOf('first');
    host.writeLate(listOf('second'));
    host.network.look();
    host.requireListOf('second');
  });

  test('is heard when it wrote while repairs had to wait', (t) => {
    const host = new Host(t);
    for (let i = 0; i < 11; i++) {
      host.replace(listOf('theirs'));
      host.network.look();
    }
    host.writeLate(listOf('late'));
    assert.match(host.network.look().text, /more and more slowly/);
    host.now += 1000;
    host.network.look();
    host.requireListOf('late');
  });

  test('is not heard when another file has come since', (t) => {
    const host = new Host(t);
    host.writeLate(listOf('late'));
    host.replace(listOf('newer'));
    for (let i = 0; i < 3; i++) host.network.look();
    host.requireListOf('newer');
  });

  test('is heard for its last word when several files were written late', (t) => {
    const host = new Host(t);
    host.replace(listOf('theirs'));
    const other = openSync(host.path, 'r+');
    t.after(() => closeSync(other));
    host.network.look();
    host.writeLate(listOf('late'));
    writeSync(other, listOf('others'), 0);
    for (let i = 0; i < 3; i++) host.network.look();
    host.requireListOf('others');
  });

  test('does not get back what has no list of plugins, or what is in a file that is gone', (t) => {
    const host = new Host(t);
    host.writeLate('{"name":"n","plugins":[]}');
    host.network.look();
    host.requireListOf('first');
    rmSync(host.path);
    host.writeLate(listOf('late'));
    assert.match(host.network.look().text, /waiting for a network configuration/);
    assert.deepEqual(readdirSync(host.folder), []);
  });

  test('is waited for ten seconds, with a look every second', (t) => {
    const host = new Host(t);
    assert.equal(host.network.look().lookAgainMs, 1000);
    host.now = 10_000;
    assert.equal(host.network.look().lookAgainMs, undefined);
    host.writeLate(listOf('late'));
    host.network.look();
    assert.equal(withoutEntry(host.text), listOf('first'));
  });
});
