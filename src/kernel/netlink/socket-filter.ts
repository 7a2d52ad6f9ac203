import { addressOf } from '../native/calls.ts';
import { setSocketBytes } from './libc.ts';

/** An instruction of classic BPF (linux/filter.h, struct sock_filter): code, jumps if true and false, operand. */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** linux/bpf_common.h: loads of a byte, of 16 and 32 bits at a place, of the message's length, behind X, and of an IPv4 header's length into X. */
export const load = {
  byte: 0x30,
  half: 0x28,
  word: 0x20,
  length: 0x80,
  byteBehind: 0x50,
  halfBehind: 0x48,
  headerLength: 0xb1,
} as const;
export const jumpIfEqual = 0x15;
export const jumpIfEqualX = 0x1d;
/** What was loaded is shifted to the left, becomes X, and is joined with X. */
export const [shiftLeft, toX, orX] = [0x64, 0x07, 0x4c];
export const jumpIfAny = 0x45;
/** The operand is how many bytes of the message the socket gets; with 0 it gets none. */
export const end = 0x06;

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

/**
 * Has the kernel keep from a socket what a program refuses: it takes no room there, and wakes nobody. Throws an Error with
 * `code` as setsockopt(2) does. The value is a struct sock_fprog (linux/filter.h): how many instructions, and where they lie.
 */
export function attachFilter(fd: number, program: readonly Instruction[]): void {
  const instructions = Buffer.alloc(8 * program.length);
  for (const [at, [code, ifTrue, ifFalse, operand]] of program.entries()) {
    instructions.writeUInt16LE(code, 8 * at);
    instructions.writeUInt8(ifTrue, 8 * at + 2);
    instructions.writeUInt8(ifFalse, 8 * at + 3);
    instructions.writeUInt32LE(operand, 8 * at + 4);
  }
  const value = Buffer.alloc(16);
  value.writeUInt16LE(program.length, 0);
  value.writeBigUInt64LE(addressOf(instructions), 8);
  setSocketBytes(fd, SOL_SOCKET, SO_ATTACH_FILTER, value);
}
