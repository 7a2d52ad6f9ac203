import { EgressError } from '../base/errors.ts';

/** Source ports that pods of one exit leave with and others do not: consecutive, both ends included. */
export interface PortBlock {
  /** Name of the exit. */
  readonly exit: string;
  /** 1024…65535. */
  readonly first: number;
  readonly last: number;
}

/** Ports below 1024 are the system's (RFC 6335, section 6): some servers trust who comes from one. */
const lowestPort = 1024;
const portCount = 65536 - lowestPort;

/** How many blocks an address has. */
export const blockCount = (portsPerPod: number): number => Math.floor(portCount / portsPerPod);

/** The share of one of `nodes` nodes, by its place among them. */
export interface Share {
  /** 0 for the first. */
  readonly place: number;
  /** At least 1. */
  readonly nodes: number;
}

/** A node's blocks on an address that pods of several nodes share: equal shares in the order of nodes. `end` is the next one's. */
function blocksOf(portsPerPod: number, { place, nodes }: Share): { readonly first: number; readonly end: number } {
  const count = blockCount(portsPerPod);
  return { first: Math.floor((place * count) / nodes), end: Math.floor(((place + 1) * count) / nodes) };
}

/** The place of the node that a port belongs to; `undefined` for ports that belong to nobody. */
export function placeOfPort(port: number, portsPerPod: number, nodes: number): number | undefined {
  const number = numberOf(port, portsPerPod);
  const count = blockCount(portsPerPod);
  if (number < 0 || number >= count) return undefined;
  return Math.ceil(((number + 1) * nodes) / count) - 1;
}

/** The pod, the exit and the limits of a block. */
export interface BlockRequest {
  readonly exit: string;
  readonly portsPerPod: number;
  readonly share: Share;
  /** The block that the pod has already, from an earlier ADD. */
  readonly own: PortBlock | undefined;
  /** Blocks of other pods of this node that leave with one of the same addresses. */
  readonly taken: readonly PortBlock[];
}

/** A block of the pod's own: its present one while that fits, else the lowest free one. Throws `ports-exhausted`. */
export function chooseBlock({ exit, portsPerPod, share, own, taken }: BlockRequest): PortBlock {
  const { first, end } = blocksOf(portsPerPod, share);
  const used = new Set(taken.flatMap((other) => numbersIn(other, portsPerPod)));
  const isFree = (number: number) => number >= first && number < end && !used.has(number);
  const kept = own && isWhole(own, portsPerPod) ? numberOf(own.first, portsPerPod) : undefined;
  if (kept !== undefined && isFree(kept)) return blockAt(exit, kept, portsPerPod);
  let number = first;
  while (used.has(number)) number++;
  if (isFree(number)) return blockAt(exit, number, portsPerPod);
  const who = share.nodes === 1 ? 'An address' : `One of ${share.nodes} nodes`;
  throw new EgressError(
    'ports-exhausted',
    `Exit "${exit}" gives each pod ${portsPerPod} source ports. ${who} has ${end - first} such blocks, and all are taken`,
  );
}

const numberOf = (port: number, portsPerPod: number): number => Math.floor((port - lowestPort) / portsPerPod);

function blockAt(exit: string, number: number, portsPerPod: number): PortBlock {
  const first = lowestPort + number * portsPerPod;
  return { exit, first, last: first + portsPerPod - 1 };
}

/** Whether a block is one of those of this size. */
function isWhole({ exit, first, last }: PortBlock, portsPerPod: number): boolean {
  const block = blockAt(exit, numberOf(first, portsPerPod), portsPerPod);
  return block.first === first && block.last === last;
}

/** The numbers of our blocks that share ports with `block`, which may have another size. */
function numbersIn({ first, last }: PortBlock, portsPerPod: number): number[] {
  const [from, to] = [numberOf(first, portsPerPod), numberOf(last, portsPerPod)];
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
