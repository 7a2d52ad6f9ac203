import type { Address } from '../../base/address.ts';
import type {
  Echo,
  Examiner,
  ForeignChain,
  ForeignFlowtable,
  ForeignTunnel,
  KnownNeighbour,
  Trials,
} from '../../datapath/examiner.ts';
import type { Mac } from '../../datapath/objects.ts';
import type { Traced, TraceEvent, Tracer } from '../../datapath/tracer.ts';
import { tunnelDevice } from '../../datapath/tunnel.ts';
import { NetlinkSocket, protocols } from '../netlink/socket.ts';
import { listFlowtables } from '../nftables/flowtable.ts';
import { readLink } from '../rtnetlink/link.ts';
import { readNeighbour } from '../rtnetlink/neighbour.ts';
import { echo } from './echo.ts';
import { tryFeatures } from './features.ts';
import { listChains, listForeignChains } from './foreign-chains.ts';
import { trace } from './trace.ts';
import { listForeignTunnels } from './tunnels.ts';
import { whoHas } from './who-has.ts';

/** The Linux kernel of the network namespace that this process is in, for somebody who looks for a fault. */
export class LinuxExaminer implements Examiner, Tracer, Disposable {
  readonly #route = new NetlinkSocket(protocols.route);
  readonly #netfilter = new NetlinkSocket(protocols.netfilter);

  [Symbol.dispose](): void {
    this.#route.close();
    this.#netfilter.close();
  }

  tryFeatures(): Promise<Trials> {
    return tryFeatures();
  }

  listForeignChains(): Promise<readonly ForeignChain[]> {
    return listForeignChains(this.#netfilter);
  }

  listChains(): Promise<readonly ForeignChain[]> {
    return listChains(this.#netfilter);
  }

  trace(packets: Traced, seen: (event: TraceEvent) => void): Promise<Disposable> {
    const unique = Math.floor(Math.random() * 0x100000000).toString(16);
    return trace(`cni-egress-trace-${unique}`, packets, seen);
  }

  listForeignTunnels(): Promise<readonly ForeignTunnel[]> {
    return listForeignTunnels(this.#route);
  }

  listFlowtables(): Promise<readonly ForeignFlowtable[]> {
    return listFlowtables(this.#netfilter);
  }

  async readNeighbour(device: string, address: Address): Promise<KnownNeighbour | undefined> {
    const link = await readLink(this.#route, device);
    return link && (await readNeighbour(this.#route, link.index, address));
  }

  async whoHas(
    device: string,
    addresses: readonly Address[],
  ): Promise<ReadonlyMap<Address, readonly Mac[]> | undefined> {
    const link = await readLink(this.#route, device);
    if (link?.mac === undefined || !link.up || addresses.length === 0) return undefined;
    return whoHas({ ...link, mac: link.mac }, addresses);
  }

  async echo(packets: readonly Echo[]): Promise<readonly boolean[]> {
    if (packets.length === 0) return [];
    const link = packets.some(({ tunnel }) => tunnel) ? await readLink(this.#route, tunnelDevice) : undefined;
    return echo(packets, link?.index);
  }
}
