import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { trimHeap } from '../src/kernel/native/calls.ts';
import { letGo } from '../src/kernel/netlink/libc.ts';

/**
 * Has V8 collect garbage sooner, for processes that run on and mostly wait: a round makes some MiB of garbage, and V8 would rather
 * keep 200 MiB of it than collect. New objects get 1 MiB and no more (V8 would grow that to 16), and what stays may grow by a
 * quarter from one collection to the next. What was compiled stays: else it would be compiled anew for each round. V8 reads the
 * first two flags when it is about to grow (heap/new-spaces.cc, heap/memory-controller.cc); a call of a runtime ends before that,
 * and does without.
 */
export function staySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=25');
  setFlagsFromString('--no-flush-bytecode');
}

let collect: (() => void) | undefined;

/**
 * Gives memory back to the kernel that a process at rest does not need: garbage, what the C library keeps of freed memory, and the
 * pages of the program's own file, most of which are read once, at the start. These stay in the kernel's cache, where the next call
 * of a runtime finds them, and come back from there one by one, as they are used. Takes some milliseconds, and a quarter of a second
 * with garbage (`collects`).
 */
export function giveBack({ collects }: { readonly collects: boolean }): void {
  if (collects) {
    collect ??= collector();
    collect();
    trimHeap();
  }
  for (const [start, end] of unwritten(readFileSync('/proc/self/smaps', 'utf8'))) letGo(start, end);
}

/**
 * V8's own, which is no part of the language. Of the ways that it has this one alone shrinks the space for new objects and forgets
 * what it could compile anew: 4 MiB more are free behind it.
 */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (how: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void;
  return () => gc({ type: 'major', flavor: 'last-resort' });
}

/**
 * Where the program's file lies in memory and nobody has ever written: what was written there is in no file, and would be lost. A
 * part that may be written, or of which a page is the process's own (`Anonymous`, `Swap`), is left alone (proc(5), smaps).
 */
export function unwritten(
  smaps: string,
  program = process.execPath,
): readonly (readonly [start: bigint, end: bigint])[] {
  const parts = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return parts.flatMap((part) => {
    const [, start, end, path] = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \d+ +(.*)$/m.exec(part) ?? [];
    const isFree = ['Anonymous', 'Swap'].every((name) => new RegExp(`^${name}: +0 kB$`, 'm').test(part));
    return path === program && isFree ? [[BigInt(`0x${start}`), BigInt(`0x${end}`)] as const] : [];
  });
}
