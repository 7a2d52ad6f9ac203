import { exitAtOnce } from '../src/kernel/netlink/libc.ts';

/**
 * Ends the process with an exit code when everything is written. Said, not waited for: a socket that was left open would
 * keep a runtime waiting for ever, and what Node does at an orderly end may fail, or wait for a stdout that nobody flushes.
 */
export function end(code: number): never {
  exitAtOnce(code);
  process.exit(code);
}
