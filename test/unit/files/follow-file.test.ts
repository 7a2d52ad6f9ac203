import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FollowedFile } from '../../../src/files/follow-file.ts';

/** In a folder of its own, with a file of one line. */
function withFile(action: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'egress-follow-'));
  try {
    const path = join(folder, 'log');
    writeFileSync(path, 'old\n');
    action(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('a file that is followed', () => {
  test('gives each whole line once, from now on', () =>
    withFile((path) => {
      using file = new FollowedFile(path);
      assert.deepEqual(file.lines(), []);
      appendFileSync(path, 'a\nb');
      assert.deepEqual(file.lines(), ['a']);
      appendFileSync(path, 'c\n');
      assert.deepEqual(file.lines(), ['bc']);
      assert.deepEqual(file.lines(), []);
    }));

  test('gives what was added before it was renamed, and then what is in the one in its place', () =>
    withFile((path) => {
      using file = new FollowedFile(path);
      appendFileSync(path, 'a\n');
      renameSync(path, `${path}.1`);
      writeFileSync(path, 'b\n');
      assert.deepEqual(file.lines(), ['a', 'b']);
      appendFileSync(path, 'c\n');
      assert.deepEqual(file.lines(), ['c']);
    }));

  test('is read from its begin when it was cut off', () =>
    withFile((path) => {
      using file = new FollowedFile(path);
      truncateSync(path);
      appendFileSync(path, 'a\n');
      assert.deepEqual(file.lines(), ['a']);
    }));

  test('may come later, and go', () =>
    withFile((path) => {
      rmSync(path);
      using file = new FollowedFile(path);
      assert.deepEqual(file.lines(), []);
      writeFileSync(path, 'a\n');
      assert.deepEqual(file.lines(), ['a']);
      rmSync(path);
      assert.deepEqual(file.lines(), []);
      writeFileSync(path, 'b\n');
      assert.deepEqual(file.lines(), ['b']);
    }));

  test('passes over a line that never ends', () =>
    withFile((path) => {
      using file = new FollowedFile(path);
      appendFileSync(path, Buffer.alloc(3 * 1024 * 1024, 'x'));
      appendFileSync(path, '\na\n');
      assert.equal(file.lines().at(-1), 'a');
    }));

  test('is no pipe, whose lines belong to another reader', () =>
    withFile((path) => {
      rmSync(path);
      spawnSync('mkfifo', [path]);
      using file = new FollowedFile(path);
      assert.deepEqual(file.lines(), []);
    }));
});
