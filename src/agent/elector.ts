import { type Address, familyOf } from '../base/address.ts';
import { isEqual } from '../base/canonical.ts';
import type { Configuration } from '../config/configuration.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { ElectionStatus } from '../election/elections.ts';
import { gatewayWith, type HintTargets, type Instance, instancesOf, type SharedExit } from '../election/plan.ts';
import type { RouterStatus } from '../election/router.ts';
import { resolveOnNode } from '../node/exits.ts';
import type { Log, Machine } from '../node/machine.ts';
import { findOwnEnd, type OwnEnd } from '../node/own-end.ts';
import type { Exit } from '../policy/exit.ts';
import { vridOf } from '../policy/vrid.ts';
import type { ElectedExit, ElectionRecord } from '../store/record.ts';
import type { Child, StartChild } from './child.ts';
import { notesOf } from './election-notes.ts';

/** What the elector has around it. */
export interface ElectorSurroundings {
  readonly log: Log;
  /** Starts the process of elections. */
  readonly start: StartChild;
  /** Takes what the process tells, for whoever counts it. */
  told?(status: ElectionStatus): void;
  /** Another node has an exit's addresses now, or this one. */
  changed(): void;
}

/**
 * The agent's side of elections. It says which Virtual Routers there are, and writes down who has the exits' addresses, for rounds
 * and for ADD. The process beside the agent elects, puts addresses on interfaces and takes them away.
 */
export class Elector {
  readonly #around: ElectorSurroundings;
  readonly #known = new Map<string, SharedExit>();
  #instances: readonly Instance[] = [];
  #hints: HintTargets | undefined;
  #election: Child | undefined;
  #status: ElectionStatus | undefined;
  #told = '';
  #held = '';
  #isOver = false;
  #prepared: Promise<unknown> = Promise.resolve();

  constructor(around: ElectorSurroundings) {
    this.#around = around;
  }

  /** What the process told last. */
  get status(): ElectionStatus | undefined {
    return this.#status;
  }

  /**
   * Before a round, and when something has moved: whose exits they are now, and whether one has come here or gone. With `mayBegin`
   * false nothing begins that was not; and when the node is no gateway any more, all ends. One at a time: each says what has moved
   * since the one before.
   */
  async prepare(machine: Machine, configuration: Configuration | undefined, mayBegin: boolean): Promise<boolean> {
    const prepared = this.#prepared.then(() => this.#prepare(machine, configuration, mayBegin));
    this.#prepared = prepared.catch(() => {});
    return await prepared;
  }

  async #prepare(machine: Machine, configuration: Configuration | undefined, mayBegin: boolean): Promise<boolean> {
    if (configuration === undefined) return false;
    const { host, store } = machine;
    if (!mayBegin && store.loadNode()?.gateway !== undefined) return false;
    const own = await findOwnEnd(host, configuration).catch(() => undefined);
    const exits = own !== undefined && mayBegin ? configuration.exits.filter(isShared(own.address)) : [];
    const all =
      own === undefined || exits.length === 0 ? [] : await this.#instancesOf(machine, configuration, own, exits);
    this.#instances = store.isDrained ? all.map((one) => ({ ...one, paused: 'the node is drained' })) : all;
    this.#hints = own && hintsOf(configuration, own.address);
    const before = store.agent.loadElections();
    const next: Record<string, ElectedExit> = {};
    for (const exit of exits)
      if (own !== undefined) next[exit.name] = await this.#stateOf(machine, exit, own.address, before[exit.name]);
    if (!isEqual(before, next)) store.agent.saveElections(next);
    await this.#tell(machine, configuration, before, next);
    return Object.entries(next).some(([exit, { holds }]) => isMoved(before[exit], holds));
  }

  /** Behind a round, when all is ready but the addresses: the process learns what there is. */
  begin(): void {
    if (this.#isOver || (this.#election === undefined && this.#instances.length === 0)) return;
    this.#election ??= this.#around.start(
      (told) => this.#hear((told as { readonly vrrp: ElectionStatus }).vrrp),
      (problem) => this.#around.log.warn({ problem }, 'the process of elections ended; another one begins'),
    );
    const wanted = { vrrp: this.#instances, hints: this.#hints };
    const text = JSON.stringify(wanted);
    if (text !== this.#told) this.#election.want(wanted);
    this.#told = text;
  }

  /** The same as {@link stop}, for good: rounds behind it begin none. */
  async end(why: string): Promise<boolean> {
    this.#isOver = true;
    return await this.stop(why);
  }

  /** Hands over what this node has, and ends; whether anything has moved. */
  async stop(why: string): Promise<boolean> {
    const before = this.#held;
    await this.#election?.stop(why);
    this.#election = undefined;
    this.#instances = [];
    this.#told = '';
    return before !== this.#held;
  }

  #hear(status: ElectionStatus): void {
    this.#status = status;
    this.#around.told?.(status);
    if (!status.isReady) return;
    const held = JSON.stringify(
      status.routers.map(({ instance, holds, other, ...rest }) => [
        instance.key,
        holds,
        other?.priority,
        notesOf(rest),
      ]),
    );
    if (held === this.#held) return;
    this.#held = held;
    this.#around.changed();
  }

  async #instancesOf(
    machine: Machine,
    { vrrp }: Configuration,
    own: OwnEnd,
    exits: readonly Exit[],
  ): Promise<readonly Instance[]> {
    const shared: SharedExit[] = [];
    for (const exit of exits.filter(({ announce }) => announce !== 'elsewhere')) {
      const now = (await resolved(machine, exit, own)) ?? this.#known.get(exit.name);
      if (now !== undefined) shared.push(now);
    }
    this.#known.clear();
    for (const exit of shared) this.#known.set(exit.name, exit);
    const needs = [tunnelDevice, ...(await underlay(machine, own.address))];
    return instancesOf(shared, own.address, { intervalMs: vrrp.interval, preempt: vrrp.preempt }, needs);
  }

  async #stateOf(machine: Machine, exit: Exit, own: Address, before: ElectedExit | undefined): Promise<ElectedExit> {
    const by = exit.announce ?? 'vrrp';
    const router = by === 'vrrp' ? this.#routerOf(exit.name) : undefined;
    const holds =
      router?.holds ?? (by === 'vrrp' && before?.by === by ? before.holds : await isHeld(machine, exit, own));
    const gateway = holds ? own : otherGateway(exit, own, machine.store.loadMoves(), before, router);
    const notes = router === undefined ? [] : notesOf(router);
    const since = before?.holds === holds && before.by === by ? before.since : new Date().toISOString();
    const why = router?.why;
    const { addresses } = exit;
    return {
      holds,
      gateway,
      by,
      addresses,
      since,
      ...(why !== undefined && { why }),
      ...(notes.length > 0 && { notes }),
    };
  }

  #routerOf(exit: string): RouterStatus | undefined {
    if (this.#status?.isReady !== true) return undefined;
    return this.#status.routers.find(({ instance }) => instance.exits.includes(exit));
  }

  /**
   * Says what has moved. What conntrack knows of addresses that went is outdated, and would make packets of other nodes' pods
   * invalid. Connections of this node's own pods stay: the round behind this introduces them to the next gateway, and could not
   * if nobody knew them any more.
   */
  async #tell(
    { host, store }: Machine,
    { exits }: Configuration,
    before: ElectionRecord['exits'],
    next: ElectionRecord['exits'],
  ): Promise<void> {
    for (const [exit, { holds, gateway, why }] of Object.entries(next)) {
      if (!isMoved(before[exit], holds)) continue;
      const said = holds ? 'this node has the exit’s addresses now' : 'this node has the exit’s addresses no more';
      this.#around.log.info({ exit, gateway, ...(why !== undefined && { why }) }, said);
      if (holds) continue;
      const held = new Set((await host.listAllAddresses()).map(({ address }) => address));
      const { addresses = [] } = exits.find(({ name }) => name === exit) ?? {};
      const own = new Set(store.list().flatMap((pod) => pod.addresses));
      const gone = addresses.filter((address) => !held.has(address)); // one may be back by now, with connections that are right
      for (const address of gone) await host.deleteFlowsTo(address, ({ source }) => !own.has(source));
    }
  }
}

