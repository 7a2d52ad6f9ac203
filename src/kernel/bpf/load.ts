import { addressOf } from '../native/calls.ts';
import { bpf } from '../netlink/libc.ts';

const BPF_PROG_LOAD = 5;
const BPF_PROG_TYPE_SCHED_CLS = 3;
/** Bytes of struct bpf_insn. */
const instructionLength = 8;
/** Of union bpf_attr for BPF_PROG_LOAD (linux/bpf.h), as far as Linux 4.15 knows it. */
const attributeLength = 64;
const nameLength = 15;
const licence = Buffer.from('Apache-2.0\0');
const name = 'cni_egress';

/**
 * Gives the kernel a program for filters of interfaces. Returns its descriptor, to be closed with close(2): a filter keeps
 * the program. Throws {@link systemError}: EPERM without CAP_BPF (or, before Linux 5.8, CAP_SYS_ADMIN), ENOSYS without bpf(2).
 */
export function loadProgram(instructions: Buffer): number {
  const attributes = Buffer.alloc(attributeLength);
  attributes.writeUInt32LE(BPF_PROG_TYPE_SCHED_CLS, 0);
  attributes.writeUInt32LE(instructions.length / instructionLength, 4);
  attributes.writeBigUInt64LE(addressOf(instructions), 8);
  attributes.writeBigUInt64LE(addressOf(licence), 16);
  attributes.write(name.slice(0, nameLength), 48);
  return bpf(BPF_PROG_LOAD, attributes);
}
