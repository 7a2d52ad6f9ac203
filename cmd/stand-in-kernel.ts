import { openSync } from 'node:fs';
import { tunnelDevice } from '../src/datapath/tunnel.ts';
import type { Given, Native } from '../src/kernel/native/addon.ts';
import { type CallName, numberOf } from '../src/kernel/native/calls.ts';
import { flags, framed, messagesIn, type Reply, type Request } from '../src/kernel/netlink/framing.ts';
import { eachAttribute } from '../src/kernel/netlink/wire.ts';
import { asListed } from './as-listed.ts';

/** nf_tables: how a kind of object is made and asked for, and the attribute with its name, or with that of what it is in. */
const nftables = [
  { made: 0xa00, asked: 0xa01, name: 1 }, // tables
  { made: 0xa03, asked: 0xa04, name: 3 }, // chains
  { made: 0xa06, asked: 0xa07, name: 2 }, // rules
  { made: 0xa09, asked: 0xa0a, name: 2 }, // sets
  { made: 0xa0c, asked: 0xa0d, name: 2 }, // elements
] as const;
const [newRule, getElement, getGeneration] = [0xa06, 0xa0d, 0xa10];
/** rtnetlink: links, addresses, routes, neighbours, policy rules; and filters, of which there are none. */
const [newLink, getLink, getAddress, getRoute, getNeighbour, getRule, getFilter] = [16, 18, 22, 26, 30, 34, 46];
const routing: readonly number[] = [getLink, getAddress, getRoute, getNeighbour, getRule, getFilter];
const [ENOENT, ENODEV] = [2, 19];
/** NLMSG_ERROR, with 0 an acknowledgement, and NLMSG_DONE. */
const [acknowledgement, done] = [2, 3];
/** NFNL_MSG_BATCH_* */
const [batchBegin, batchEnd] = [16, 17];
const genericHeaderLength = 4;
/** A message of a listing has room for more than the socket's buffer has. */
const together = 16;

/**
 * A kernel, and the C library in front of it, that keep the messages they get and answer questions with the same bytes: for the
 * build, which runs all that an ADD runs but speaks to nobody. It is no kernel of tests: these stand in for the host, and would
 * leave our codecs and sockets uncompiled.
 */
export class StandInKernel implements Native {
  readonly #messages = new Map<number, Buffer[]>();
  readonly #datagrams: Buffer[] = [];
  #generation = 1;

