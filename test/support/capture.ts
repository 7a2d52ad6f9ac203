import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { contains, type Prefix } from '../../src/base/address.ts';
import { type Packet, readPcap } from './pcap.ts';
import type { Daemon } from './run.ts';
import { tool } from './tools.ts';
import { type Fabric, world } from './world.ts';

/** A recording of all IP packets that a node sends out of its uplinks, made with tcpdump at their outside ends. */
export class Capture {
  readonly #recorders: readonly Recorder[];

  private constructor(recorders: readonly Recorder[]) {
    this.#recorders = recorders;
  }

  /** Returns when the recording runs. */
  static async start(folder: string, fabrics: readonly Fabric[], port: string): Promise<Capture> {
    return new Capture(await Promise.all(fabrics.map((fabric) => Recorder.start(folder, fabric, port))));
  }

  /** Ends the recording; the packets of all uplinks in the order of time. An incomplete recording is an error. */
  async stop(): Promise<readonly Packet[]> {
    const packets = (await Promise.all(this.#recorders.map((recorder) => recorder.stop()))).flat();
    return packets.sort((a, b) => a.time - b.time);
  }
}

class Recorder {
  static #count = 0;
  readonly #daemon: Daemon;
  readonly #file: string;
  readonly #uplink: string;

  private constructor(daemon: Daemon, file: string, uplink: string) {
    this.#daemon = daemon;
    this.#file = file;
    this.#uplink = uplink;
  }

  static async start(folder: string, fabric: Fabric, port: string): Promise<Recorder> {
    const file = join(folder, `${port}-${fabric.name}-${++Recorder.#count}.pcap`);
    // The kernel itself selects what comes in from the node, so that tcpdump's counters compare; see #isComplete.
    const filter = 'inbound and (ip or ip6)';
    const options = ['-i', port, '-n', '-U', '--immediate-mode', '-B', '8192', '-s', '96', '-w', file, filter];
    const daemon = await fabric.namespace.start([tool('tcpdump'), ...options], 'listening on');
    return new Recorder(daemon, file, world[fabric.name].interface);
  }

  async stop(): Promise<readonly Packet[]> {
    while (!(await this.#hasCaughtUp())) await new Promise((resolve) => setTimeout(resolve, 20));
    await this.#daemon.stop('SIGINT');
    return readPcap(await readFile(this.#file), this.#uplink);
  }

  /** tcpdump answers SIGUSR1 with what it has written, what the kernel had for it, and what was lost in between. */
  async #hasCaughtUp(): Promise<boolean> {
    const seen = this.#daemon.lines.length;
    this.#daemon.signal('SIGUSR1');
    const line = await this.#daemon.line('dropped by kernel', seen);
    const [captured, received, dropped] = (line.match(/\d+/g) ?? []).map(Number);
    if (dropped !== 0) throw new Error(`The recording of ${this.#uplink} is not complete: ${line}`);
    return captured === received;
  }
}

/** The packets towards a range or an address. */
export function packetsTo(packets: readonly Packet[], ...prefixes: readonly Prefix[]): readonly Packet[] {
  return packets.filter(({ destination }) => prefixes.some((prefix) => contains(full(prefix), destination)));
}

/** The packets from a range or an address. */
export function packetsFrom(packets: readonly Packet[], ...prefixes: readonly Prefix[]): readonly Packet[] {
  return packets.filter(({ source }) => prefixes.some((prefix) => contains(full(prefix), source)));
}

const full = (prefix: string): Prefix =>
  prefix.includes('/') ? prefix : `${prefix}/${prefix.includes(':') ? 128 : 32}`;

/** A packet in one line, as a failed assertion shows it. */
export const describePacket = (packet: Packet): string =>
  `${packet.interface} ${packet.protocol} ${packet.source} > ${packet.destination}${packet.destinationPort ? ` port ${packet.destinationPort}` : ''}`;

/**
 * What must never be: packets of pods that left with another source or by another uplink than the lab's exit has, and
 * packets that left with a pod's own address. One line for each kind of packet, with how often it was seen.
 */
export function leaks(packets: readonly Packet[]): readonly string[] {
  const outside = packetsTo(packets, ...world.outside);
  const wrong = outside.filter(
    (packet) => packet.interface !== world.back.interface || packetsFrom([packet], ...world.exitAddress).length === 0,
  );
  const unmasked = packetsFrom(packets, ...world.cluster);
  return tally([...new Set([...wrong, ...unmasked])].map(describePacket));
}

/** Equal lines once each, with their number behind. */
export function tally(lines: readonly string[]): readonly string[] {
  const groups = Map.groupBy(lines, (line) => line);
  return [...groups].map(([line, all]) => `${line} (${all.length} times)`);
}
