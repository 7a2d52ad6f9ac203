import { readFileSync, writeSync } from 'node:fs';
import { runPlugin } from '../src/cni/plugin.ts';
import { identify, openMachine, readFile } from './machine.ts';

/** A container runtime calls: environment and stdin in, at most one JSON document on stdout and an exit code out. */
export async function runAsPlugin(): Promise<number> {
  const { stdout, exitCode } = await runPlugin({
    variables: process.env,
    readStdin: () => readFileSync(0, 'utf8'),
    readFile,
    identify,
    openMachine,
  });
  writeAll(stdout);
  return exitCode;
}

/** All of it before the process ends: a runtime's pipe takes 64 KiB at once, a result may be longer. */
function writeAll(text: string): void {
  for (let bytes = Buffer.from(text); bytes.length > 0; ) {
    try {
      bytes = bytes.subarray(writeSync(1, bytes));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}
