import type { IngressMark } from '../../datapath/objects.ts';

/** linux/bpf.h and linux/bpf_common.h: opcodes of 32-bit arithmetic with a number, of 32-bit memory, and of jumps. */
const codes = { load: 0x61, store: 0x63, and: 0x54, or: 0x44, move: 0xb7, jumpIfEqual: 0x15, exit: 0x95 } as const;

/** Of struct __sk_buff (linux/bpf.h). The protocol is in network order. */
const markOffset = 8;
const protocolOffset = 16;
/** linux/if_ether.h, ETH_P_ARP, as a little-endian machine reads it. */
const arp = 0x0608;
/** linux/pkt_cls.h, TC_ACT_UNSPEC: the next filter decides. */
const undecided = -1;

/** Registers: the result, the packet, and one for us. */
const [result, packet, own] = [0, 1, 2];

/**
 * A program that gives a packet a mark, all bits under the mask, and leaves it to others what becomes of it. ARP stays as it
 * is: nobody routes it, and no chain of ours would take the mark away.
 */
export const markingProgram = ({ value, mask }: Pick<IngressMark, 'value' | 'mask'>): Buffer =>
  Buffer.concat([
    instruction(codes.load, own, packet, protocolOffset),
    instruction(codes.jumpIfEqual, own, 0, 4, arp), // over the next four
    instruction(codes.load, own, packet, markOffset),
    instruction(codes.and, own, 0, 0, ~mask),
    instruction(codes.or, own, 0, 0, value | 0),
    instruction(codes.store, packet, own, markOffset),
    instruction(codes.move, result, 0, 0, undecided),
    instruction(codes.exit, 0, 0),
  ]);

/** struct bpf_insn of a little-endian machine. */
function instruction(code: number, to: number, from: number, offset = 0, number = 0): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8((from << 4) | to, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(number, 4);
  return bytes;
}
