import { type Address, familyOf } from '../base/address.ts';
import { nameOf } from '../datapath/describe.ts';
import { difference, keyOf } from '../datapath/difference.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { type Filter, filterText, judge } from '../datapath/filter.ts';
import type { Host } from '../datapath/host.ts';
import { type Passage, whyFiltered, whyNotForwarded, whyUnanswered } from '../datapath/passage.ts';
import { looseReversePath, reversePathName } from '../datapath/reverse-path.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import { wayBackOf, whyNoWayBack } from '../node/way-back.ts';
import type { AttachmentState } from './attachment-state.ts';

/** Obstacles of the node, none of them ours, for a packet of a pod that goes out by an interface. */
export interface Obstacles {
  /** What drops it, for sure. */
  readonly stopped?: string;
  /** Chains of others that drop it unless one of their rules accepts it. */
  readonly unless: readonly string[];
  /** What drops its answers, for sure. */
  readonly unanswered?: string;
  readonly notes: readonly string[];
}

const none: Obstacles = { unless: [], notes: [] };

/**
 * The obstacles for packets from the pod's address to the interface.
 *
 * @param marked whether they have the mark of an exit
 */
export async function obstaclesOf(host: Host, from: Address, output: string, marked: boolean): Promise<Obstacles> {
  const input = (await host.routeTo(from))?.device;
  if (input === undefined || input === output) return none;
  const passage: Passage = { family: familyOf(from), input, output };
  const read = (name: string) => host.readSysctl(name);
  const { drops, mayDrop, mayPass } = judge(await host.listFilters(), passage);
  const filtered = drops && `${filterText(drops)} drops everything (policy drop, and no rule)`;
  const stopped =
    whyNotForwarded(passage.family, input, read) ?? (marked ? whyFiltered(passage, read) : undefined) ?? filtered;
  const unanswered = output === tunnelDevice ? undefined : whyUnanswered(passage, loosened(host, marked, output), read);
  return {
    ...(stopped && { stopped }),
    unless: mayDrop.map(filterText),
    ...(unanswered && { unanswered }),
    notes: notesOf(host, passage, mayPass),
  };
}

/** The same, and the reverse path filter for answers when the node has no route back to their source. */
export async function withWayBack(
  host: Host,
  { node, found }: AttachmentState,
  exit: ResolvedExit,
  from: Address,
  obstacles: Obstacles,
): Promise<Obstacles> {
  if (node === undefined || familyOf(from) === 6 || obstacles.unanswered !== undefined) return obstacles;
  const missing = (await wayBackOf(host, node, { exits: [exit] })).find(
    (object) => object.kind === 'chain' && difference([object], [found.get(keyOf(object)) ?? []].flat()).length > 0,
  );
  const unanswered =
    (await whyNoWayBack(host, exit, from)) ?? (missing && `${nameOf(missing)} is missing or not as expected`);
  return { ...obstacles, ...(unanswered && { unanswered }) };
}

const loosened = (host: Host, marked: boolean, device: string) =>
  marked
    ? looseReversePath(device, host.readSysctl(reversePathName('all')), host.readSysctl(reversePathName(device)))
    : undefined;

/** What nobody can tell from here. */
function notesOf(host: Host, { family }: Passage, mayPass: readonly Filter[]): string[] {
  const names = mayPass.map(filterText).join(', ');
  const legacy = host.listLegacyTables(family).includes('filter');
  const command = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
  return [
    ...(names ? [`Unless a filter of somebody else drops it, whose rules are not judged here: ${names}.`] : []),
    ...(legacy
      ? [
          `Rules and policies of the older iptables are in use, and cannot be seen here: ${command} -S FORWARD shows them.`,
        ]
      : []),
  ];
}

/** The words for a packet that passes all our chains. */
export function withObstacles(words: string, { unless, unanswered }: Obstacles): string {
  const filters = unless.length > 0 ? `, unless ${unless.join(' or ')} drops it (policy drop)` : '';
  return `${words}${filters}${unanswered ? `; its answers are dropped: ${unanswered}` : ''}`;
}
