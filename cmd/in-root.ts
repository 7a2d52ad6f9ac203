import { execFile, spawnSync } from 'node:child_process';
import { accessSync } from 'node:fs';
import type { Trial } from '../src/installer/diagnosis.ts';
import { changeRoot } from '../src/kernel/netlink/libc.ts';

/** The first word of the command line when {@link tryInRoot} calls this program. Nobody else uses it. */
export const inRootCommand = 'in-root';

/** Milliseconds for a first start from a cold disk; a host where it takes longer could not start pods. */
const patience = 30_000;

/**
 * Asks a program for its version as the host would run it: with the folder as root, and so with the host's libraries.
 * A process cannot leave a root again, so a child of ours enters it.
 */
export function tryInRoot(root: string, program: string): Promise<Trial> {
  const { promise, resolve, reject } = Promise.withResolvers<Trial>();
  execFile(process.execPath, [inRootCommand, root, program], { timeout: 2 * patience }, (error, stdout, stderr) => {
    if (error === null) resolve(JSON.parse(stdout) as Trial);
    else reject(new Error(`The child that tries ${program} failed: ${stderr.trim() || error.message}`));
  });
  return promise;
}

/** In the child: enters the root, runs the program there, and says on stdout how it ended. */
export function runInRoot([root = '/', program = '']: readonly string[]): number {
  process.stdout.write(JSON.stringify(trialIn(root, program)));
  return 0;
}

function trialIn(root: string, program: string): Trial {
  try {
    if (root !== '/') changeRoot(root);
    process.chdir('/');
    accessSync(program);
  } catch (error) {
    return { error: named(error), exitCode: null, stdout: '', stderr: '' };
  }
  // Without our environment: a runtime does not give it to plugins either.
  const run = spawnSync(program, ['version', '--json'], { env: {}, encoding: 'utf8', timeout: patience });
  const { status, stdout, stderr, error } = run;
  const trial = { exitCode: status, stdout: stdout ?? '', stderr: stderr ?? '' };
  return error === undefined ? trial : { ...trial, error: named(error) };
}

/** Of an error that a system call gave. */
function named(error: unknown): { code: string; syscall: string } {
  if (!(error instanceof Error)) throw error;
  const { code = error.message, syscall = '' } = error as NodeJS.ErrnoException;
  return { code, syscall: syscall.split(' ')[0] ?? '' };
}
