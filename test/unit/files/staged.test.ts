import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { replaceFiles } from '../../../src/files/file.ts';
import { Staged } from '../../../src/files/staged.ts';

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'egress-staged-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'records'));
  return folder;
}

const records = [
  ['a.json', 'one'],
  ['b.json', 'two'],
] as const;

describe('staged files', () => {
  test('are put in their places, and leave nothing', (t) => {
    const folder = newFolder(t);
    {
      using staged = Staged.of(join(folder, 'staged'), records);
      assert.ok(staged);
      assert.deepEqual(readdirSync(join(folder, 'records')), []);
      assert.ok(staged.put('a.json', 'one', join(folder, 'records/a.json')));
      assert.equal(readFileSync(join(folder, 'records/a.json'), 'utf8'), 'one');
    }
    assert.ok(!existsSync(join(folder, 'staged')));
  });

  test('with another text, or gone, are written where they belong', (t) => {
    const folder = newFolder(t);
    using staged = Staged.of(join(folder, 'staged'), records);
    const other = [
      ['a.json', 'other'],
      ['b.json', 'two'],
      ['c.json', 'three'],
    ] as const;
    const [id = ''] = readdirSync(join(folder, 'staged'));
    rmSync(join(folder, 'staged', id, 'b.json'));
    replaceFiles(join(folder, 'records'), other, staged);
    const texts = other.map(([name]) => [name, readFileSync(join(folder, 'records', name), 'utf8')]);
    assert.deepEqual(texts, other);
  });

  test('that cannot be written are none', (t) => {
    const folder = newFolder(t);
    writeFileSync(join(folder, 'staged'), 'a file');
    assert.equal(Staged.of(join(folder, 'staged'), records), undefined);
    assert.equal(readFileSync(join(folder, 'staged'), 'utf8'), 'a file');
  });

  test('of others stay while they may still be used', (t) => {
    const folder = newFolder(t);
    using first = Staged.of(join(folder, 'staged'), records);
    Staged.of(join(folder, 'staged'), [['d.json', 'four']])?.[Symbol.dispose]();
    assert.ok(first?.put('b.json', 'two', join(folder, 'records/b.json')));
  });
});
