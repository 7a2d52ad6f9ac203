import type { Address } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Flow, Host } from '../datapath/host.ts';

/** How much of an egress address is in use on this node. */
export interface AddressUse {
  readonly exit: string;
  readonly address: Address;
  readonly connections: number;
  /** Source ports that some connection has, by protocol. */
  readonly ports: { readonly tcp: number; readonly udp: number };
}

/** IPPROTO_* of netinet/in.h. */
const protocols = { tcp: 6, udp: 17 } as const;

/** Milliseconds between two listings at least; and so many times as long as one took, so that they cost 1 % of a core at most. */
const pause = { least: 10_000, times: 100 } as const;

/** Lists the connections that leave with the addresses of exits, not too often: conntrack may have a million of them. */
export class PortsInUse {
  readonly #now: () => number;
  #next = Number.NEGATIVE_INFINITY;
  #known: readonly AddressUse[] = [];

  /** @param now milliseconds of a clock that does not go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** What is in use, as of the last listing. */
  async read(host: Host, exits: readonly ResolvedExit[]): Promise<readonly AddressUse[]> {
    const began = this.#now();
    if (began < this.#next) return this.#known;
    this.#known = await useOf(host, exits);
    const ended = this.#now();
    this.#next = ended + Math.max(pause.least, pause.times * (ended - began));
    return this.#known;
  }
}

async function useOf(host: Host, exits: readonly ResolvedExit[]): Promise<AddressUse[]> {
  const uses: AddressUse[] = [];
  for (const { name, ways } of exits.filter(({ gateway }) => gateway === undefined))
    for (const address of ways.flatMap(({ addresses }) => addresses))
      uses.push({ exit: name, address, ...countUse(await host.listFlowsTo(address)) });
  return uses;
}

const countUse = (flows: readonly Flow[]): Pick<AddressUse, 'connections' | 'ports'> => ({
  connections: flows.length,
  ports: { tcp: portsOf(flows, protocols.tcp), udp: portsOf(flows, protocols.udp) },
});

const portsOf = (flows: readonly Flow[], protocol: number): number =>
  new Set(flows.filter((flow) => flow.protocol === protocol).map(({ replyDestinationPort }) => replyDestinationPort))
    .size;
