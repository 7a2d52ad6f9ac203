import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readFile } from '../../../cmd/machine.ts';
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

test('the calls are those in the logs that chain entries name, from now on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'egress-calls-'));
  try {
    const [confDir, log] = [join(folder, 'net.d'), join(folder, 'egress.log')];
    mkdirSync(confDir);
    const line = '{"command":"ADD","tookMs":25,"msg":"done"}\n';
    writeFileSync(log, line);
    const calls = new Calls(confDir, readFile);
    assert.deepEqual(calls.read(), { calls: [], logs: 0 });
    const plugins = [{ type: 'bridge' }, { type: 'egress', logFile: log }];
    writeFileSync(join(confDir, '1.conflist'), JSON.stringify({ cniVersion: '1.0.0', name: 'a', plugins }));
    assert.deepEqual(calls.read(), { calls: [], logs: 1 });
    appendFileSync(log, `${line}${line}`);
    assert.equal(calls.read().calls.length, 2);
    rmSync(join(confDir, '1.conflist'));
    appendFileSync(log, line);
    assert.deepEqual(calls.read(), { calls: [], logs: 0 });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