/** Whether this node has an exit's addresses that it had not, or the other way round. */
const isMoved = (before: ElectedExit | undefined, holds: boolean): boolean => (before?.holds ?? false) !== holds;

/** All nodes that are known may have pods, gateways too. */
function hintsOf({ nodes, exits, tunnel }: Configuration, own: Address): HintTargets {
  const ends = new Set([...nodes.map(({ address }) => address), ...exits.flatMap(({ gateways }) => gateways)]);
  const others = [...ends].filter((end) => end !== own && familyOf(end) === familyOf(own));
  return { own, vni: tunnel.vni, port: tunnel.port, nodes: others };
}

const isShared =
  (own: Address) =>
  ({ gateways }: Exit): boolean =>
    gateways.length > 1 && gateways.includes(own);

/** The exit as it leaves from here; `undefined` while it cannot, for its interface is gone or down. */
async function resolved({ host }: Machine, exit: Exit, own: OwnEnd): Promise<SharedExit | undefined> {
  const { name, gateways } = exit;
  const here = await resolveOnNode(host, exit, own, { [name]: own.address }).catch(() => undefined);
  const addresses = here?.ways.flatMap((way) => way.addresses) ?? [];
  if (here === undefined || addresses.length === 0) return undefined;
  return { name, gateways, addresses, device: here.device, vrid: vridOf(exit) };
}

/** Whether the exit's interface has its addresses. */
async function isHeld({ host }: Machine, exit: Exit, own: Address): Promise<boolean> {
  const end = { address: own, underlayMtu: 0 };
  const here = await resolveOnNode(host, exit, end, { [exit.name]: own }).catch(() => undefined);
  const link = here && (await host.readLink(here.device));
  const held = link === undefined ? [] : await host.listAddresses(link);
  return held.some(({ address }) => exit.addresses.includes(address));
}

/** The interface that packets of other nodes come in by. */
async function underlay({ host }: Machine, own: Address): Promise<readonly string[]> {
  for (const { address, deviceIndex } of await host.listAllAddresses()) {
    const name = address === own ? (await host.readLink(deviceIndex))?.name : undefined;
    if (name !== undefined && name !== tunnelDevice) return [name];
  }
  return [];
}

/** Who has the addresses when this node has not: who was heard, or was found by asking, or was known; else any other. */
function otherGateway(
  { name, gateways }: Exit,
  own: Address,
  moves: Readonly<Record<string, Address>>,
  before: ElectedExit | undefined,
  router: RouterStatus | undefined,
): Address {
  const heard = router?.other && gatewayWith(router.other.priority, gateways);
  const candidates = [heard, moves[name], before?.gateway, ...gateways];
  return candidates.find((one) => one !== undefined && one !== own && gateways.includes(one)) ?? own;
}