  readonly #calls: Readonly<Partial<Record<CallName, (...given: never[]) => number>>> = {
    socket: opened,
    bpf: opened,
    sendto: (_fd: number, bytes: Buffer) => this.#take(bytes),
    recvfrom: (_fd: number, buffer: Buffer) => this.#datagrams.shift()?.copy(buffer) ?? -1,
    getsockname: (_fd: number, address: Buffer) => {
      address.writeUInt16LE(16); // AF_NETLINK
      address.writeUInt32LE(1, 4);
      return 0;
    },
  };

  /** What is not here succeeds. */
  call(number: number, ...given: readonly Given[]): number {
    const found = Object.entries(this.#calls).find(([name]) => numberOf(name as CallName) === number)?.[1];
    return found === undefined ? 0 : found(...(given as never[]));
  }

  later(): never {
    throw new Error('nothing has to wait');
  }

  address(): number {
    return 0;
  }

  trim(): void {}

  /** A batch without an end is tried alone. */
  #take(bytes: Buffer): number {
    const requests = messagesIn(bytes);
    const isBatch = requests.length > 1 && requests[0]?.type === batchBegin; // alone it is about a link
    const isWhole = requests.at(-1)?.type === batchEnd;
    if (isBatch && isWhole) this.#generation++;
    for (const { sequence, ...request } of requests) {
      const answers = isBatch && !isWhole ? [] : this.#answers(request);
      const [all, errno] = typeof answers === 'number' ? [[], answers] : [answers, 0];
      for (let at = 0; at < all.length; at += together) this.#send(all.slice(at, at + together), sequence);
      if (isListing(request) || (request.flags & flags.ack) !== 0) this.#send([endOf(request, errno)], sequence);
    }
    return bytes.length;
  }

  #send(replies: readonly Reply[], sequence: number): void {
    this.#datagrams.push(Buffer.concat(replies.map((reply) => framed([reply], { first: sequence, port: 1 }))));
  }

  /** The answers to a question, or an error. Nothing is said of what is made. */
  #answers({ type, flags: how, body }: Request): readonly Reply[] | number {
    if (type === getGeneration)
      return [replyOf(type, `000000000800010${this.#generation.toString(16).padStart(9, '0')}`)];
    if (routing.includes(type)) return this.#routing(type, body, how);
    const kind = nftables.find(({ asked }) => asked === type);
    if (kind === undefined) {
      this.#messages.set(type, [...this.#kept(type), type === newRule ? asListed(body) : body]);
      return [];
    }
    const name = attributeOf(body, kind.name);
    const isAll = isListing({ flags: how });
    // The key that is asked for is the last of the question.
    const isAsked = (own: Buffer) =>
      own[0] === body[0] &&
      (name === undefined || attributeOf(own, kind.name) === name) &&
      (isAll || type !== getElement || own.includes(body.subarray(-4)));
    const found = this.#kept(kind.made).filter(isAsked);
    if (!isAll && found.length === 0) return ENOENT;
    return (isAll ? found : found.slice(0, 1)).map((own) => ({ type: kind.made, flags: 0, body: own }));
  }

  #kept(type: number): readonly Buffer[] {
    return this.#messages.get(type) ?? [];
  }

  #routing(type: number, body: Buffer, how: number): readonly Reply[] | number {
    // The first that is said of the tunnel's device makes it. The begin of a batch has the same type.
    const device = this.#kept(newLink).find((own) => own.includes(tunnelDevice));
    if (type === getLink && body.includes(tunnelDevice))
      return device === undefined ? ENODEV : [{ type: newLink, flags: 0, body: device }];
    // A veth that is up, with index 1, a name and an MTU; a route that leads to it; an address of it: 192.0.2.5/24.
    if (type === getLink)
      return [
        replyOf(type, `${'00000000010000000100000000000000'}090003006574683100000000${'08000400dc050000'}${veth}`),
      ];
    if (type === getRoute && !isListing({ flags: how }))
      return [replyOf(type, '0220000000000001000000000800040001000000')];
    if (type === getAddress) return [replyOf(type, '0218000001000000' + '08000200c0000205')];
    return this.#kept(type - 2)
      .filter((own) => body[0] === 0 || own[0] === body[0])
      .map((own) => ({ type: type - 2, flags: 0, body: own }));
  }
}

/** IFLA_LINKINFO with IFLA_INFO_KIND. */
const veth = '10001200' + '0900010076657468' + '00000000';

/** A descriptor that can be closed. */
const opened = () => openSync('/dev/null', 'r');

const isListing = ({ flags: how }: Pick<Request, 'flags'>): boolean => (how & flags.dump) === flags.dump;

/** The end of an answer: of a listing, or an acknowledgement. */
function endOf(request: Request, errno: number): Reply {
  const body = Buffer.alloc(4);
  body.writeInt32LE(-errno);
  return { type: isListing(request) && errno === 0 ? done : acknowledgement, flags: 0, body };
}

/** An attribute of a message to nf_tables, as text; `undefined` when it has none. */
function attributeOf(body: Buffer, type: number): string | undefined {
  let found: string | undefined;
  eachAttribute(body, genericHeaderLength, body.length, (own, from, to) => {
    if (own === type) found = body.toString('latin1', from, to);
  });
  return found;
}

const replyOf = (type: number, hex: string): Reply => ({ type, flags: 0, body: Buffer.from(hex, 'hex') });
