import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { printTable } from '../../src/cli/table.ts';
import { RunningAgent } from '../support/agent.ts';
import { Cluster, internetPolicy, remotePartners } from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { Keepalived } from '../support/keepalived.ts';
import { Lab } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Daemon } from '../support/run.ts';
import { world } from '../support/world.ts';
import { median, percentile } from './statistics.ts';
import { asked, startStream } from './streams.ts';

/** Rounds of each kind of fault, by turns; `FAILOVERS` says how many. */
const rounds = Number(process.env.FAILOVERS ?? 10);
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
    name: 'its agent is killed',
    moves: false,
    begin: async (_, { agent }) => process.kill(agent.pid, 'SIGKILL') && undefined,
    end: restart,
  },
  {
    name: 'its agent hangs',
    moves: false,
    begin: async (_, { agent }) => process.kill(agent.pid, 'SIGSTOP') && undefined,
    end: async (_, { agent }) => process.kill(agent.pid, 'SIGCONT') && undefined,
  },
];

async function restart(_: Setup, side: Side): Promise<void> {
  await side.agent.daemon.line('exit code ');
  side.agent = await RunningAgent.start(side.node);
}

/** Measures how long an exit is not to be had when its gateway fails, beside an address that keepalived moves. Returns a table. */
export async function measureFailover(): Promise<string> {
  await using lab = await Lab.create();
  const setup = await started(lab);
  const rows: string[][] = [];
  for (const fault of faults) rows.push(await measured(setup, fault));
  const kept = await Promise.all(setup.connections.map((one) => one.round()));
  const broken = kept.flatMap((round) => round.broken).length;
  const head = [
    'the gateway that has the addresses:',
    'no packet, ms',
    'slowest of 100 connections, ms',
    'lost',
    'wrong',
  ];
  const table = printTable([...head, 'keepalived alone, ms'], rows, false);
  return `${table}${rounds} rounds each; p50 / p95 / max. Connections broken in all rounds: ${broken} of 100.\n`;
}

async function measured(setup: Setup, fault: Fault): Promise<string[]> {
  const [gaps, slowest, beside]: [number[], number[], number[]] = [[], [], []];
  let [lost, wrong] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    const side = await holder(setup);
    await Promise.all([asked(setup.receiver), asked(setup.pinger), ...setup.connections.map((one) => one.round())]);
    await fault.begin(setup, side);
    if (fault.moves) await movedFrom(setup, side);
    else await setTimeout(1_000);
    const connections = await Promise.all(setup.connections.map((one) => one.round()));
    const [stream, ping] = [await asked(setup.receiver), await asked(setup.pinger)];
    gaps.push(stream.gap);
    beside.push(ping.gap);
    slowest.push(Math.max(...connections.map(({ gap }) => gap)));
    lost += stream.lost;
    wrong += stream.sources.filter((source) => !exit.addresses.some((own) => own === source)).length;
    await fault.end(setup, side);
    await ready(setup);
  }
  const isSame = fault.name === 'its cables are out';
  return [fault.name, times(gaps), times(slowest), String(lost), String(wrong), isSame ? times(beside) : '-'];
}

const times = (values: readonly number[]): string =>
  [median(values), percentile(values, 0.95), Math.max(...values)].map((value) => value.toFixed(0)).join(' / ');

async function started(lab: Lab): Promise<Setup> {
  const cluster = await Cluster.create(lab, { nodes: [3, 4, 5, 6] });
  await cluster.policy({ exits: [exit], policies: [{ ...internetPolicy, exit: exit.name, except: world.exceptions }] });
  const sides: Side[] = [];
  for (const [i, node] of cluster.gateways.entries()) {
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
  const setup = { lab, cluster, sides: [first, second] as const, receiver, pinger, partner, connections: [] };
  await ready(setup);
  const connections = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 50)));
  return { ...setup, connections };
}

const has = async ({ node }: Side): Promise<boolean> =>
  (await node.machine.must(['ip', '-o', 'address', 'show', 'dev', 'eth1'])).includes(` ${address}/`);

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
    const holding = (await Promise.all(sides.map(has))).filter((one) => one).length === 1;
    const workers = cluster.workers.map(async (node) => {
      const { agent } = JSON.parse((await node.egress('status', '--json')).stdout);
      return agent?.gateways?.map(({ answers }: { readonly answers: boolean }) => answers);
    });
    return holding && (await Promise.all(workers)).every((answers) => isDeepStrictEqual(answers, [true]));
  };
  while (!(await settled())) await setTimeout(100);
  await setTimeout(2_000); // the one that waits hears the other one, and is ready itself
}
