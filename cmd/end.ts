import { exitAtOnce } from '../src/kernel/netlink/libc.ts';

/**
 * Ends the process with an exit code when everything is written, and waits for nothing. An open socket would keep a
 * runtime waiting for ever. Node's orderly end may fail, or wait for a stdout that nobody flushes.
 */
export function end(code: number): never {
  try {
    exitAtOnce(code);
  } catch {
    // The addon cannot be loaded, so no socket was opened by it.
  }
  process.exit(code);
}
