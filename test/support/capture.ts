import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Packet, readPcap } from './pcap.ts';
import type { Daemon } from './run.ts';
import { tool } from './tools.ts';
import { type Fabric, type FabricName, world } from './world.ts';

/** The port of a fabric that a node is plugged into, and the MAC address of the node there. */
export interface Port {
  readonly name: string;
  readonly hardwareAddress: Readonly<Record<FabricName, string>>;
}

/** A recording of all IP packets that a node sends out of its uplinks, made with tcpdump at their outside ends. */
export class Capture {
  readonly #recorders: readonly Recorder[];

  private constructor(recorders: readonly Recorder[]) {
    this.#recorders = recorders;
  }

  /** Returns when the recording runs. */
  static async start(folder: string, fabrics: readonly Fabric[], port: Port): Promise<Capture> {
    return new Capture(await Promise.all(fabrics.map((fabric) => Recorder.start(folder, fabric, port))));
  }

  /** Ends the recording; the packets of all uplinks in the order of time. An incomplete recording is an error. */
  async stop(): Promise<readonly Packet[]> {
    const packets = (await Promise.all(this.#recorders.map((recorder) => recorder.stop()))).flat();
    return packets.sort((a, b) => a.time - b.time);
  }
}

/** tcpdump on one port. */
class Recorder {
  static #count = 0;
  readonly #daemon: Daemon;
  readonly #file: string;
  readonly #uplink: string;
  /** How far tcpdump was behind the kernel at the start: the packets that came before its filter was in place. */
  #behindAtStart = 0;

  private constructor(daemon: Daemon, file: string, uplink: string) {
    this.#daemon = daemon;
    this.#file = file;
    this.#uplink = uplink;
  }

  static async start(folder: string, fabric: Fabric, port: Port): Promise<Recorder> {
    const file = join(folder, `${port.name}-${fabric.name}-${++Recorder.#count}.pcap`);
    // Not "inbound": libpcap runs the filter of the first packet itself, and cannot do that with "inbound".
    const filter = `ether src ${port.hardwareAddress[fabric.name]} and (ip or ip6)`;
    const options = ['-i', port.name, '-n', '-U', '--immediate-mode', '-B', '8192', '-s', '160', '-w', file, filter];
    const daemon = await fabric.namespace.start([tool('tcpdump'), ...options], 'listening on');
    const recorder = new Recorder(daemon, file, world[fabric.name].interface);
    recorder.#behindAtStart = await recorder.#behind();
    return recorder;
  }

  async stop(): Promise<readonly Packet[]> {
    for (let tries = 0; (await this.#behind()) > this.#behindAtStart; tries++) {
      if (tries === 1000) throw new Error(`The recording of ${this.#uplink} does not catch up with the kernel`);
      await setTimeout(10);
    }
    await this.#daemon.stop('SIGINT');
    return readPcap(await readFile(this.#file), this.#uplink);
  }

  /** By how many packets tcpdump is behind the kernel: it answers SIGUSR1 with what it wrote, and what there was. */
  async #behind(): Promise<number> {
    const seen = this.#daemon.lines.length;
    this.#daemon.signal('SIGUSR1');
    const line = await this.#daemon.line('dropped by kernel', seen);
    const [captured = 0, received = 0, dropped] = (line.match(/\d+/g) ?? []).map(Number);
    if (dropped !== 0) throw new Error(`The recording of ${this.#uplink} is not complete: ${line}`);
    return received - captured;
  }
}
