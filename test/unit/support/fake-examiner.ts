import type { Address } from '../../../src/base/address.ts';
import type {
  Echo,
  Examiner,
  ForeignChain,
  ForeignFlowtable,
  ForeignTunnel,
  KnownNeighbour,
  Trials,
} from '../../../src/datapath/examiner.ts';
import type { Mac } from '../../../src/datapath/objects.ts';
import { readIfThere } from '../../../src/files/file.ts';
import type { Surroundings } from '../../../src/report/doctor/facts.ts';
import type { Program, Room, System } from '../../../src/report/doctor/system.ts';

/** A world around a node, in memory: nothing of it is wrong. */
export class FakeExaminer implements Examiner {
  trials: Trials = [];
  readonly chains: ForeignChain[] = [];
  readonly tunnels: ForeignTunnel[] = [];
  readonly flowtables: ForeignFlowtable[] = [];
  readonly known = new Map<Address, KnownNeighbour>();
  /** Who answers for an address on any link. */
  readonly macs = new Map<Address, readonly Mac[]>();
  /** Whether a packet is answered. */
  answers: (packet: Echo) => boolean = () => true;
  readonly sent: Echo[] = [];

  async tryFeatures(): Promise<Trials> {
    return this.trials;
  }

  async listForeignChains(): Promise<readonly ForeignChain[]> {
    return this.chains;
  }

  async listForeignTunnels(): Promise<readonly ForeignTunnel[]> {
    return this.tunnels;
  }

  async listFlowtables(): Promise<readonly ForeignFlowtable[]> {
    return this.flowtables;
  }

  async readNeighbour(_device: string, address: Address): Promise<KnownNeighbour | undefined> {
    return this.known.get(address);
  }

  async whoHas(_device: string, addresses: readonly Address[]): Promise<ReadonlyMap<Address, readonly Mac[]>> {
    return new Map(addresses.map((address) => [address, this.macs.get(address) ?? []]));
  }

  async echo(packets: readonly Echo[]): Promise<readonly boolean[]> {
    this.sent.push(...packets);
    return packets.map(this.answers);
  }
}

/** A machine with room, rights and a clock. */
export class FakeSystem implements System {
  readonly kernel = '6.1.0';
  readonly glibc = '2.36';
  readonly writtenAt = Date.UTC(2026, 10, 1);
  time = Date.UTC(2026, 10, 28);
  rights: readonly string[] = [];
  room: Omit<Room, 'folder'> = { freeBytes: 1e9, freeFiles: 1000, writable: true };
  runtimes: readonly Program[] = [{ name: 'containerd', version: '1.7.1' }];
  agentRuns = false;

  now = () => this.time;
  findMissingRights = () => this.rights;
  isClaimed = () => this.agentRuns;
  roomIn = (folder: string): Room => ({ ...this.room, folder });
  findRuntimes = () => this.runtimes;
  versionOfPlugin = () => undefined;
}

/** Where doctor looks: network configurations are in a folder of the test's. */
export const surroundingsOf = (examiner: FakeExaminer, system: FakeSystem, folder: string): Surroundings => ({
  ...{ examiner, system, dataDir: folder, confDir: `${folder}/net.d`, binDir: '/bin' },
  readFile: readIfThere,
  filesIn: () => [],
});
