import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { RunningAgent } from '../support/agent.ts';
import { Cluster, internetPolicy, remotePartners } from '../support/cluster.ts';
import { Connections, Partner, type Round } from '../support/connections.ts';
import { Keepalived } from '../support/keepalived.ts';
import { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Daemon } from '../support/run.ts';
import { world } from '../support/world.ts';
import { remember } from './agent-node.ts';
import { BenchNode } from './node.ts';
import { type Column, type ResultTable, spreadOf } from './result.ts';
import { roundsOf } from './statistics.ts';
import { asked, startStream } from './streams.ts';

/** Rounds of each kind of fault, by turns; `FAILOVERS` says how many. */
const rounds = Number(process.env.FAILOVERS ?? roundsOf(10));
/**
 * Milliseconds after which no turn begins any more: a slow machine makes fewer rounds, and the table says how many. Whoever says how
 * many rounds there shall be gets them all.
 */
const patience = process.env.FAILOVERS === undefined ? 6.5 * 60_000 : Number.POSITIVE_INFINITY;
/** Words that names of faults have, with commas between them: only such faults are made. All without it. */
const kinds = process.env.FAILOVER_KINDS?.split(',') ?? [''];
/** Pods of its own that each gateway has, which leave by the exit, too. */
const ownPods = Number(process.env.FAILOVER_OWN_PODS ?? 0);
const port = 9000;
/** A plain address that keepalived moves beside it, and its number. */
const plain = { address: '192.168.0.250', vrid: 77 } as const;
const exit = remotePartners;
const [address] = exit.addresses;

/** A gateway, its agent, and the keepalived beside it. */
interface Side {
  readonly node: LabNode;
  agent: RunningAgent;
}

interface Setup {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly sides: readonly [Side, Side];
  readonly receiver: Daemon;
  readonly pinger: Daemon;
  readonly connections: readonly Connections[];
  readonly partner: Partner;
  /** Of each connection that has ended, in words. */
  readonly lost: Set<string>;
}

/** A fault of the gateway that holds the addresses, and what ends it. */
interface Fault {
  readonly name: string;
  /** Whether another gateway shall have the addresses then. */
  readonly moves: boolean;
  begin(setup: Setup, side: Side): Promise<void>;
  end(setup: Setup, side: Side): Promise<void>;
}

const cables = async ({ lab }: Setup, { node }: Side, state: 'up' | 'down') => {
  for (const { namespace } of [lab.front, lab.back]) await namespace.ip(`link set node${node.number} ${state}`);
};

const faults: readonly Fault[] = [
  {
    name: 'its cables are out',
    moves: true,
    begin: (setup, side) => cables(setup, side, 'down'),
    end: (setup, side) => cables(setup, side, 'up'),
  },
  {
    name: 'its agent is told to stop',
    moves: true,
    begin: async (_, { agent }) => process.kill(agent.pid, 'SIGTERM') && undefined,
    end: restart,
  },
  {
    name: 'its egress0 is deleted',
    moves: true,
    begin: async (_, { node }) => void (await node.machine.ip('link delete egress0')),
    end: async () => {},
  },
  {
    name: 'it is drained',
    moves: true,
    begin: async (_, { node }) => void node.egress('gateway', '--drain'),
    end: async (_, { node }) => void (await node.egress('gateway', '--undrain')),
  },
  {
    name: 'its agent is killed',
    moves: false,
    begin: async (_, side) => {
      for (const pid of await processes(side)) process.kill(pid, 'SIGKILL');
    },
    end: restart,
  },
  {
    name: 'its agent hangs',
    moves: false,
    begin: async (_, side) => {
      for (const pid of await processes(side)) process.kill(pid, 'SIGSTOP');
    },
    end: async (_, side) => {
      for (const pid of await processes(side)) process.kill(pid, 'SIGCONT');
    },
  },
];

/** The agent first, which would start another election. */
async function processes({ node, agent }: Side): Promise<readonly number[]> {
  const children = await node.machine.must(['pgrep', '-P', String(agent.pid), '-f', 'election']);
  return [agent.pid, ...children.split('\n').filter(Boolean).map(Number)];
}

async function restart(_: Setup, side: Side): Promise<void> {
  await side.agent.daemon.line('exit code ');
  side.agent = await RunningAgent.start(side.node);
}

/** What was measured of a kind of fault, one value for each round; the last two are sums. */
interface Measured {
  readonly fault: Fault;
  readonly gaps: number[];
  readonly slowest: number[];
  readonly beside: number[];
  /** Connections that ended, in words. */
  readonly broken: string[];
  lost: number;
  wrong: number;
}

/**
 * Measures how long an exit is not to be had when its gateway fails, beside an address that keepalived moves.
 */
export async function measureFailover(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const setup = await started(lab);
  const all = faults
    .filter(({ name }) => kinds.some((kind) => name.includes(kind)))
    .map((fault): Measured => ({ fault, gaps: [], slowest: [], beside: [], broken: [], lost: 0, wrong: 0 }));
  const end = performance.now() + patience;
  for (let round = 0; round < rounds && performance.now() < end; round++)
    for (const one of all) if (performance.now() < end) await measure(setup, one);
  return [tableOf(all)];
}

const times = { unit: 'ms', digits: 0, shows: ['p50', 'p95', 'max'] } as const;
const count = { digits: 0 } as const;
const columns: readonly Column[] = [
  { name: 'rounds', ...count },
  { name: 'no packet', ...times },
  { name: 'last of 100 connections', ...times },
  { name: 'connections lost', ...count },
  { name: 'packets lost', ...count },
  { name: 'with another source', ...count },
  { name: 'keepalived alone', ...times },
];

