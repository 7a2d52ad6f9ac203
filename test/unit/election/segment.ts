import { setImmediate } from 'node:timers/promises';
import type { Address, Family } from '../../../src/base/address.ts';
import type { Advertisement } from '../../../src/election/advertisement.ts';
import { Elections } from '../../../src/election/elections.ts';
import type { Instance } from '../../../src/election/plan.ts';
import type { RouterStatus } from '../../../src/election/router.ts';
import type { Listener, Place, Segment, Surroundings } from '../../../src/election/surroundings.ts';

export const shared = ['192.0.2.33', '192.0.2.34'];

export const instance = (priority: number, changes: Partial<Instance> = {}): Instance => ({
  ...{ key: 'eth1 4', device: 'eth1', family: 4, vrid: 51, priority, interval: 10, preempt: false },
  ...{ addresses: shared, gateways: [], exits: ['internet'], needs: [] },
  ...changes,
});

/** Stations on one segment: its clock goes as the test says, and its packets take a millisecond, or get lost. */
export class World {
  now = 1_000;
  readonly stations: Station[] = [];
  /** Whether a packet arrives. */
  passes: (from: Station, to: Station) => boolean = () => true;
  #timers: { readonly at: number; readonly call: () => void }[] = [];

  station(): Station {
    const station = new Station(this, this.stations.length + 1);
    this.stations.push(station);
    return station;
  }

  at(time: number, call: () => void): Disposable {
    const timer = { at: time, call };
    this.#timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  /** A packet from one station to all others. */
  send(from: Station, deliver: (to: Station) => void): void {
    for (const to of this.stations.filter(
      (other) => other !== from && other.isPlugged && from.isPlugged && this.passes(from, other),
    ))
      this.at(this.now + 1, () => deliver(to));
  }

  /** Lets time pass, and all happen that is due. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    for (;;) {
      await setImmediate();
      const next = this.#timers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.now = Math.max(this.now, next.at);
      next.call();
    }
    this.now = end;
  }

  get holders(): readonly Station[] {
    return this.stations.filter(({ addresses }) => addresses.size > 0);
  }
}

/** A node with one interface: its kernel, which answers for addresses, and its elections. */
export class Station implements Surroundings {
  readonly world: World;
  readonly number: number;
  readonly addresses = new Set<Address>();
  readonly announced: Address[] = [];
  readonly asked: Address[] = [];
  readonly down = new Set<string>();
  elections: Elections;
  isPlugged = true;
  /** The program goes on; without it the kernel alone is there. */
  isAlive = true;
  /** Its socket for routers gets nothing. */
  isDeaf = false;
  changes = 0;
  #listener: Listener | undefined;
  #waiting: (() => void)[] = [];

  constructor(world: World, number: number) {
    this.world = world;
    this.number = number;
    this.elections = new Elections(this);
  }

  get mac(): string {
    return `02:00:00:00:00:0${this.number}`;
  }

  get source(): Address {
    return `192.0.2.${this.number}`;
  }

  /** The program begins anew, and knows nothing. */
  restart(): void {
    this.#listener = undefined;
    this.#waiting = [];
    this.isAlive = true;
    this.elections = new Elections(this);
  }

  get router(): RouterStatus {
    const [status] = this.elections.status.routers;
    if (status === undefined) throw new Error('no router');
    return status;
  }

  now(): number {
    return this.world.now;
  }

  date(): string {
    return String(this.world.now);
  }

  at(time: number, call: () => void): Disposable {
    const own = this.elections;
    return this.world.at(time, () => {
      if (this.elections !== own) return;
      if (this.isAlive) call();
      else this.#waiting.push(call);
    });
  }

  /** The program was stopped, and goes on where it was. */
  resume(): void {
    this.isAlive = true;
    for (const call of this.#waiting.splice(0)) call();
  }

  async find(device: string, _family: Family): Promise<Place | string> {
    if (!this.isPlugged) return `interface ${device} is down or has no carrier`;
    return { name: device, index: 7, mac: this.mac, source: this.source, held: [...this.addresses] };
  }

  async isRunning(device: string): Promise<boolean> {
    return !this.down.has(device);
  }

  open(_place: Place, family: Family, listener: Listener): Segment {
    this.#listener = listener;
    const advertise = (said: Advertisement) => this.world.send(this, (to) => to.hear(said, this.source, family));
    return {
      source: this.source,
      advertise: (said) => void advertise(said),
      listenAnew: () => {
        this.isDeaf = false;
      },
      ask: (address) => {
        this.asked.push(address);
        this.world.send(this, (to) => to.addresses.has(address) && to.claim(address, this));
      },
      announce: (addresses) => {
        this.announced.push(...addresses);
        for (const address of addresses) this.world.send(this, (to) => to.hearClaim(address, this.mac));
      },
      [Symbol.dispose]: () => {
        this.#listener = undefined;
      },
    };
  }

  hear(said: Advertisement, source: Address, family: Family): void {
    if (this.isAlive && !this.isDeaf) this.#listener?.heard({ ...said, family, source }, source);
  }

  /** The kernel answers, whether there is a program or not. */
  claim(address: Address, asker: Station): void {
    if (this.world.passes(this, asker)) this.world.at(this.world.now + 1, () => asker.hearClaim(address, this.mac));
  }

  hearClaim(address: Address, mac: string): void {
    if (this.isAlive) this.#listener?.claimed({ address, mac });
  }

  async give(_device: string, addresses: readonly Address[]): Promise<void> {
    for (const address of addresses) this.addresses.add(address);
  }

  async take(_device: string, addresses: readonly Address[]): Promise<void> {
    for (const address of addresses) this.addresses.delete(address);
  }

  changed(): void {
    this.changes++;
  }

  /** When it hinted to nodes that addresses move. */
  readonly hints: number[] = [];

  hint(): void {
    this.hints.push(this.world.now);
  }
}

/** Two nodes of which the first is Active, and the second Backup. */
export async function pair(): Promise<{ world: World; first: Station; second: Station }> {
  const world = new World();
  const [first, second] = [world.station(), world.station()];
  void first.elections.want([instance(254)]);
  void second.elections.want([instance(206)]);
  await world.pass(1_000);
  second.asked.length = 0; // as it began
  return { world, first, second };
}
