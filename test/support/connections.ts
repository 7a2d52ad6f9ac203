import type { Namespace } from './namespace.ts';
import type { Pod } from './pod.ts';
import type { Daemon } from './run.ts';
import { program, tool } from './tools.ts';
import { world } from './world.ts';

/** Who speaks on a connection: both in turn, the other end alone all the time, or the other end when it is told to. */
export type Way = 'echo' | 'download' | 'idle';

/** What happened on some connections since the round before. */
export interface Round {
  /** Connections on which lines came. */
  readonly moved: number;
  /** Names of those on which none came. */
  readonly silent: readonly string[];
  /** Of each connection that ever ended, or brought anything but the next line from the same peer. */
  readonly broken: readonly string[];
  /** Addresses that the other end saw, in the order of their bytes. */
  readonly peers: readonly string[];
  /** The longest time between two lines of one connection, in milliseconds. */
  readonly gap: number;
}

/** Long TCP connections from a pod; see programs/connections.py. */
export class Connections {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** Resolves when all are connected. They go to the addresses in turn. */
  static async open(
    { network }: Pod,
    way: Way,
    count: number,
    addresses: readonly string[] = world.service,
  ): Promise<Connections> {
    const command = [tool('python3'), program('connections.py'), way, String(count), ...addresses];
    return new Connections(await network.start(command, 'connected'));
  }

  /** Waits until there were ten lines more on each connection, or until that has taken much too long. */
  async round(): Promise<Round> {
    const skip = this.#daemon.lines.length;
    this.#daemon.signal('SIGUSR1');
    const line = await this.#daemon.line('round ', skip);
    return JSON.parse(line.replace('round ', '')) as Round;
  }

  /** Closes all. Packets of theirs may still be on their way. */
  end(): Promise<void> {
    return this.#daemon.stop();
  }
}

/** The other end of {@link Connections}; see programs/partner.py. */
export class Partner {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  static async start(host: Namespace): Promise<Partner> {
    return new Partner(await host.start([tool('python3'), program('partner.py')], 'ready'));
  }

  /** Sends ten lines on each connection that was idle until now. */
  speak(): void {
    this.#daemon.signal('SIGUSR1');
  }

  /** What this end says of connections that ended. */
  get broken(): readonly string[] {
    return this.#daemon.lines.filter((line) => line.startsWith('broken'));
  }
}
