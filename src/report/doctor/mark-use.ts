import type { Extension, ForeignRule } from '../../datapath/examiner.ts';
import type { Expression, Hex } from '../../nftables/expression.ts';
import type { Unknown } from '../../nftables/observed.ts';

/** What a rule does with the packet mark. */
export interface MarkUse {
  /** The bits that it may change; all of them where it puts another mark in the place of the whole. */
  readonly writes: number;
  /** The bits that it looks at. Of a comparison of the whole mark only those that it wants to be 1. */
  readonly reads: number;
}

const all = 0xffffffff;

/** The value of a register: (mark & mask) ^ xor, or something else that is known or not. */
type Value = { readonly mask: number; readonly xor: number } | { readonly data: Hex } | 'unknown';

/** Follows the mark through the registers of a rule, and into the extensions of iptables. */
export function markUse({ expressions }: Pick<ForeignRule, 'expressions'>): MarkUse {
  const registers = new Map<number, Value>();
  let [writes, reads] = [0, 0];
  for (const expression of expressions) {
    const use = expression.name === 'xt' ? ofExtension(expression) : ofExpression(expression, registers);
    writes |= use.writes;
    reads |= use.reads;
  }
  return { writes: writes >>> 0, reads: reads >>> 0 };
}

const none: MarkUse = { writes: 0, reads: 0 };

function ofExpression(expression: Expression | Unknown, registers: Map<number, Value>): MarkUse {
  if (expression.name === 'meta' && 'sreg' in expression) {
    return expression.key === 'mark' ? { ...none, writes: writtenBy(registers.get(expression.sreg)) } : none;
  }
  if (expression.name === 'cmp') return { ...none, reads: readBy(registers.get(expression.sreg), expression.data) };
  if ('dreg' in expression && expression.dreg !== undefined) {
    registers.set(expression.dreg, resultOf(expression, registers));
  }
  return none;
}

function resultOf(expression: Expression, registers: ReadonlyMap<number, Value>): Value {
  if (expression.name === 'meta' && expression.key === 'mark') return { mask: all, xor: 0 };
  if (expression.name === 'immediate' && 'data' in expression) return { data: expression.data };
  if (expression.name !== 'bitwise') return 'unknown';
  const before = registers.get(expression.sreg);
  if (before === undefined || before === 'unknown' || 'data' in before) return 'unknown';
  const [mask, xor] = [numberOf(expression.mask), numberOf(expression.xor)];
  return { mask: (before.mask & mask) >>> 0, xor: ((before.xor & mask) ^ xor) >>> 0 };
}

/** Of a mark that is made of the packet's own mark what its mask takes away, and what is turned over. */
const writtenBy = (value: Value | undefined): number =>
  typeof value === 'object' && 'mask' in value ? (~value.mask | value.xor) >>> 0 : all;

function readBy(value: Value | undefined, data: Hex): number {
  if (typeof value !== 'object' || !('mask' in value)) return 0;
  return value.mask === all ? numberOf(data) : value.mask;
}

/** Registers hold a mark in the order of the host, which is little-endian. */
const numberOf = (bytes: Hex): number => (bytes.length === 8 ? Buffer.from(bytes, 'hex').readUInt32LE() : 0);

const CONNMARK_RESTORE = 2;

/** linux/netfilter/xt_mark.h: struct xt_mark_tginfo2, xt_mark_mtinfo1; xt_connmark.h: struct xt_connmark_tginfo1. */
function ofExtension({ kind, extension, info }: Extension): MarkUse {
  const bytes = Buffer.from(info, 'hex');
  const word = (place: number) => (bytes.length >= 4 * place + 4 ? bytes.readUInt32LE(4 * place) : 0);
  if (kind === 'target' && extension === 'MARK') return { ...none, writes: word(0) | word(1) };
  if (kind === 'target' && extension === 'CONNMARK') {
    return bytes[12] === CONNMARK_RESTORE ? { ...none, writes: word(2) } : none;
  }
  if (kind !== 'match' || extension !== 'mark') return none;
  return { ...none, reads: word(1) === all ? word(0) : word(1) };
}
