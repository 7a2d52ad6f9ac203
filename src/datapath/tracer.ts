import type { Address } from '../base/address.ts';
import type { ForeignChain } from './examiner.ts';
import type { Filter } from './filter.ts';

/** The packets to follow: those of a pod to a destination, and what answers them. */
export interface Traced {
  readonly source: Address;
  readonly destination: Address;
  /** IPPROTO_*. */
  readonly protocol?: number;
  /** Of the destination; only with a protocol that has ports. */
  readonly port?: number;
}

/** The chains that mark packets for tracing: of packets before all others, of answers behind conntrack. */
export const tracedChains = { packets: 'packets', answers: 'answers' } as const;

/** What a rule, or the end of a chain, decided; `continue`: the next rule is asked. */
export interface TraceVerdict {
  readonly code: 'accept' | 'drop' | 'jump' | 'goto' | 'return' | 'continue' | 'queue' | 'stolen';
  /** Of `jump` and `goto`. */
  readonly chain?: string;
}

/** What the kernel tells of a packet that it traces (linux/netfilter/nf_tables.h, NFTA_TRACE_*). */
export interface TraceEvent {
  /** The same for all that is told of one packet. */
  readonly id: number;
  readonly family: Filter['family'];
  readonly table: string;
  readonly chain: string;
  readonly type: 'rule' | 'return' | 'policy';
  /** Of a rule. */
  readonly handle?: bigint;
  readonly verdict?: TraceVerdict;
  /** Indexes of interfaces, as far as they are known there. */
  readonly inputIndex?: number;
  readonly outputIndex?: number;
  readonly mark: number;
  /** Of the IP header as it is there; told by the first event of a chain at a hook. */
  readonly source?: Address;
  readonly destination?: Address;
}

/** Follows packets by the kernel's own tracing. */
export interface Tracer {
  /** All chains with their rules, ours too: what handles and names in events stand for. */
  listChains(): Promise<readonly ForeignChain[]>;
  /**
   * Marks packets for tracing, in a table that the kernel removes with the process, and calls back for each event until
   * disposed of. Throws `kernel-refused` before Linux 5.12.
   */
  trace(packets: Traced, seen: (event: TraceEvent) => void): Promise<Disposable>;
}
