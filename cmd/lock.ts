import * as kernel from '../src/kernel/lock.ts';

/** Waits for the lock on an open file, which is named by its path in errors, but not for a process that never gives it back. */
export const lockFile = (descriptor: number, path: string): void => kernel.lockFile(descriptor, path, handleAlarms);

function handleAlarms(): Disposable {
  const ignore = () => undefined;
  process.on('SIGALRM', ignore);
  return { [Symbol.dispose]: () => process.off('SIGALRM', ignore) };
}
