import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { EgressError, errorTable } from '../../../src/base/errors.ts';
import { runPlugin } from '../../../src/cni/plugin.ts';
import type { Reply } from '../../../src/cni/reply.ts';
import { type FakeMachine, newNode, stateOf } from './fake-machine.ts';
import type { Input } from './malformed.ts';

/** Longer than this no details are: an event of Kubernetes holds 1024 characters, a person reads one page. */
const longestDetails = 4500;

/** One call with an input, and with other variables. */
export const call = (machine: FakeMachine, { variables, stdin, policyFile }: Input, command?: string) =>
  runPlugin({
    variables: { ...variables, ...(command && { CNI_COMMAND: command }) },
    readStdin: () => stdin,
    readFile: () => policyFile,
    identify: () => policyFile,
    askLabels: () => Promise.reject(new EgressError('try-again', 'Nobody tells labels')),
    openMachine: async ({ dataDir, logFile = '/', logLevel = 'info' }) => {
      // What the file system and the log refuse with a stack of their own.
      for (const path of [dataDir, logFile]) assert.match(path, /^\/[^\0]*$/);
      assert.ok(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].includes(logLevel));
      return machine;
    },
  });

const numbers: ReadonlyMap<number, string> = new Map(
  Object.entries(errorTable).map(([code, { number }]) => [number, code]),
);

/** The code of a refusal, which has to be one that a person can read. */
export function codeOf({ stdout, exitCode }: Reply, given: string): string {
  assert.equal(exitCode, 1);
  const { code, msg, details, ...more } = JSON.parse(stdout);
  assert.deepEqual([Object.keys(more), typeof msg, typeof details], [['cniVersion'], 'string', 'string']);
  const name = numbers.get(code);
  assert.ok(name !== undefined && name !== 'internal', stdout);
  assert.ok(
    msg !== '' && details !== '' && details.length <= longestDetails,
    `${details.length} characters of details`,
  );
  assert.doesNotMatch(details, /\n\s+at |\.[jt]s:\d/, 'a stack');
  for (const accident of ['undefined', '[object', 'NaN', 'Cannot read', 'is not a function', 'stack size']) {
    assert.ok(given.includes(accident) || !details.includes(accident), details);
  }
  return name;
}

/** Its files are in memory where there is such a folder: to write them durably takes longer than all the rest. */
export function newMachineInMemory(t: TestContext): FakeMachine {
  const { TMPDIR } = process.env;
  try {
    if (existsSync('/dev/shm')) process.env.TMPDIR = '/dev/shm';
    return newNode(t, '172.18.0.5');
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  }
}

/** What a call can leave but for what was found out about the policy file, which makes no difference but in time. */
export function stateOfCalls(machine: FakeMachine): string {
  const { store, ...state } = stateOf(machine);
  const kept = Object.entries(store).filter(([file]) => !file.startsWith('summary'));
  return JSON.stringify([state, kept]);
}

/** All that a message may quote. */
export const given = ({ stdin, policyFile = '', variables }: Input): string =>
  stdin + policyFile + JSON.stringify(variables);
