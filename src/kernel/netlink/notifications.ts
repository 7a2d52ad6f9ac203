import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { parseMessages } from 'netlink/dist/structs.js';
import type { Changed } from '../../datapath/host.ts';
import { tableName } from '../../nftables/object.ts';
import { descriptorOfPort, droppedMessages, setSocketOption } from './libc.ts';
import { protocols, type Reply } from './socket.ts';
import { attachFilter, end, type Instruction, jumpIfAny, jumpIfEqual, load } from './socket-filter.ts';
import { walk } from './wire.ts';

/** The sources of notifications: a protocol's multicast groups, and the messages that matter. */
interface Source {
  readonly protocol: (typeof protocols)[keyof typeof protocols];
  readonly groups: readonly number[];
  concerns(message: Reply): boolean;
  /** What the kernel need not send. */
  readonly filter?: readonly Instruction[];
  /** Whether it tells that packets may not be steered any more. */
  isUrgent(message: Reply): boolean;
}

/** linux/rtnetlink.h, RTNLGRP_*. The kernel tells of `rp_filter` in the group of IPv4's netconf. */
const routeGroups = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv4Rule: 8,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv6Rule: 19,
  ipv4Netconf: 24,
} as const;
/** linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES. */
const nftablesGroup = 7;

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
/** Offset of `ndm_state` in struct ndmsg (linux/neighbour.h). */
const stateOffset = 8;
/** NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY and NUD_PROBE: the kernel's own way with a neighbour. */
const learnt = 0x1f;

/** linux/netlink.h: place of `nlmsg_type`, and length of struct nlmsghdr. */
const header = { type: 4, length: 16 } as const;
const allOfIt = 0xffff_ffff;
/** 16 bits as a filter loads them: it reads the order of networks, and netlink writes that of the processor. */
const swapped = (value: number): number => ((value & 0xff) << 8) | (value >> 8);

/**
 * Every change but those of traffic alone: neighbours, and addresses behind a bridge, come, age and go. A node with 250 pods
 * tells of eight in a second though nothing happens. The kernel broadcasts each in a message of its own.
 */
const noLearning: readonly Instruction[] = [
  [load.half, 0, 0, header.type],
  [jumpIfEqual, 1, 0, swapped(RTM_NEWNEIGH)],
  [jumpIfEqual, 0, 3, swapped(RTM_DELNEIGH)],
  [load.half, 0, 0, header.length + stateOffset],
  [jumpIfAny, 0, 1, swapped(learnt)],
  [end, 0, 0, 0],
  [end, 0, 0, allOfIt],
];

/** linux/netfilter/nfnetlink.h: length of struct nfgenmsg. */
const genericHeaderLength = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, …: the same in every message of nf_tables. */
const tableAttribute = 1;
const ourTable = Buffer.from(`${tableName}\0`);

/** Others may change their tables as often as they like: the table of a message says whose it is. */
function isOurTable({ body }: Reply): boolean {
  const [first] = walk(body.subarray(genericHeaderLength));
  return first?.type === tableAttribute && ourTable.equals(first.payload);
}

const RTM_DELRULE = 33;
function isRuleGone({ type }: Reply): boolean {
  return type === RTM_DELRULE;
}

/** linux/netfilter/nfnetlink.h and nf_tables.h: NFNL_SUBSYS_NFTABLES, and NFT_MSG_DELTABLE of it. */
const deleteTable = (10 << 8) | 2;
function isTableGone({ type }: Reply): boolean {
  return type === deleteTable;
}

const sources: readonly Source[] = [
  {
    protocol: protocols.route,
    groups: Object.values(routeGroups),
    concerns: () => true,
    isUrgent: isRuleGone,
    filter: noLearning,
  },
  { protocol: protocols.netfilter, groups: [nftablesGroup], concerns: isOurTable, isUrgent: isTableGone },
];

/** How notifications are received. */
export interface ListenOptions {
  /** Room in the kernel for unread messages, in bytes (SO_RCVBUF); 0 for the kernel's default. */
  readonly bufferBytes: number;
}

/**
 * Calls back for each notification of the kernel that may concern us: about our tables, links, permanent neighbours,
 * addresses, routes and policy rules of this network namespace. Urgent is that our table or a policy rule is gone. Keeps the
 * event loop alive until it is disposed of. Throws where the kernel has no such groups, or needs CAP_NET_ADMIN for them.
 */
export function listen(changed: Changed, options: ListenOptions = { bufferBytes: 0 }): Disposable {
  const listeners: Listener[] = [];
  const close = () => {
    for (const listener of listeners) listener[Symbol.dispose]();
  };
  try {
    for (const source of sources) listeners.push(new Listener(source, changed, options));
  } catch (error) {
    close();
    throw error;
  }
  return { [Symbol.dispose]: close };
}

/** Larger than any notification: one is as long as its object, and a set's elements come in messages of a page. */
const messageBytes = 64 * 1024;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;

class Listener implements Disposable {
  readonly #source: Source;
  readonly #changed: Changed;
  readonly #socket: RawNetlinkSocket;
  readonly #descriptor: number;
  #dropped = 0;

  constructor(source: Source, changed: Changed, { bufferBytes }: ListenOptions) {
    this.#source = source;
    this.#changed = changed;
    this.#socket = new RawNetlinkSocket(source.protocol, {
      messagePeeking: false,
      msgBufferSize: messageBytes,
      recvBufferSize: bufferBytes,
      sendBufferSize: 0,
    });
    try {
      this.#descriptor = descriptorOfPort(this.#socket.address().port);
      this.#join();
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    this.#socket.on('message', (bytes: Buffer) => this.#receive(bytes));
    for (const event of ['truncatedMessage', 'error'] as const)
      this.#socket.on(event, () => changed({ isUrgent: false, isLoss: true }));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #join(): void {
    // ENOBUFS makes poll(2) say that the socket has an error, and there the package ends the whole process.
    setSocketOption(this.#descriptor, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
    const { filter, groups } = this.#source;
    if (filter !== undefined) attachFilter(this.#descriptor, filter);
    for (const group of groups) this.#socket.addMembership(group);
  }

  #receive(bytes: Buffer): void {
    const messages = parseMessages(bytes).map(({ type, flags, data }) => ({ type, flags, body: data as Buffer }));
    const concerning = messages.filter((message) => this.#source.concerns(message));
    const isLoss = this.#hasLost();
    if (isLoss || concerning.length > 0) this.#changed({ isUrgent: concerning.some(this.#source.isUrgent), isLoss });
  }

  /** Whether something was lost since the last message. No loss stays unseen: where no room was, messages waited. */
  #hasLost(): boolean {
    const before = this.#dropped;
    this.#dropped = droppedMessages(this.#descriptor);
    return this.#dropped !== before;
  }
}
