import { createRequire } from 'node:module';
import { arch } from 'node:os';

/** Bytes of which the kernel gets the address, numbers, or nothing: up to six for a call. */
export type Given = number | NodeJS.ArrayBufferView | null;

/** What `calls.c` gives to JavaScript. Results are as the kernel gives them: an error is a negative errno. */
export interface Native {
  /** Makes a system call. */
  call(number: number, ...given: readonly Given[]): number;
  /** The same in a thread of Node's pool, which may wait. Who is called back must hold the bytes until then. */
  later(done: (result: number) => void, number: number, ...given: readonly Given[]): void;
  /** Where bytes lie in memory. */
  address(bytes: NodeJS.ArrayBufferView): number;
  /** malloc_trim(3). */
  trim(): void;
}

/** The addon for this processor, out of the file beside this one; in the binary `install/binary/calls-addon.cjs` has its place. */
export const load = (): Native => createRequire(import.meta.url)(`./calls.linux-${arch()}.node`) as Native;
