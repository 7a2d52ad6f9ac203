import type { Exit } from '../policy/exit.ts';
import type { Tone } from './map.ts';
import { keys, type MapMaker, placeOf, rateLines } from './map-maker.ts';
import type { StatusDocument } from './status-schema.ts';

type ExitOnNode = StatusDocument['exits'][number];

/** An exit as a node sees it. */
interface Seen {
  readonly status: StatusDocument;
  readonly exit: ExitOnNode;
}

const seenIn = (statuses: readonly StatusDocument[]): readonly Seen[] =>
  statuses.flatMap((status) => status.exits.map((exit) => ({ status, exit })));

/** Exits that are in use or configured, with the ways of policies to them. */
export function addExits(maker: MapMaker, statuses: readonly StatusDocument[], configured: readonly Exit[]): void {
  const seen = seenIn(statuses);
  for (const [name, all] of Map.groupBy(seen, ({ exit }) => exit.name)) addExit(maker, name, all, statuses.length > 1);
  for (const { name, id } of configured.filter(({ name }) => !maker.has(keys.exit(name)))) {
    maker.box(2, keys.exit(name), { title: name, lines: [`id ${id}`, 'not in use here'] });
  }
  for (const { policies } of statuses.flatMap(({ pods }) => pods)) {
    for (const { name, exit } of policies) {
      addBuiltIn(maker, exit);
      maker.edge(keys.policy(name), keys.exit(exit));
    }
  }
  if (statuses.length === 1) addOthers(maker, seen);
}

function addExit(maker: MapMaker, name: string, all: readonly Seen[], hasNodes: boolean): void {
  const [first] = all;
  const leaving = all.filter(({ exit }) => exit.gateway === undefined);
  const rates = rateLines((leaving.length > 0 ? leaving : all).map(({ exit }) => exit));
  maker.box(2, keys.exit(name), {
    ...{ title: name, tone: toneOf(all) },
    lines: [`id ${first?.exit.id}`, ...healthLines(all, hasNodes), ...rates],
  });
}

/** Of nodes that see an exit differently the fault is told, and where. */
function healthLines(all: readonly Seen[], hasNodes: boolean): string[] {
  const failing = all.filter(({ exit }) => exit.health === 'fails');
  const on = (node: string) => (hasNodes ? ` on ${node}` : '');
  if (failing.length === 0) return [toneOf(all)];
  return failing.flatMap(({ status, exit }) => [`FAILS${on(status.node)}:`, ...(exit.why ?? []).slice(0, 2)]);
}

const toneOf = (all: readonly Seen[]): Tone => {
  const found = new Set(all.map(({ exit }) => exit.health));
  return (['fails', 'works', 'standby'] as const).find((health) => found.has(health)) ?? 'unknown';
};

/** `node` and `drop` are in no status. */
function addBuiltIn(maker: MapMaker, exit: string): void {
  if (exit === 'drop') maker.box(2, keys.exit(exit), { title: 'drop', lines: ['leaves nowhere'], tone: 'drop' });
  if (exit !== 'node') return;
  maker.box(2, keys.exit(exit), { title: 'node', lines: ['as without egress'] });
  maker.box(3, keys.place('node'), { title: 'each pod’s node', lines: ['its own routes'] });
  maker.edge(keys.exit(exit), keys.place('node'));
}

/** On the map of a gateway alone: what comes out of the tunnel. */
function addOthers(maker: MapMaker, seen: readonly Seen[]): void {
  for (const { exit } of seen.filter(({ exit }) => exit.served !== undefined)) {
    const lines = [`${exit.served?.packets} packets by the tunnel`];
    maker.box(1, `others ${exit.name}`, { title: 'Pods of other nodes', lines });
    maker.edge(`others ${exit.name}`, keys.exit(exit.name));
  }
}

/** Where packets leave from: the node itself, or the gateway that it sends them to; and gateways that are ready. */
export function addGateways(maker: MapMaker, statuses: readonly StatusDocument[], configured: readonly Exit[]): void {
  const names = new Map(statuses.flatMap(({ tunnel, node }) => (tunnel ? [[tunnel.local, node] as const] : [])));
  const title = (address: string) => (names.has(address) ? `${names.get(address)} (${address})` : `gateway ${address}`);
  for (const { status, exit } of seenIn(statuses)) {
    const place = placeIn({ status, exit });
    const own = status.tunnel ? title(status.tunnel.local) : status.node;
    maker.box(3, place, {
      title: exit.gateway === undefined ? own : title(exit.gateway),
      lines: exit.gateway === undefined ? ways(exit) : answerOf(status, exit),
    });
    maker.edge(keys.exit(exit.name), place, exit.health === 'standby');
  }
  for (const { name, gateways } of configured) {
    for (const gateway of gateways) {
      maker.box(3, keys.place(gateway), { title: title(gateway), lines: [] });
      maker.edge(keys.exit(name), keys.place(gateway), true);
    }
  }
}

const placeIn = ({ status, exit }: Seen): string =>
  exit.gateway === undefined ? placeOf(status) : keys.place(exit.gateway);

/** `eth1 → 192.168.0.1 (reachable)`, for each next hop. */
const ways = ({ device, ways }: ExitOnNode): string[] =>
  ways.map(({ via, neighbour }) => `${device} → ${via ?? 'on link'}${neighbour ? ` (${neighbour})` : ''}`);

function answerOf({ agent, node }: StatusDocument, exit: ExitOnNode): string[] {
  const asked = agent?.gateways?.find((each) => each.exit === exit.name);
  return agent?.runs && asked ? [asked.answers ? 'answers' : `does not answer ${node}`] : [];
}

/** The addresses that packets leave with, by exit and place. */
export function addAddresses(maker: MapMaker, statuses: readonly StatusDocument[], configured: readonly Exit[]): void {
  for (const { status, exit } of seenIn(statuses)) {
    const addresses = exit.ways.flatMap(({ addresses }) => addresses);
    const lost = new Set(exit.ways.flatMap(({ notHere = [] }) => notHere));
    const key = keys.addresses(exit.name, addresses);
    maker.box(4, key, {
      ...{ title: exit.name, tone: lost.size > 0 ? 'fails' : 'plain' },
      lines: addresses.map((address) => (lost.has(address) ? `${address} (not on ${status.node})` : address)),
    });
    maker.edge(placeIn({ status, exit }), key, exit.health === 'standby');
  }
  for (const { name, addresses, gateways } of configured) {
    const isSeen = seenIn(statuses).some(({ exit }) => exit.name === name);
    if (isSeen || addresses.length === 0) continue;
    maker.box(4, keys.addresses(name, addresses), { title: name, lines: addresses });
    for (const gateway of gateways) maker.edge(keys.place(gateway), keys.addresses(name, addresses), true);
  }
}
