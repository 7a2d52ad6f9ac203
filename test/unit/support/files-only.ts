import assert from 'node:assert/strict';
import { commandLine } from '../../../src/cli/program.ts';
import type { ReadFile } from '../../../src/config/read.ts';
import { quietWork } from './quiet-work.ts';

/** What a command said, and its exit code. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command where there are only files, and nothing else may be touched. */
export async function runOnFiles(readFile: ReadFile, ...words: readonly string[]): Promise<Outcome> {
  const outcome = { exitCode: 0, stdout: '', stderr: '' };
  const program = commandLine({
    version: '1.2.3',
    write: (text) => {
      outcome.stdout += text;
    },
    remark: (text) => {
      outcome.stderr += text;
    },
    setExitCode: (code) => {
      outcome.exitCode = code;
    },
    colors: false,
    openWork: () => quietWork,
    worked: () => 0,
    hostName: 'node-1',
    sinceBoot: () => ({ boot: 'b', uptime: 0 }),
    openMachine: () => assert.fail('no kernel and no state'),
    findMissingRights: () => [],
    askLabels: () => Promise.reject(new Error('nobody is asked')),
    isClaimed: () => false,
    openService: () => assert.fail('no service'),
    openExamination: () => assert.fail('no host'),
    get hostTools(): never {
      return assert.fail('no installer');
    },
    readFile,
  });
  await program.parseAsync([...words], { from: 'user' });
  return outcome;
}
