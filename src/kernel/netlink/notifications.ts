import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { parseMessages } from 'netlink/dist/structs.js';
import type { Changed } from '../../datapath/host.ts';
import { linkChangeIn, RTM_NEWLINK } from '../rtnetlink/link.ts';
import { descriptorOfPort, droppedMessages, setSocketOption } from './libc.ts';
import { isOfOurTable, nftablesGroup, ofOurTable, swapped } from './our-table.ts';
import { protocols, type Reply } from './socket.ts';
import { attachFilter, end, type Instruction, jumpIfAny, jumpIfEqual, load } from './socket-filter.ts';

/** Where notifications come from: a protocol's multicast groups. */
interface Groups {
  readonly protocol: (typeof protocols)[keyof typeof protocols];
  readonly groups: readonly number[];
  /** What the kernel need not send. */
  readonly filter?: readonly Instruction[];
}

/** The groups whose messages may concern us, and the messages that do. */
interface Source extends Groups {
  concerns(message: Reply): boolean;
  /** Whether it tells that packets may not be steered any more. */
  isUrgent(message: Reply): boolean;
  /** Whether it tells that an interface came or went as pods have it. */
  isOfPods(message: Reply): boolean;
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
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
/** Offset of `ndm_state` in struct ndmsg (linux/neighbour.h). */
const stateOffset = 8;
/** NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY and NUD_PROBE: the kernel's own way with a neighbour. */
const learnt = 0x1f;

/** linux/netlink.h: place of `nlmsg_type`, and length of struct nlmsghdr. */
const header = { type: 4, length: 16 } as const;
const allOfIt = 0xffff_ffff;
/** A bridge tells of its ports in the family AF_BRIDGE. What becomes of an interface is told beside it. */
const AF_BRIDGE = 7;

/**
 * Every change but those of traffic alone: neighbours, and addresses behind a bridge, come, age and go. A node with 250 pods
 * tells of eight in a second though nothing happens. And of each pod's port its bridge tells four times. The kernel broadcasts each in
 * a message of its own.
 */
const noLearning: readonly Instruction[] = [
  [load.half, 0, 0, header.type],
  [jumpIfEqual, 4, 0, swapped(RTM_NEWLINK)],
  [jumpIfEqual, 1, 0, swapped(RTM_NEWNEIGH)],
  [jumpIfEqual, 0, 4, swapped(RTM_DELNEIGH)],
  [load.half, 0, 0, header.length + stateOffset],
  [jumpIfAny, 3, 2, swapped(learnt)],
  [load.byte, 0, 0, header.length],
  [jumpIfEqual, 1, 0, AF_BRIDGE],
  [end, 0, 0, allOfIt],
  [end, 0, 0, 0],
];

const RTM_DELRULE = 33;
function isRuleGone({ type }: Reply): boolean {
  return type === RTM_DELRULE;
}

function isOfPods(message: Reply): boolean {
  const change = linkChangeIn(message);
  return change?.isWhole === true && change.link.type === 'veth';
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
    isOfPods,
    filter: noLearning,
  },
  {
    protocol: protocols.netfilter,
    groups: [nftablesGroup],
    concerns: ({ body }) => isOfOurTable(body),
    isUrgent: isTableGone,
    isOfPods: () => false,
    filter: ofOurTable,
  },
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
  return listenTo(
    sources.map((source) => ({
      source,
      take: (messages, isLoss) => {
        const concerning = messages.filter(source.concerns);
        if (!isLoss && concerning.length === 0) return;
        const [isUrgent, ofPods] = [concerning.some(source.isUrgent), concerning.some(source.isOfPods)];
        changed({ isUrgent, isLoss, isOfPods: ofPods });
      },
    })),
    options,
  );
}

/** Takes the messages that came together, and whether some before them were lost. */
type Take = (messages: readonly Reply[], isLoss: boolean) => void;

/** Takes each change of each ruleset, and each of links and policy rules: all that a flowtable goes past. Throws as {@link listen} does. */
export function listenToRulesets(taken: { readonly rulesets: Take; readonly routing: Take }): Disposable {
  const { link, ipv4Rule, ipv6Rule } = routeGroups;
  const options = { bufferBytes: 4 * 1024 * 1024 };
  return listenTo(
    [
      { source: { protocol: protocols.netfilter, groups: [nftablesGroup] }, take: taken.rulesets },
      { source: { protocol: protocols.route, groups: [link, ipv4Rule, ipv6Rule] }, take: taken.routing },
    ],
    options,
  );
}

function listenTo(all: readonly { readonly source: Groups; readonly take: Take }[], options: ListenOptions) {
  const listeners: Listener[] = [];
  const close = () => {
    for (const listener of listeners) listener[Symbol.dispose]();
  };
  try {
    for (const { source, take } of all) listeners.push(new Listener(source, take, options));
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
  readonly #source: Groups;
  readonly #take: Take;
  readonly #socket: RawNetlinkSocket;
  readonly #descriptor: number;
  #dropped = 0;

  constructor(source: Groups, take: Take, { bufferBytes }: ListenOptions) {
    this.#source = source;
    this.#take = take;
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
    for (const event of ['truncatedMessage', 'error'] as const) this.#socket.on(event, () => take([], true));
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
    this.#take(messages, this.#hasLost());
  }

  /** Whether something was lost since the last message. No loss stays unseen: where no room was, messages waited. */
  #hasLost(): boolean {
    const before = this.#dropped;
    this.#dropped = droppedMessages(this.#descriptor);
    return this.#dropped !== before;
  }
}