function tableOf(all: readonly Measured[]): ResultTable {
  const rows = all.map(({ fault, gaps, slowest, beside, broken, lost, wrong }) => {
    const alone = fault === faults[0] && beside.length > 0 ? spreadOf(beside) : null;
    const counts = [broken.length, lost, wrong];
    return { name: fault.name, cells: [gaps.length, spreadOf(gaps), spreadOf(slowest), ...counts, alone] };
  });
  return { name: 'failover', title: 'the gateway that has the addresses:', columns, rows };
}

async function measure(setup: Setup, into: Measured): Promise<void> {
  const { fault } = into;
  const side = await holder(setup);
  const isBeside = await has(side, plain.address); // keepalived gives it back to the first one, ours stays
  into.broken.push(...lostIn(setup, await roundOf(setup), fault));
  await Promise.all([asked(setup.receiver), asked(setup.pinger)]);
  await fault.begin(setup, side);
  if (fault.moves) await movedFrom(setup, side);
  else await setTimeout(1_000);
  const connections = await roundOf(setup);
  const [stream, ping] = [await asked(setup.receiver), await asked(setup.pinger)];
  into.gaps.push(stream.gap);
  if (isBeside) into.beside.push(ping.gap);
  into.slowest.push(Math.max(...connections.map(({ gap }) => gap)));
  into.lost += stream.lost;
  into.wrong += stream.sources.filter((source) => !exit.addresses.some((own) => own === source)).length;
  await fault.end(setup, side);
  await ready(setup);
  into.broken.push(...lostIn(setup, [...connections, ...(await roundOf(setup))], fault)); // also while the fault ended
}

const roundOf = ({ connections }: Setup): Promise<readonly Round[]> =>
  Promise.all(connections.map((one) => one.round()));

/** Connections that have ended and were not told of yet; they are told now. */
function lostIn({ lost }: Setup, found: readonly Round[], { name }: Fault): readonly string[] {
  const more = [...new Set(found.flatMap(({ broken }) => broken))].filter((what) => !lost.has(what));
  for (const what of more) {
    lost.add(what);
    console.error(`Lost when ${name}: ${what}`);
  }
  return more;
}

async function started(lab: Lab): Promise<Setup> {
  const cluster = await Cluster.create(lab, { nodes: [3, 4, 5, 6] });
  await cluster.policy({ exits: [exit], policies: [{ ...internetPolicy, exit: exit.name, except: world.exceptions }] });
  const sides: Side[] = [];
  for (const [i, node] of cluster.gateways.entries()) {
    if (ownPods > 0) await plugOwn(lab, node, 256 * i);
    sides.push({ node, agent: await RunningAgent.start(node) });
    const { address, vrid } = plain;
    await Keepalived.start(node, { device: 'eth1', vrid, priority: 200 - i, addresses: [address] });
  }
  const partner = await Partner.start(lab.back.host);
  const pods = await Promise.all(cluster.workers.map((node) => node.started()));
  await Promise.all(cluster.workers.map((node) => RunningAgent.start(node)));
  const receiver = await startStream(lab.back.host, 'receive', String(port));
  for (const { network } of pods) await startStream(network, 'send', '1', world.service[0], String(port));
  const pinger = await startStream(lab.back.host, 'ping', '1', plain.address);
  const ports = (pod: number) => `${20_000 + 1000 * pod} ${20_999 + 1000 * pod}`;
  await Promise.all(pods.map(({ network }, i) => network.sysctl({ 'net.ipv4.ip_local_port_range': ports(i) })));
  const [first, second] = sides;
  if (first === undefined || second === undefined) throw new Error('No two gateways');
  const setup = {
    lab,
    cluster,
    sides: [first, second] as const,
    receiver,
    pinger,
    partner,
    connections: [],
    lost: new Set<string>(),
  };
  await ready(setup);
  const connections = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 50)));
  return { ...setup, connections };
}

/** The first of them has a number of the node's own range. */
async function plugOwn(lab: Lab, node: LabNode, range: number): Promise<void> {
  const pods = await BenchNode.of(node).plug(await lab.namespace(lab.unique('own')), ownPods, range + 2);
  remember(node, pods, 'cluster');
}

const has = async ({ node }: Side, one: string = address): Promise<boolean> =>
  (await node.machine.must(['ip', '-o', 'address', 'show', 'dev', 'eth1'])).includes(` ${one}/`);

async function holder({ sides }: Setup): Promise<Side> {
  for (;;) {
    for (const side of sides) if (await has(side)) return side;
    await setTimeout(10);
  }
}

async function movedFrom({ sides }: Setup, from: Side): Promise<void> {
  const other = sides.find((side) => side !== from);
  while (other !== undefined && !(await has(other))) await setTimeout(5);
}

/** Waits until one gateway has the addresses, the other one waits for them, and both workers are told so. */
async function ready({ sides, cluster }: Setup): Promise<void> {
  const settled = async () => {
    const holding = (await Promise.all(sides.map((side) => has(side)))).filter((one) => one).length === 1;
    const workers = cluster.workers.map(async (node) => {
      const { agent } = JSON.parse((await node.egress('status', '--json')).stdout);
      return agent?.gateways?.map(({ answers }: { readonly answers: boolean }) => answers);
    });
    return holding && (await Promise.all(workers)).every((answers) => isDeepStrictEqual(answers, [true]));
  };
  while (!(await settled())) await setTimeout(100);
  await setTimeout(2_000); // the one that waits hears the other one, and is ready itself
}
