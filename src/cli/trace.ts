import { type Address, familyOf, parseAddress } from '../base/address.ts';
import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import type { Protocol } from '../base/port-range.ts';
import type { Traced, TraceEvent } from '../datapath/tracer.ts';
import { pause } from '../loop/watch.ts';
import type { Machine } from '../node/machine.ts';
import type { Packet } from '../policy/terms.ts';
import { findPod, podName } from '../report/asked-pod.ts';
import { readIfThere } from '../report/configured.ts';
import { type Explanation, explain } from '../report/explain.ts';
import { type Followed, Follower, isOver } from '../report/follow/followed.ts';
import { comparison, type RuleTexts, ruleTexts } from '../report/follow/foretold.ts';
import { type Verdict, verdictOn } from '../report/follow/verdict.ts';
import { printPacket } from '../report/packet-words.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { parseDestination } from './destination.ts';
import { type NodeOptions, onNode, type PolicyOptions, withPolicyIfThere } from './options.ts';
import { printFollowed } from './trace-text.ts';

interface TraceOptions extends NodeOptions, PolicyOptions {
  readonly seconds: string;
  readonly packets: string;
}

/** A packet whose way is known. */
export interface Told extends Verdict {
  readonly direction: 'packet' | 'answer';
  readonly followed: Followed;
  /** What `explain` foretold, beside what was seen; of packets of a pod of this node. */
  readonly foretold?: string;
}

/** Milliseconds without an event after which a packet is taken to have come to its end; and for the answer to one that left. */
const pauses = { packet: 400, answer: 1_500, step: 50 } as const;

/** IPPROTO_*; of ICMP by the family. */
const numberOf = (protocol: Protocol, family: 4 | 6): number =>
  ({ tcp: 6, udp: 17, sctp: 132, icmp: family === 4 ? 1 : 58 })[protocol];

/** Whom to follow, and what is known of it. */
export interface Scene {
  readonly name: string;
  readonly traced: Traced;
  readonly explanation?: Explanation;
  readonly texts: RuleTexts;
}

async function sceneOf(
  machine: Machine,
  readFile: CliSurroundings['readFile'],
  asked: string,
  packet: Packet,
  policy?: string,
): Promise<Scene> {
  const family = familyOf(packet.destination);
  const { destination, protocol, port } = packet;
  const to = { destination, ...(protocol && { protocol: numberOf(protocol, family) }), ...(port && { port }) };
  const address = parseAddress(asked);
  const isElsewhere =
    address !== undefined && !machine.store.list().some(({ addresses }) => addresses.includes(address));
  if (isElsewhere && machine.store.loadNode()?.gateway) {
    return { name: asked, traced: { source: requireFamily(address, destination), ...to }, texts: new Map() };
  }
  const found = findPod(machine.store.list(), asked);
  const [record] = 'records' in found ? found.records : [];
  const source = record?.addresses.find((each) => familyOf(each) === family);
  if (record === undefined || source === undefined) {
    const why = record
      ? `Pod ${asked} has no IPv${family} address`
      : `Nothing is set up on this node for a pod "${asked}"`;
    throw new EgressError('unknown-pod', why);
  }
  const [explanation] = await explain(machine, readIfThere(policy, readFile), source, [packet]);
  return {
    name: `${podName(record)} ${source}`,
    traced: { source, ...to },
    ...(explanation && { explanation }),
    texts: await ruleTexts(machine, record),
  };
}

function requireFamily(address: Address, destination: Address): Address {
  if (familyOf(address) === familyOf(destination)) return address;
  throw new EgressError('invalid-argument', `${address} sends nothing to ${destination}: they are of two families`);
}

