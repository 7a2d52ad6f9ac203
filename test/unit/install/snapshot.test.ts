import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundle } from '../../../install/bundle.ts';
import { makeSnapshot } from '../../../install/snapshot.ts';

const options = ['--max-opt=0', '--disable-sigusr1'];
/** V8 compiles 12: what ran in the build cannot be run there, or not without ending it. It was 93 without `prepareAsAtStart`. */
const most = 20;
/** Bytes. It was 4.9 million with all that was compiled while Node and the program were loaded. */
const largest = 4.3e6;

/** The functions that V8 compiled, of a file that `--log-function-events` wrote: `function,interpreter,SCRIPT,START,END,MS,AT,NAME`. */
const compiledIn = (log: string): readonly string[] =>
  [...log.matchAll(/^function,interpreter,.*,(.*)$/gm)].map(([, name = '']) => name);

test('what a call runs is compiled in the snapshot, and little else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'egress-snapshot-'));
  try {
    const { main } = await bundle(folder, '0.0.0');
    const snapshot = makeSnapshot(process.execPath, options, main);
    const log = join(folder, 'v8.log');
    const logging = ['--log-function-events', `--logfile=${log}`, '--no-logfile-per-isolate'];
    const env = { CNI_COMMAND: 'VERSION' };
    const answer = execFileSync(process.execPath, [...options, ...logging, '--snapshot-blob', snapshot], {
      env,
      input: '{"cniVersion":"1.0.0"}',
      encoding: 'utf8',
    });
    assert.equal(JSON.parse(answer).cniVersion, '1.0.0');
    const compiled = compiledIn(readFileSync(log, 'utf8'));
    assert.ok(compiled.length > 0 && compiled.length <= most, `${compiled.length}: ${compiled.join()}`);
    const { length } = readFileSync(snapshot);
    assert.ok(length <= largest, `the snapshot has ${length} bytes`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
