import { tableName } from '../../nftables/object.ts';
import { end, type Instruction, jumpIfEqual, jumpIfEqualX, load, orX, shiftLeft, toX } from './socket-filter.ts';
import { eachAttribute } from './wire.ts';

/** linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES: whoever is in the group is told of each change of the ruleset. */
export const nftablesGroup = 7;
/** linux/netfilter/nfnetlink.h: length of struct nfgenmsg. */
export const genericHeaderLength = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, …: the same in every message of nf_tables. */
const tableAttribute = 1;
const ourTable = Buffer.from(`${tableName}\0`);

/** Whether a message of nf_tables is about a table with our name. Others may change their tables as often as they like. */
export function isOfOurTable(body: Buffer): boolean {
  let isOurs: boolean | undefined;
  eachAttribute(body, genericHeaderLength, body.length, (type, from, to) => {
    isOurs ??= type === tableAttribute && ourTable.equals(body.subarray(from, to));
  });
  return isOurs === true;
}

/** linux/netfilter/nfnetlink.h and nf_tables.h: NFNL_SUBSYS_NFTABLES, and NFT_MSG_NEWGEN of it. */
export const newGeneration = (10 << 8) | 15;

/** linux/netlink.h: places in struct nlmsghdr, and its length. */
const header = { length: 0, type: 4, bytes: 16 } as const;
const firstAttribute = header.bytes + genericHeaderLength;
/** 16 bits as a filter loads them: it reads the order of networks, and netlink writes that of the processor. */
export const swapped = (value: number): number => ((value & 0xff) << 8) | (value >> 8);

/**
 * Keeps from a socket what is told of others' tables and of generations, where it comes alone: what several messages tell together is
 * left to {@link isOfOurTable}.
 */
export const ofOurTable: readonly Instruction[] = withJumps([
  [load.half, 'next', 'next', header.type],
  [jumpIfEqual, 'refuse', 'next', swapped(newGeneration)],
  // The length of the first message, of 16 bits, is that of all.
  [load.byte, 'next', 'next', header.length + 1],
  [shiftLeft, 'next', 'next', 8],
  [toX, 'next', 'next', 0],
  [load.byte, 'next', 'next', header.length],
  [orX, 'next', 'next', 0],
  [toX, 'next', 'next', 0],
  [load.length, 'next', 'next', 0],
  [jumpIfEqualX, 'next', 'take', 0],
  [load.half, 'next', 'next', firstAttribute + 2],
  [jumpIfEqual, 'next', 'take', swapped(tableAttribute)],
  ...comparison(ourTable, firstAttribute + 4),
]);

type Jump = 'next' | 'take' | 'refuse';
type Step = readonly [code: number, ifTrue: Jump, ifFalse: Jump, operand: number];

/** Refuses what has other bytes at a place. A load behind the end of a message refuses it, too. */
function comparison(bytes: Buffer, place: number): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.length - at >= 4 ? 4 : bytes.length - at >= 2 ? 2 : 1;
    const code = { 4: load.word, 2: load.half, 1: load.byte }[length];
    steps.push([code, 'next', 'next', place + at], [jumpIfEqual, 'next', 'refuse', bytes.readUIntBE(at, length)]);
    at += length;
  }
  return steps;
}

/** With two ends behind the steps: the first takes the message, the second refuses it. */
function withJumps(steps: readonly Step[]): readonly Instruction[] {
  const over = (jump: Jump, at: number) => (jump === 'next' ? 0 : steps.length - at - (jump === 'take' ? 1 : 0));
  return [
    ...steps.map(
      ([code, ifTrue, ifFalse, operand], at): Instruction => [code, over(ifTrue, at), over(ifFalse, at), operand],
    ),
    [end, 0, 0, 0xffff_ffff],
    [end, 0, 0, 0],
  ];
}
