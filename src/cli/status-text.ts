import { counted } from '../base/counted.ts';
import { duration, short } from '../base/quantity.ts';
import type { Counter } from '../nftables/observed.ts';
import { podName } from '../report/asked-pod.ts';
import type { Health } from '../report/health.ts';
import { outdatedLines } from '../report/outdated.ts';
import type { AgentStatus, ExitStatus, PodStatus, Status, TunnelStatus } from '../report/status.ts';
import type { ExitGateways } from '../store/record.ts';
import { type Column, type Fitted, fitTable, wrapped } from './fitted.ts';

/** Where a status is printed: without `width` it may be as wide as it is. */
export interface Paper {
  readonly colors: boolean;
  readonly width?: number | undefined;
}

/** The status as tables; `-` stands for unknown, or not counted here. */
export function printStatus(status: Status, paper: Paper): string {
  const { exits, pods, agent } = status;
  const ofAgent = agent ? [wrapped(printAgent(agent), paper.width)] : [];
  if (exits.length + pods.length === 0) return ['No pod on this node has an egress policy.\n', ...ofAgent].join('\n');
  const tables = [printExits(status, paper), ...(pods.length > 0 ? [printPods(status, paper)] : [])];
  const sentences = [...leftOutText(tables, paper), ...exits.flatMap(failsText), ...countedText(status)];
  return [
    ...tables.map(({ text }) => text),
    ...sentences.map((sentence) => wrapped(sentence, paper.width)),
    ...ofAgent,
    ...[
      ...exits.flatMap(electedText),
      ...exits.flatMap(fastPathText),
      ...exits.flatMap(problemText),
      ...outdatedText(pods),
    ].map((sentence) => wrapped(sentence, paper.width)),
  ].join('\n');
}

function countedText({ dropped, guarded, unmarked, forged, openAfterFlush, tunnel, rateSeconds }: Status): string[] {
  return [
    ...(rateSeconds === undefined
      ? []
      : [`Rates are those of the last ${duration(rateSeconds)}, since somebody looked.\n`]),
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
  ];
}

const outdatedText = (pods: readonly PodStatus[]): string[] =>
  outdatedLines(pods.map((pod) => ({ name: podName(pod), outdated: pod.outdated }))).map((line) => `${line}\n`);

function leftOutText(tables: readonly Fitted[], { width }: Paper): string[] {
  const titles = [...new Set(tables.flatMap(({ leftOut }) => leftOut))];
  return titles.length === 0 ? [] : [`Not shown in ${width} columns: ${titles.join(', ')}.\n`];
}

const healthWord = (health: Health): string => (health === 'fails' ? 'FAILS' : health);

/** SGR: green, red, yellow. */
const colours = { works: 32, fails: 31, standby: 32, unknown: 33 } as const;

/** Packets into the tunnel have not left yet. They have a column of their own on nodes that send some, as have rates. */
function printExits({ exits, rateSeconds }: Status, { colors, width }: Paper): Fitted {
  const column = (title: string, cell: (exit: ExitStatus) => string, more: Partial<Column> = {}): Column => ({
    ...{ title, cells: exits.map(cell), ...more },
  });
  const when = (wanted: boolean, ...columns: readonly Column[]): readonly Column[] => (wanted ? columns : []);
  const columns = [
    column('EXIT', ({ name }) => name, { shorten: 'middle' }),
    column('ID', ({ id }) => String(id), { spare: 1 }),
    column('INTERFACE', ({ device }) => device, { spare: 3 }),
    column('ADDRESS', ({ ways }) => ways.flatMap(addressTexts).join(', '), { shorten: 'list' }),
    column('NEXT HOP', nextHops, { shorten: 'list', spare: 4 }),
    column('HEALTH', ({ health }) => healthWord(health)),
    ...when(
      rateSeconds !== undefined,
      column('PACKETS/S', ({ rate }) => shortOrDash(rate?.packets)),
      column('BYTES/S', ({ rate }) => shortOrDash(rate?.bytes), { spare: 2 }),
    ),
    column('SERVED', ({ served }) => (served === undefined ? '' : String(served.packets)), {
      spare: exits.some(({ served }) => served !== undefined) ? 7 : 0,
    }),
    column('STEERED', ({ steered }) => packetsOf(steered)),
    column('LEFT', ({ left }) => packetsOf(left), { spare: 5 }),
    ...when(
      exits.some(({ gateway }) => gateway !== undefined),
      column('TUNNELLED', ({ tunnelled }) => packetsOf(tunnelled), { spare: 6 }),
    ),
    column('DROPPED', ({ dropped }) => packetsOf(dropped)),
  ];
  const { text, leftOut } = fitTable(columns, colors, width);
  return { text: colors ? withColours(text, exits) : text, leftOut };
}

/** The word of each exit's health, in its line. */
const withColours = (text: string, exits: readonly ExitStatus[]): string => {
  const [head = '', ...lines] = text.split('\n');
  const coloured = lines.map((line, i) => {
    const health = exits[i]?.health;
    if (health === undefined) return line;
    const word = healthWord(health);
    return line.replace(new RegExp(`(?<=  )${word}(?=  )`), `\x1b[${colours[health]}m${word}\x1b[39m`);
  });
  return [head, ...coloured].join('\n');
};

function printPods({ pods, rateSeconds }: Status, { colors, width }: Paper): Fitted {
  const column = (title: string, cell: (pod: PodStatus) => string, more: Partial<Column> = {}): Column => ({
    ...{ title, cells: pods.map(cell), ...more },
  });
  const columns = [
    column('POD', podName, { shorten: 'middle' }),
    column('ADDRESS', ({ addresses }) => addresses.join(', '), { shorten: 'list', spare: 3 }),
    column('EXITS', ({ exits }) => exits.join(', '), { shorten: 'list' }),
    ...(pods.some(({ ports }) => ports !== undefined) ? [column('PORTS', portsText, { spare: 1 })] : []),
    ...(rateSeconds === undefined
      ? []
      : [
          column('PACKETS/S', ({ rate }) => shortOrDash(rate?.packets)),
          column('BYTES/S', ({ rate }) => shortOrDash(rate?.bytes), { spare: 2 }),
        ]),
    column('PACKETS', ({ packets }) => String(packets ?? '-')),
  ];
  return fitTable(columns, colors, width);
}

const shortOrDash = (value: number | undefined): string => (value === undefined ? '-' : short(value));

/** What keeps packets of this node from leaving by an exit. */
function failsText({ name, health, why = [] }: ExitStatus): string[] {
  return health === 'fails' ? [`Exit "${name}" cannot be used here: ${why.join('; ')}.\n`] : [];
}

const packetsOf = (counter?: Pick<Counter, 'packets'>): string => String(counter?.packets ?? '-');

/** Whether established connections take the fast path, of an exit that has one. */
function fastPathText({ name, fastPath }: ExitStatus): string[] {
  if (fastPath === undefined) return [];
  const { isOn, why } = fastPath;
  return [`The fast path of exit "${name}" is ${isOn ? 'on' : `off${why === undefined ? '' : `: ${why}`}`}.\n`];
}

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
