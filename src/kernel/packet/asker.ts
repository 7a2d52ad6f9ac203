import { closeSync } from 'node:fs';
import { type Address, type Family, families, familyOf } from '../../base/address.ts';
import type { Asker, AskerEars, Question } from '../../datapath/host.ts';
import type { Link, Mac } from '../../datapath/objects.ts';
import { tunnelMac } from '../../datapath/tunnel.ts';
import { receiveIfAny } from '../netlink/libc.ts';
import { attachFilter, end, type Instruction, jumpIfAny, jumpIfEqual, load } from '../netlink/socket-filter.ts';
import { introduction } from './arp.ts';
import { echoRequest, readEchoReply } from './echo.ts';
import { ethernetFrame, etherTypes } from './ethernet.ts';
import { listenForHints } from './hint.ts';
import { ReadableSockets } from './readable.ts';
import { FrameSender, openListener } from './socket.ts';

/** Longer than any answer of ours; what is longer is cut, and is none. */
const messageBytes = 256;
/** So many answers are read in one look. */
const messagesAtOnce = 1024;

/** Where questions leave, and where their answers come in. */
export interface AskerDevices {
  /** Index of the tunnel's device, which may be made anew at any time; undefined while there is none. */
  tunnel(): Promise<number | undefined>;
  /** The interface that leads to the gateways. */
  readonly underlay: Pick<Link, 'index' | 'mac'>;
  readonly ears: AskerEars;
  /** The MAC address of a station on the underlay's segment; undefined when the kernel does not know it now. */
  stationOf(address: Address): Promise<Mac | undefined>;
}

/**
 * Milliseconds between two introductions to a gateway: to the one in use, and while several are asked. A gateway sends its answer
 * from the egress address, and asks the segment for us in that address's name (arp_announce 0). A node with another way to that
 * address and a strict reverse path filter does not answer such a question, and the gateway would lose its answer.
 */
const introduceEvery = { inUse: 5_000, searching: 250 } as const;

/**
 * Questions go as frames into the tunnel's device. Answers are read at the underlay's interface by a packet socket of each
 * family: where the node has another way to the egress address, a strict reverse path filter drops the answer behind that,
 * and so may a firewall, which never saw the question.
 */
export class EchoAsker implements Asker {
  readonly #devices: AskerDevices;
  readonly #frames: FrameSender;
  readonly #sockets = new Map<Family, number>();
  /** Tells our answers from those to other programs that ping. */
  readonly #identifier = new DataView(crypto.getRandomValues(new Uint8Array(2)).buffer).getUint16(0);
  readonly #buffer = Buffer.alloc(messageBytes);
  readonly #readable = new ReadableSockets();
  #listening: readonly Disposable[] = [];
  #hints: { readonly device: number; readonly socket: Disposable } | undefined;
  #sequence = 0;
  /** When this node was introduced to gateways, in milliseconds of a clock that does not go back. */
  readonly #introducedAt = new Map<Address, number>();

