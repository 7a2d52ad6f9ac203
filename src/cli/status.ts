import { counted } from '../base/counted.ts';
import type { Counter } from '../nftables/observed.ts';
import { podName } from '../report/asked-pod.ts';
import { outdatedIn, outdatedLines } from '../report/outdated.ts';
import {
  type AgentStatus,
  type ExitStatus,
  type PodStatus,
  readStatus,
  type Status,
  type TunnelStatus,
} from '../report/status.ts';
import type { ExitGateways } from '../store/record.ts';
import { type CliCommand, toJson } from './command.ts';
import { type ConfOptions, type NodeOptions, onNode, withConfDir } from './options.ts';
import { printTable } from './table.ts';

/** The status as tables; `-` stands for unknown, or not counted here. */
export function printStatus(
  { exits, pods, tunnel, agent, openAfterFlush, ...counters }: Status,
  colors: boolean,
): string {
  const { dropped, guarded, unmarked, forged } = counters;
  const ofAgent = agent ? [printAgent(agent)] : [];
  if (exits.length + pods.length === 0) return ['No pod on this node has an egress policy.\n', ...ofAgent].join('\n');
  return [
    printExits(exits, colors),
    ...(pods.length > 0 ? [printPods(pods, colors)] : []),
    dropped && guarded
      ? `Dropped by policy: ${packetsIn(dropped)}. Kept from leaving wrongly: ${packetsIn(guarded)}.\n`
      : 'Nothing is counted, and no pod is steered: table inet cni-egress is missing. "egress repair" mends it.\n',
    ...(unmarked && unmarked.packets > 0n
      ? [`Found without our mark, which others take from them: ${packetsIn(unmarked)}.\n`]
      : []),
    ...(forged && forged.packets > 0n ? [`With a false source: ${forged.packets} packets.\n`] : []),
    ...(openAfterFlush
      ? ['What pods send leaves as the node’s own when the ruleset is flushed; "egress check" tells why.\n']
      : []),
    ...(tunnel ? [printTunnel(tunnel)] : []),
    ...ofAgent,
    ...exits.flatMap(electedText),
    ...exits.flatMap(problemText),
    ...outdatedLines(pods.map((pod) => ({ name: podName(pod), outdated: pod.outdated }))).map((line) => `${line}\n`),
  ].join('\n');
}

const exitHead = ['EXIT', 'ID', 'INTERFACE', 'ADDRESS', 'NEXT HOP', 'SERVED', 'STEERED', 'LEFT'];

/** Packets into the tunnel have not left yet. They have a column of their own on nodes that send some. */
function printExits(exits: readonly ExitStatus[], colors: boolean): string {
  const haveTunnel = exits.some(({ gateway }) => gateway !== undefined);
  const rows = exits.map((exit) => [
    exit.name,
    String(exit.id),
    exit.device,
    exit.ways.flatMap(addressTexts).join(', '),
    nextHops(exit),
    exit.served === undefined ? '' : String(exit.served.packets),
    packetsOf(exit.steered),
    packetsOf(exit.left),
    ...(haveTunnel ? [packetsOf(exit.tunnelled)] : []),
    packetsOf(exit.dropped),
  ]);
  return printTable([...exitHead, ...(haveTunnel ? ['TUNNELLED'] : []), 'DROPPED'], rows, colors);
}

function printPods(pods: readonly PodStatus[], colors: boolean): string {
  const havePorts = pods.some(({ ports }) => ports !== undefined);
  const rows = pods.map((status) => [
    podName(status),
    status.addresses.join(', '),
    status.exits.join(', '),
    ...(havePorts ? [portsText(status)] : []),
    String(status.packets ?? '-'),
  ]);
  return printTable(['POD', 'ADDRESS', 'EXITS', ...(havePorts ? ['PORTS'] : []), 'PACKETS'], rows, colors);
}

const packetsOf = (counter?: Pick<Counter, 'packets'>): string => String(counter?.packets ?? '-');

/** Objects that went with an interface, say: only a person puts them back. */
function problemText({ name, problems = [] }: ExitStatus): string[] {
  if (problems.length === 0) return [];
  return [`Exit "${name}" is not as it should be: ${firstOf(problems)}. "egress repair" mends it.\n`];
}

