import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Calls, callOf } from '../../../src/agent/calls.ts';

describe('a line of the plugin’s log', () => {
  test('tells the command, how long it took, and the code of an error', () => {
    const done = '{"level":30,"time":1,"pid":2,"command":"ADD","containerId":"a","tookMs":25,"msg":"done"}';
    assert.deepEqual(callOf(done), { command: 'ADD', seconds: 0.025 });
    const failed = '{"level":40,"command":"DEL","tookMs":1500,"code":"kernel-refused","error":"x","msg":"failed"}';
    assert.deepEqual(callOf(failed), { command: 'DEL', seconds: 1.5, code: 'kernel-refused' });
  });

  for (const line of [
    '',
    '{"command":"ADD","msg":"done"}',
    '{"tookMs":1,"command":"rm -rf"}',
    '{"tookMs":"1","command":"ADD"}',
    '{"tookMs":1,',
    'null "tookMs":',
  ]) {
    test(`tells nothing when it is ${line || 'empty'}`, () => assert.equal(callOf(line), undefined));
  }

  test('gives no label that is no code', () => {
    assert.deepEqual(callOf('{"tookMs":1,"command":"ADD","code":"A\\"B"}'), { command: 'ADD', seconds: 0.001 });
  });
});

/** In a folder of its own. */
function inFolder(action: (at: (name: string) => string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'egress-calls-'));
  try {
    action((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const line = '{"command":"ADD","tookMs":25,"msg":"done"}\n';
const entry = (logFile: string) => ({ type: 'egress', logFile });

describe('the calls', () => {
  test('are those in the logs that chain entries name, from now on', () =>
    inFolder((at) => {
      const log = at('egress.log');
      writeFileSync(log, line);
      const calls = new Calls();
      assert.deepEqual(calls.read([]), { calls: [], logs: 0 });
      assert.deepEqual(calls.read([entry(log)]), { calls: [], logs: 1 });
      appendFileSync(log, `${line}${line}`);
      assert.equal(calls.read([entry(log)]).calls.length, 2);
      appendFileSync(log, line);
      assert.deepEqual(calls.read([]), { calls: [], logs: 0 });
    }));

  test('come from logs that can be read alone: a name without a file, a folder and a pipe are no logs', () =>
    inFolder((at) => {
      const places = ['egress.log', 'none.log', 'folder', 'pipe'].map(at);
      writeFileSync(at('egress.log'), '');
      mkdirSync(at('folder'));
      execFileSync('mkfifo', [at('pipe')]);
      const calls = new Calls();
      assert.deepEqual(calls.read(places.map(entry)), { calls: [], logs: 1 });
      writeFileSync(at('none.log'), line);
      assert.deepEqual(calls.read(places.map(entry)), { calls: [{ command: 'ADD', seconds: 0.025 }], logs: 2 });
      rmSync(at('egress.log'));
      assert.deepEqual(calls.read(places.map(entry)), { calls: [], logs: 1 });
    }));
});
