import { copyFileSync, renameSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { partners } from '../support/chain.ts';
import { Lab } from '../support/lab.ts';
import { packetsFrom, packetsTo } from '../support/packets.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';
import { AgentNode, exits, policyTo, silence } from './agent-node.ts';
import { sentDuring } from './netlink.ts';
import type { BenchPod } from './node.ts';
import { egressByFile } from './plugins.ts';
import { timeOf } from './process.ts';
import { type Format, type ResultTable, type Row, ratioColumn, ratioOf, significant, spreadOf } from './result.ts';
import { podsOf, roundsOf } from './statistics.ts';
import { asked } from './streams.ts';
import { textOf } from './text.ts';
import { mebibytes, type Usage, usageOf } from './usage.ts';

/** Pods of the node that gets another policy, and of the others. */
const [many, some] = [podsOf(1000), podsOf(250)] as const;
/** Pods that send all the time, of each node that is changed or disturbed. */
const talkers = 5;
const rounds = { change: roundsOf(2), flush: roundsOf(6), add: roundsOf(7) } as const;
/** Calls of ADD while the agent is at work on one change. */
const addsAtOnce = 4;
/** Seconds of an agent at rest. */
const restSeconds = 60;

/** An exit that two gateways elect about, of which one is there, with addresses that no other node of the segment has. */
const elected = {
  ...partners,
  ...{ gateways: ['172.18.0.7', '172.18.0.8'], addresses: ['192.168.0.247', 'fd00:168::247'] },
} as const;
const electedPolicy = policyTo(elected.name, {
  exits: [elected],
  nodes: elected.gateways.map((address) => ({ address })),
});

/** Measures the agent: a change for many pods, a node at rest, a flushed ruleset, and ADD beside it. */
export async function measureAgent(): Promise<readonly ResultTable[]> {
  leaveAsInstalled();
  return [early(await measureChange()), ...(await measureRest())];
}

/** Puts a copy in the place of the binary, as the installer makes one: more is resident of a file that a build has just written. */
function leaveAsInstalled(): void {
  copyFileSync(egressBinary, `${egressBinary}.copy`);
  renameSync(`${egressBinary}.copy`, egressBinary);
}

/** Shows a table as soon as it is there, since what follows takes minutes. The result has all of them. */
function early(table: ResultTable): ResultTable {
  console.error(textOf(table));
  return table;
}

/** A policy file that gives all pods of a node another exit, again and again, while some of them send. */
async function measureChange(): Promise<ResultTable> {
  await using lab = await Lab.create();
  const start = performance.now();
  const one = await AgentNode.create(lab, 5, many, policyTo(partners.name), talkers);
  const adopted = performance.now() - start;
  const talk = await one.talk();
  await setTimeout(1_000);
  await asked(talk.receiver);
  const times: number[] = [];
  for (let round = 0; round < rounds.change; round++) times.push(await timeOfChange(one, round));
  const { packets, lost, gap, sources } = await asked(talk.receiver);
  await silence(talk);
  const others = sources.filter((source) => !exits.some(({ addresses }) => addresses.some((own) => own === source)));
  return {
    name: 'change',
    title: `Another exit for ${many} running pods`,
    columns: [{ name: `${rounds.change} changes` }],
    rows: [
      row('from the file to the last pod, s: p50 / max', spreadOf(times.map((ms) => ms / 1000)), toMost),
      row('of one pod, ms', spreadOf(times.map((ms) => ms / many))),
      row(`packets of ${talkers} pods that arrived`, packets, whole),
      row('packets lost', lost, whole),
      row('longest time without one, ms', gap),
      row('other sources than the two exits’', others.length === 0 ? 'none' : others.join(', ')),
      row(`from the links of ${many} pods to their exits, by the agent alone, s`, significant(adopted / 1000)),
    ],
  };
}

const whole: Format = { digits: 0 };
const toMost: Format = { digits: 2, shows: ['p50', 'max'] };

const row = (name: string, cell: Row['cells'][number], format: Format = {}): Row => ({
  name,
  cells: [cell],
  ...format,
});

/** What the agent says to the kernel for another exit: pods change together, 32 at a time. */
async function measureSent(one: AgentNode): Promise<ResultTable> {
  const { calls, bytes, transactions } = await sentDuring(one.node, one.agent.pid, async () => {
    await timeOfChange(one, 0);
  });
  await timeOfChange(one, 1);
  const own = { bytes: transactions.map((each) => each.bytes), requests: transactions.map((each) => each.requests) };
  return {
    name: 'sent',
    title: `Another exit for ${one.pods} running pods, by strace`,
    columns: [{ name: '' }],
    rows: [
      row('transactions of nf_tables', transactions.length, whole),
      row('requests in one: p50 / max', spreadOf(own.requests), { ...toMost, ...whole }),
      row('bytes of one: p50 / max', spreadOf(own.bytes), { ...toMost, ...whole }),
      row('calls of netlink in all, with the looks before and behind', calls, whole),
      row('bytes of these', bytes, whole),
    ],
  };
}

/** Milliseconds from the change of the file until the agent has changed all pods. */
async function timeOfChange(one: AgentNode, round: number): Promise<number> {
  const from = one.agent.length;
  const start = performance.now();
  one.replacePolicy(round % 2 === 0 ? 'second' : partners.name);
  await one.haveChanged(from);
  return performance.now() - start;
}

async function measureRest(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const [local, gateway, alone] = await Promise.all([
    AgentNode.create(lab, 5, some, policyTo(partners.name), talkers),
    AgentNode.create(lab, 7, some, electedPolicy),
    AgentNode.create(lab, 6, some, policyTo(partners.name)),
  ]);
  await alone.agent.end();
  const atRest = await usageAtRest([local, gateway]);
  const sent = early(await measureSent(local));
  const flush = early(await measureFlush(local));
  const add = early(await measureAdds(local, alone));
  await setTimeout(5_000);
  return [sent, restTable(atRest, usageOf(local.processes)), flush, add];
}

interface Rest {
  readonly before: Usage;
  readonly after: Usage;
  readonly processes: number;
}

/** Usage of agents to which nothing happens, at the same time. */
async function usageAtRest(nodes: readonly AgentNode[]): Promise<readonly Rest[]> {
  await setTimeout(5_000); // elections, and the last looks of the start
  const before = nodes.map(({ processes }) => usageOf(processes));
  await setTimeout(1_000 * restSeconds);
  return nodes.map(({ processes }, i) => {
    const after = usageOf(processes);
    return { before: before[i] ?? after, after, processes: processes.length };
  });
}

function restTable(rests: readonly Rest[], later: Usage): ResultTable {
  const names = ['exits of its own', 'gateway that elects: agent and elections'];
  const memory = ({ resident, files, own }: Usage) => [resident, files, own].map(mebibytes);
  const rows = rests.map(({ before, after, processes }, i) => ({
    name: `${names[i]}, ${processes} process${processes === 1 ? '' : 'es'}`,
    cells: [significant((100 * (after.seconds - before.seconds)) / restSeconds), ...memory(after)],
  }));
  return {
    name: 'rest',
    title: `An agent at rest, ${some} pods, ${restSeconds} s`,
    columns: [
      { name: 'of a core', unit: '%', digits: 2 },
      { name: 'resident', unit: 'MiB' },
      { name: 'of it files', unit: 'MiB' },
      { name: 'of it its own', unit: 'MiB' },
    ],
    rows: [...rows, { name: 'exits of its own, when all below was done', cells: [null, ...memory(later)] }],
  };
}

/** `nft flush ruleset` while pods send. */
async function measureFlush(one: AgentNode): Promise<ResultTable> {
  const talk = await one.talk();
  await setTimeout(1_000);
  const [told, gaps]: [number[], number[]] = [[], []];
  let [lost, packets, wrong] = [0, 0, 0];
  for (let round = 0; round < rounds.flush; round++) {
    const capture = await one.node.capture();
    await asked(talk.receiver);
    const from = one.agent.length;
    const start = performance.now();
    await one.node.machine.must(['nft', 'flush', 'ruleset']);
    await one.agent.line('put back what somebody had taken', from);
    told.push(performance.now() - start);
    await setTimeout(300);
    const seen = await asked(talk.receiver);
    gaps.push(seen.gap);
    lost += seen.lost;
    packets += seen.packets;
    const all = packetsTo(await capture.stop(), ...world.outside);
    wrong += all.length - packetsFrom(all, ...exits.flatMap(({ addresses }) => addresses)).length;
    await setTimeout(1_200); // the agent rests a second between two looks
  }
  await silence(talk);
  return {
    name: 'flush',
    title: `A flushed ruleset, ${some} pods`,
    columns: [{ name: `${rounds.flush} times` }],
    rows: [
      row('from the command to “put back”, ms: p50 / p95', spreadOf(told), toSlow),
      row('longest time without a packet of a pod, ms: p50 / p95', spreadOf(gaps), toSlow),
      row(`packets of ${talkers} pods that arrived`, packets, whole),
      row('packets that were held back', lost, whole),
      row('packets that left with another source', wrong, whole),
    ],
  };
}

const toSlow: Format = { shows: ['p50', 'p95'] };

/** Milliseconds behind calls, in which the agent looks at all of its node, and the kernel ends what links that go and come leave to do. */
const quietAfter = 3_000;

/** ADD on a node without an agent, with one at rest, and with one that gives all pods another exit, in turns. */
async function measureAdds(one: AgentNode, alone: AgentNode): Promise<ResultTable> {
  const pods = { one: await one.plug(addsAtOnce), alone: await alone.plug(addsAtOnce) };
  const times = { none: [] as number[], rest: [] as number[], busy: [] as number[] };
  const call = (node: AgentNode, verb: 'ADD' | 'DEL', pod: BenchPod) =>
    timeOf(node.node.machine, egressByFile(node.bench, verb, pod, node.policyFile));
  const added = async (node: AgentNode, own: readonly BenchPod[]) => {
    const taken = own.map((pod) => call(node, 'ADD', pod));
    return async () => {
      for (const pod of own) call(node, 'DEL', pod);
      await node.bench.raise(own);
      return taken;
    };
  };
  for (let round = 0; round <= rounds.add; round++) {
    await setTimeout(quietAfter);
    const none = await (await added(alone, pods.alone))();
    await setTimeout(quietAfter);
    const rest = await (await added(one, pods.one))();
    await setTimeout(quietAfter);
    const from = one.agent.length;
    one.replacePolicy(round % 2 === 0 ? 'second' : partners.name);
    await one.haveBegun(from); // the node has the new exit: what the first pod of an exit takes is no matter of the agent
    const end = await added(one, pods.one);
    const isAtWork = one.begun(from) < one.pods;
    await one.haveChanged(from);
    const busy = await end();
    if (round === 0 || !isAtWork) continue; // the first brings files into the cache
    times.none.push(...none);
    times.rest.push(...rest);
    times.busy.push(...busy);
  }
  const rows = [
    ['no agent', times.none],
    ['an agent at rest', times.rest],
    ['an agent at work', times.busy],
  ] as const;
  return {
    name: 'add',
    title: `ADD, ${some} pods`,
    columns: [{ name: 'time', unit: 'ms', ...toSlow }, ratioColumn('no agent'), { name: 'calls', ...whole }],
    rows: rows.map(([name, own]) => ({ name, cells: [spreadOf(own), ratioOf(own, times.none), own.length] })),
  };
}