export const traceCommand: CliCommand = {
  name: 'trace',
  summary:
    'follow the next real packets of a pod to a destination through all chains, by the kernel’s own tracing; sends nothing',
  options: (command) =>
    withPolicyIfThere(
      onNode(command)
        .argument(
          '<pod>',
          'namespace/name, address, or container ID; on a gateway the address of a pod of another node',
        )
        .argument('<destination>', 'address, address:port (TCP) or protocol/address:port', parseDestination)
        .option('--seconds <number>', 'how long to wait for packets', '30')
        .option('--packets <number>', 'how many packets of the pod to follow, with their answers', '1'),
    ),
  run: async (surroundings, asked: string, packet: Packet, options: TraceOptions) => {
    const { openMachine, openExamination, openService, readFile, write, remark, setExitCode } = surroundings;
    const [seconds, most] = [positive('--seconds', options.seconds), positive('--packets', options.packets)];
    using machine = await openMachine(options);
    const scene = await sceneOf(machine, readFile, asked, packet, options.policy);
    using tools = await openExamination();
    const { examiner } = tools;
    using service = openService();
    const follower = new Follower(await examiner.listChains());
    const seen = new Seen();
    using _trace = await examiner.trace(scene.traced, (event) => seen.add(event, follower));
    remark(
      `Waiting for packets: ${scene.name} → ${printPacket(packet)} (${counted(seconds, 'second')} at most, Ctrl-C ends it)\n`,
    );
    const told: Told[] = [];
    const tell = (one: Told) => {
      told.push(one);
      if (!options.json) write(printFollowed(one, scene));
    };
    await follow({ machine, scene, seen, follower, tell, most, end: now() + 1000 * seconds, signal: service.signal });
    const ours = told.filter(({ direction }) => direction === 'packet');
    if (options.json) write(toJson(told));
    else if (ours.length === 0) write(nothingSeen(scene.name));
    if (ours.length === 0 || ours.some(({ left }) => !left)) setExitCode(1);
  },
};

const nothingSeen = (name: string): string =>
  `No packet of ${name} to there came to this node’s prerouting. Does the pod send? A packet with a false source is dropped before: egress help forged.\n`;

function positive(option: string, text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new EgressError('invalid-argument', `${option}: expected a whole number from 1, got "${text}"`);
}

const now = () => performance.now();

/** Packets under way, each with the time of its last event. */
class Seen {
  readonly #packets = new Map<number, { readonly followed: Followed; readonly at: number }>();

  add(event: TraceEvent, follower: Follower): void {
    const followed = follower.add(event);
    this.#packets.set(followed.id, { followed, at: now() });
  }

  /** Those of which nothing more comes, and the others too when that is wanted. */
  takeEnded(all: boolean): readonly Followed[] {
    const ended = [...this.#packets.values()].filter(
      ({ followed, at }) => all || isOver(followed) || now() - at > pauses.packet,
    );
    for (const { followed } of ended) this.#packets.delete(followed.id);
    return ended.map(({ followed }) => followed);
  }
}

interface Following {
  readonly machine: Machine;
  readonly scene: Scene;
  readonly seen: Seen;
  readonly follower: Follower;
  readonly most: number;
  /** By the clock that does not go back. */
  readonly end: number;
  readonly signal: AbortSignal;
  tell(told: Told): void;
}

/** Until so many packets and their answers have come, or the time is over, or somebody ends it. */
async function follow({ machine, scene, seen, follower, tell, most, end, signal }: Following): Promise<void> {
  const node = machine.store.loadNode();
  const told = { packets: 0, left: 0, answers: 0 };
  let last = now();
  const isEnough = () => told.packets >= most && (told.answers >= told.left || now() - last > pauses.answer);
  while (!isEnough()) {
    const isEnd = signal.aborted || now() > end;
    for (const followed of seen.takeEnded(isEnd)) {
      follower.forget(followed.id);
      const isAnswer = followed.first?.source === scene.traced.destination;
      if (isAnswer ? told.answers >= told.left : told.packets >= most) continue;
      const verdict = await verdictOn(machine.host, node, followed, isAnswer);
      const foretold = isAnswer ? undefined : comparison(verdict, scene.explanation);
      tell({ direction: isAnswer ? 'answer' : 'packet', followed, ...verdict, ...(foretold && { foretold }) });
      told[isAnswer ? 'answers' : 'packets']++;
      if (!isAnswer && verdict.left) told.left++;
      last = now();
    }
    if (isEnd) return;
    await pause(pauses.step, signal);
  }
}
