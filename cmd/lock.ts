import * as kernel from '../src/kernel/lock.ts';

/**
 * Waits for the lock on an open file, but not for a process that never gives it back. Errors name the file by `path`.
 */
export const lockFile = (descriptor: number, path: string): void => kernel.lockFile(descriptor, path, handleAlarms);

function handleAlarms(): Disposable {
  const ignore = () => undefined;
  process.on('SIGALRM', ignore);
  return { [Symbol.dispose]: () => process.off('SIGALRM', ignore) };
}
