import { describe } from '../datapath/describe.ts';
import { type Filter, filterText, judge } from '../datapath/filter.ts';
import { needsOfNode } from '../datapath/needs.ts';
import type { Other } from '../datapath/objects.ts';
import { hindranceText, type Passage } from '../datapath/passage.ts';
import { describeOther } from '../datapath/routing-words.ts';
import type { NodeRecord } from '../store/record.ts';
import type { Problems } from './check.ts';
import { differenceNow } from './difference-now.ts';
import { findHindrances, inputOf, inputsOfGateway, sendersOf } from './hindrance.ts';
import type { Machine } from './machine.ts';
import { gatewayUsers, otherWays } from './other-ways.ts';
import { steeredOf } from './set-up.ts';

/** The faults and warnings of a node as a whole, one sentence each. */
export interface NodeCheck {
  /** Present while the node is a gateway: the missing and different objects of the gateway's side. */
  readonly gateway?: readonly string[];
  /** What others' filters drop for sure. */
  readonly problems: readonly string[];
  /**
   * Warnings: packets that others' filters may drop, since their rules are not judged, and marks that others change.
   */
  readonly warnings: readonly string[];
}

/** Checks the parts outside of attachments: the gateway's side, and filters of others between pods and exits. */
export async function checkNode(machine: Machine): Promise<NodeCheck> {
  const node = machine.store.loadNode();
  const others = (await machine.host.listOthers(node)).map(otherText);
  if (node === undefined) return { problems: [], warnings: others };
  const { problems, warnings } = await judged(machine, node);
  return {
    ...(node.gateway && { gateway: await gatewayProblems(machine, node) }),
    problems,
    warnings: [...warnings, ...(await lostMarks(machine)), ...(node.unmarked ? [notHeldBack] : []), ...others],
  };
}

/** Said while the last try to mark failed. */
export const notHeldBack =
  'the kernel could not mark what pods send where it comes in (that takes bpf(2), the filter cls_bpf and the right to use them; the log says which is missing): when somebody flushes the ruleset, pods leave with the node’s address until it is repaired';

/** Only a person can tell whose it is. */
export const otherText = (other: Other): string => {
  const sign =
    other.kind === 'table'
      ? 'has our name, and holds nothing of ours'
      : 'has our protocol number 230, and is none of ours';
  return `${describeOther(other)} ${sign}: it is left alone`;
};

/** The counters alone show that somebody else changes the mark of packets on their way. */
export async function lostMarks({ host }: Machine): Promise<string[]> {
  const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
  const { packets } = counters?.unmarked ?? { packets: 0n };
  if (packets === 0n) return [];
  return [
    `another program takes our mark from packets on this node, ${packets} so far: they were put right, or dropped where they took another way; look for rules that set whole marks ("meta mark set 0x0", "MARK --set-mark 0")`,
  ];
}

async function gatewayProblems(machine: Machine, node: NodeRecord): Promise<string[]> {
  const { objects, hindrances, ways } = await gatewayParts(machine, node);
  return [...objects, ...hindrances.map(hindranceText), ...ways];
}

/** What is wrong with the gateway's side of a node, by whose it is. */
export async function gatewayParts(machine: Machine, node: NodeRecord): Promise<Problems> {
  const needs = needsOfNode(node, machine.store.list().map(steeredOf));
  const { state } = await machine.host.observe(node, needs, { contents: true });
  const served = node.exits.filter(({ id }) => node.gateway?.served.includes(id));
  return {
    objects: (await differenceNow(machine, node, needs, state)).flatMap(describe),
    hindrances: await findHindrances(machine.host, served.filter(isHere(machine)), inputsOfGateway(served)),
    ways: await otherWays(machine.host, node, served, gatewayUsers(node)),
  };
}

/** Of an exit that another gateway has now nothing is missing here: it is ready but for the addresses. */
export function isHere({ store }: Machine): (exit: Pick<NodeRecord['exits'][number], 'name'>) => boolean {
  const elections = store.agent.loadElections();
  return ({ name }) => elections[name]?.holds !== false;
}

async function judged(machine: Machine, node: NodeRecord): Promise<Pick<NodeCheck, 'problems' | 'warnings'>> {
  const passages = await passagesOf(machine, node);
  const filters = passages.length > 0 ? await machine.host.listFilters() : [];
  const judgements = passages.map((passage) => judge(filters, passage));
  const text = (chains: Iterable<Filter>, words: string) =>
    [...new Set(chains)].map((c) => `${filterText(c)} ${words}`);
  return {
    problems: text(
      judgements.flatMap(({ drops }) => drops ?? []),
      'drops all that pods send by exits: its policy is drop, and it has no rule',
    ),
    warnings: text(
      judgements.flatMap(({ mayDrop }) => mayDrop),
      'has the policy drop: what its rules do not accept does not leave, and they are not judged here',
    ),
  };
}

/** All ways from pods of the node, and out of the tunnel, to exits. */
export async function passagesOf({ host, store }: Machine, { exits, gateway }: NodeRecord): Promise<Passage[]> {
  const addresses = new Set(store.list().flatMap(({ addresses }) => addresses));
  const served = exits.filter(({ id }) => gateway?.served.includes(id));
  const inputs = [...(await sendersOf(host, [...addresses])).map(inputOf), ...inputsOfGateway(served)];
  const passages = exits.flatMap(({ device: output, ways }) =>
    inputs
      .filter(({ family, input }) => input !== output && ways.some((way) => way.family === family))
      .map((input): Passage => ({ ...input, output })),
  );
  return [...new Map(passages.map((passage) => [JSON.stringify(passage), passage])).values()];
}