/** With the exit where there are several. */
const portsText = ({ ports = [] }: PodStatus): string =>
  ports.map(({ exit, first, last }) => (ports.length > 1 ? `${exit} ${first}-${last}` : `${first}-${last}`)).join(', ');

const addressTexts = ({ addresses, notHere = [] }: ExitStatus['ways'][number]): string[] =>
  addresses.map((address) => (notHere.includes(address) ? `${address} (not here)` : address));

/** Which of the gateways has the exit's addresses, on one of them, and what a person should know of it. */
function electedText({ name, elected }: ExitStatus): string[] {
  if (elected === undefined) return [];
  const { holds, gateway, since, why, notes = [] } = elected;
  const where = holds ? 'this gateway has its addresses' : `gateway ${gateway} has its addresses, this one is ready`;
  const reason = why === undefined ? '' : `: ${why}`;
  return [
    `Exit "${name}": ${where} since ${shownTime(since)}${reason}.\n`,
    ...notes.map((note) => `Exit "${name}": ${note}.\n`),
  ];
}

const nextHops = ({ gateway, ways }: ExitStatus): string =>
  gateway === undefined
    ? ways.map(({ via = 'on link', neighbour }) => (neighbour ? `${via} (${neighbour})` : via)).join(', ')
    : `gateway ${gateway}`;

const packetsOrDash = (counter?: Pick<Counter, 'packets'>): string => (counter ? packetsIn(counter) : '- packets');

const packetsIn = ({ packets }: { readonly packets: number | bigint }): string => counted(packets, 'packet');

const printTunnel = ({ vni, port, local, mtu, unserved, strangers }: TunnelStatus): string =>
  [
    `Tunnel: VXLAN ${vni} on UDP port ${port}, from ${local}, MTU ${mtu}.`,
    `Came for an exit that is not served here: ${packetsOrDash(unserved)}. From strangers: ${packetsOrDash(strangers)}.`,
    '',
  ].join('\n');

const printAgent = ({ mended, failures = [], gateways = [], ...agent }: AgentStatus): string =>
  [
    isRunning(agent),
    ...(mended ? [`It mended last at ${shownTime(mended.at)}: ${firstOf(mended.what)}.`] : []),
    ...gateways.map(gatewayText),
    ...failures.map((failure) => `It could not be done: ${failure}`),
    '',
  ].join('\n');

function isRunning({ runs, startedAt, lookedAt }: AgentStatus): string {
  const said = runs ? 'An agent runs' : 'No agent runs';
  if (startedAt === undefined || lookedAt === undefined) return `${said}.`;
  const looked = `looked last at ${shownTime(lookedAt)}`;
  return runs ? `${said} since ${shownTime(startedAt)}, and ${looked}.` : `${said}; one ${looked}.`;
}

const gatewayText = ({ exit, gateway, answers, since, moved }: ExitGateways): string =>
  [
    `Exit "${exit}": gateway ${gateway} ${answers ? 'answers' : 'does not answer'} since ${shownTime(since)}.`,
    ...(answers ? [] : ['What pods send there is lost until it does, or another one has the address.']),
    ...(moved ? [`It was ${moved.from} until ${shownTime(moved.at)}, and fell silent.`] : []),
  ].join(' ');

/** `2026-11-28 18:50:34 UTC`. */
const shownTime = (time: string): string => time.replace(/T([\d:]+)(\.\d+)?Z$/, ' $1 UTC');

/** The first of several things, and how many more there are. */
const firstOf = ([first = '', ...more]: readonly string[]): string =>
  more.length === 0 ? first : `${first}, and ${more.length} more`;

export const statusCommand: CliCommand = {
  name: 'status',
  summary: 'show exits, pods and what they counted',
  options: (command) => withConfDir(onNode(command)),
  run: async ({ openMachine, readFile, isClaimed, write, colors }, options: NodeOptions & ConfOptions) => {
    using machine = await openMachine(options);
    const status = await readStatus(machine, outdatedIn(machine, options.confDir, readFile), isClaimed);
    write(options.json ? toJson(status) : printStatus(status, colors));
  },
};
