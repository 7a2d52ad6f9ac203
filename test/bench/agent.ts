import { setTimeout } from 'node:timers/promises';
import { printTable } from '../../src/cli/table.ts';
import { partners } from '../support/chain.ts';
import { Lab } from '../support/lab.ts';
import { packetsFrom, packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';
import { AgentNode, exits, policyTo, silence } from './agent-node.ts';
import { sentDuring } from './netlink.ts';
import type { BenchPod } from './node.ts';
import { egressByFile } from './plugins.ts';
import { timeOf } from './process.ts';
import { median, medianRatio, printMs, printRatio } from './statistics.ts';
import { asked } from './streams.ts';
import { mebibytes, type Usage, usageOf } from './usage.ts';

/** Pods of the node that gets another policy, and of the others. */
const [many, some] = [1000, 250] as const;
/** Pods that send all the time, of each node that is changed or disturbed. */
const talkers = 5;
const rounds = { change: 2, flush: 6, add: 5 } as const;
/** Calls of ADD while the agent is at work on one change. */
const addsAtOnce = 3;
/** Seconds of an agent at rest. */
const restSeconds = 60;

/** An exit that two gateways elect about, of which one is there. */
const elected = { ...partners, gateways: ['172.18.0.7', '172.18.0.8'] } as const;
const electedPolicy = policyTo(elected.name, {
  exits: [elected],
  nodes: elected.gateways.map((address) => ({ address })),
});

/** Measures the agent: a change for many pods, a node at rest, a flushed ruleset, and ADD beside it. Returns tables. */
export async function measureAgent(): Promise<string> {
  console.log(await measureChange()); // what follows takes minutes
  return await measureRest();
}

/** A policy file that gives all pods of a node another exit, again and again, while some of them send. */
async function measureChange(): Promise<string> {
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
  const rows = [
    ['from the file to the last pod, s: p50 / max', `${inSeconds(median(times))} / ${inSeconds(Math.max(...times))}`],
    ['of one pod, ms', (median(times) / many).toFixed(1)],
    [`packets of ${talkers} pods that arrived`, String(packets)],
    ['packets lost', String(lost)],
    ['longest time without one, ms', gap.toFixed(1)],
    ['other sources than the two exits’', others.length === 0 ? 'none' : others.join(', ')],
    [`from the links of ${many} pods to their exits, by the agent alone, s`, inSeconds(adopted)],
  ];
  return printTable([`Another exit for ${many} running pods`, `${rounds.change} changes`], rows, false);
}

/** What the agent says to the kernel for another exit: each pod has a transaction of its own. */
async function measureSent(one: AgentNode): Promise<string> {
  const { calls, bytes, transactions } = await sentDuring(one.node, one.agent.pid, async () => {
    await timeOfChange(one, 0);
  });
  await timeOfChange(one, 1);
  const own = { bytes: transactions.map((each) => each.bytes), requests: transactions.map((each) => each.requests) };
  const rows = [
    ['transactions of nf_tables', String(transactions.length)],
    ['requests in one: p50 / max', `${median(own.requests)} / ${Math.max(...own.requests)}`],
    ['bytes of one: p50 / max', `${median(own.bytes)} / ${Math.max(...own.bytes)}`],
    ['sent by netlink in all, with the looks before and behind: calls, bytes', `${calls}, ${bytes}`],
  ];
  return printTable([`Another exit for ${one.pods} running pods, by strace`, ''], rows, false);
}

const inSeconds = (ms: number): string => (ms / 1000).toFixed(2);

/** Milliseconds from the change of the file until the agent has changed all pods. */
async function timeOfChange(one: AgentNode, round: number): Promise<number> {
  const from = one.agent.length;
  const start = performance.now();
  one.replacePolicy(round % 2 === 0 ? 'second' : partners.name);
  await one.haveChanged(from);
  return performance.now() - start;
}

async function measureRest(): Promise<string> {
  await using lab = await Lab.create();
  const [local, gateway, alone] = await Promise.all([
    AgentNode.create(lab, 5, some, policyTo(partners.name), talkers),
    AgentNode.create(lab, 7, some, electedPolicy),
    AgentNode.create(lab, 6, some, policyTo(partners.name)),
  ]);
  await alone.agent.end();
  const atRest = await usageAtRest([local, gateway]);
  const sent = await measureSent(local);
  const flush = await measureFlush(local);
  const add = await measureAdds(local, alone);
  await setTimeout(5_000);
  return [sent, printRest(atRest, usageOf(local.processes)), flush, add].join('\n');
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

function printRest(rests: readonly Rest[], later: Usage): string {
  const names = ['exits of its own', 'gateway that elects: agent and elections'];
  const memory = ({ resident, files, own }: Usage) => [resident, files, own].map(mebibytes);
  const rows = rests.map(({ before, after, processes }, i) => [
    `${names[i]}, ${processes} process${processes === 1 ? '' : 'es'}`,
    ((100 * (after.seconds - before.seconds)) / restSeconds).toFixed(2),
    ...memory(after),
  ]);
  const head = [
    `An agent at rest, ${some} pods, ${restSeconds} s`,
    'of a core, %',
    'resident, MiB',
    'of it files, MiB',
    'of it its own, MiB',
  ];
  return printTable(head, [...rows, ['exits of its own, when all below was done', '', ...memory(later)]], false);
}

/** `nft flush ruleset` while pods send. */
async function measureFlush(one: AgentNode): Promise<string> {
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
  const rows = [
    ['from the command to “put back”, ms: p50 / p95', printMs(told)],
    ['longest time without a packet of a pod, ms: p50 / p95', printMs(gaps)],
    [`packets of ${talkers} pods that arrived / were held back`, `${packets} / ${lost}`],
    ['packets that left with another source', String(wrong)],
  ];
  return printTable([`A flushed ruleset, ${some} pods`, `${rounds.flush} times`], rows, false);
}

/** ADD on a node without an agent, with one at rest, and with one that gives all pods another exit, in turns. */
async function measureAdds(one: AgentNode, alone: AgentNode): Promise<string> {
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
    const none = await (await added(alone, pods.alone))();
    const rest = await (await added(one, pods.one))();
    const from = one.agent.length;
    one.replacePolicy(round % 2 === 0 ? 'second' : partners.name);
    await setTimeout(200);
    const isAtWork = one.told(from) === 0;
    const end = await added(one, pods.one);
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
    ['an agent at work on another policy', times.busy],
  ] as const;
  return printTable(
    [`ADD, ${some} pods`, 'ms: p50 / p95', ': no agent', 'calls'],
    rows.map(([name, own]) => [name, printMs(own), printRatio(medianRatio(own, times.none)), String(own.length)]),
    false,
  );
}