  /** Throws an Error with `code`: `EPERM` without CAP_NET_RAW, `ENODEV` without the interface. */
  constructor(devices: AskerDevices) {
    this.#devices = devices;
    this.#frames = new FrameSender();
    try {
      for (const family of families) {
        const prepare = (fd: number) => attachFilter(fd, repliesOnly(family, this.#identifier));
        this.#sockets.set(family, openListener(devices.underlay.index, etherTypes[`ipv${family}`], { prepare }));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async ask(own: Address, questions: readonly Question[]): Promise<void> {
    const device = await this.#devices.tunnel();
    if (device === undefined) return;
    this.#sequence = (this.#sequence + 1) & 0xffff;
    try {
      this.#listen(device);
      await this.#introduce(own, new Set(questions.map(({ gateway }) => gateway)));
      for (const question of questions) this.#frames.send(device, this.#frame(own, question));
    } catch {
      // The device is down, or went just now (ENETDOWN, ENXIO): nobody answers then.
    }
  }

  /** Hears hints at the tunnel's device, which may be another one now. */
  #listen(device: number): void {
    if (this.#hints?.device === device) return;
    this.#hints?.socket[Symbol.dispose]();
    this.#hints = undefined;
    const socket = listenForHints(this.#readable, device, (from) => this.#devices.ears.hinted(from));
    this.#hints = { device, socket };
  }

  async #introduce(own: Address, gateways: ReadonlySet<Address>): Promise<void> {
    const { underlay, stationOf } = this.#devices;
    if (familyOf(own) === 6 || underlay.mac === undefined) return;
    const now = performance.now();
    const due = now - (gateways.size > 1 ? introduceEvery.searching : introduceEvery.inUse);
    for (const gateway of gateways) {
      if ((this.#introducedAt.get(gateway) ?? Number.NEGATIVE_INFINITY) > due) continue;
      const mac = await stationOf(gateway);
      if (mac === undefined) continue;
      this.#introducedAt.set(gateway, now);
      const frames = introduction({ mac: underlay.mac, address: own }, { mac, address: gateway });
      for (const frame of frames) this.#frames.send(underlay.index, frame);
    }
  }

  #frame(own: Address, { gateway, address, source, data }: Question): Buffer {
    const packet = echoRequest(source, address, { identifier: this.#identifier, sequence: this.#sequence, data });
    return ethernetFrame(tunnelMac(gateway), tunnelMac(own), etherTypes[`ipv${familyOf(address)}`], packet);
  }

  answers(): readonly Buffer[] {
    return [...this.#sockets].flatMap(([family, fd]) => {
      const found: Buffer[] = [];
      for (let n = 0; n < messagesAtOnce; n++) {
        const length = receiveIfAny(fd, this.#buffer);
        if (length === undefined) break;
        const echo = readEchoReply(family, this.#buffer.subarray(0, length));
        if (echo?.identifier === this.#identifier) found.push(echo.data);
      }
      return found;
    });
  }

  listen(isWanted: boolean): void {
    if (isWanted === this.#listening.length > 0) return;
    for (const one of this.#listening) one[Symbol.dispose]();
    const tell = () => this.#devices.ears.answered();
    this.#listening = isWanted ? [...this.#sockets.values()].map((fd) => this.#readable.add(fd, tell)) : [];
  }

  [Symbol.dispose](): void {
    this.listen(false);
    this.#hints?.socket[Symbol.dispose]();
    this.#readable[Symbol.dispose]();
    this.#frames[Symbol.dispose]();
    for (const fd of this.#sockets.values()) closeSync(fd);
  }
}

/**
 * Lets echo replies with the identifier pass, and no fragments but of IPv6, where none are looked for. The packet begins with
 * its IP header.
 */
function repliesOnly(family: Family, identifier: number): readonly Instruction[] {
  const checks: readonly Instruction[][] =
    family === 4
      ? [
          [
            [load.byte, 0, 0, 9],
            [jumpIfEqual, 0, 1, 1],
          ], // protocol
          [
            [load.half, 0, 0, 6],
            [jumpIfAny, 1, 0, 0x1fff],
          ], // fragment offset
          [
            [load.headerLength, 0, 0, 0],
            [load.byteBehind, 0, 0, 0],
            [jumpIfEqual, 0, 1, 0],
          ], // type
          [
            [load.halfBehind, 0, 0, 4],
            [jumpIfEqual, 0, 1, identifier],
          ],
        ]
      : [
          [
            [load.byte, 0, 0, 6],
            [jumpIfEqual, 0, 1, 58],
          ], // next header
          [
            [load.byte, 0, 0, 40],
            [jumpIfEqual, 0, 1, 129],
          ], // type
          [
            [load.half, 0, 0, 44],
            [jumpIfEqual, 0, 1, identifier],
          ],
        ];
  const length = checks.flat().length;
  const accept: Instruction = [end, 0, 0, messageBytes];
  const refuse: Instruction = [end, 0, 0, 0];
  const program = checks.flat().map(([code, ifTrue, ifFalse, operand], at): Instruction => {
    const away = length - at; // to the last instruction, which refuses
    return [code, ifTrue && away, ifFalse && away, operand];
  });
  return [...program, accept, refuse];
}
