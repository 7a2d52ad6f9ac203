import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { claimFile, isClaimed } from '../../../cmd/claim.ts';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'egress-claim-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

describe('a file that one process at a time may claim', () => {
  test('is made with its folder, is refused to others while it is held, and free again afterwards', (t) => {
    const path = join(folder(t), 'agent/lock');
    assert.equal(isClaimed(path), false);
    {
      using own = claimFile(path);
      assert.ok(own);
      assert.deepEqual([isClaimed(path), claimFile(path)], [true, undefined]);
    }
    assert.equal(isClaimed(path), false);
    using again = claimFile(path);
    assert.ok(again);
  });

  test('that cannot be made is an error, and not somebody else’s', (t) => {
    const place = join(folder(t), 'file');
    writeFileSync(place, '');
    assert.throws(() => claimFile(join(place, 'lock')), /ENOTDIR|EEXIST/);
  });
});
