import { families, familyOf, type Prefix } from '../base/address.ts';
import { isEqual } from '../base/canonical.ts';
import { type Protocol, protocols } from '../base/port-range.ts';
import { nothingElse } from '../base/whole.ts';
import { rule } from '../nftables/chain.ts';
import type { Verdict } from '../nftables/expression.ts';
import type { Chain, NftSet, Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Match } from '../policy/match.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { rememberedRule, remembering } from './remembered.ts';
import { entryChain } from './sources.ts';

/** The attachment's program: one chain, and a set for each list of ranges in it. */
export function desiredProgram(node: NodeState, attachment: SteeredAttachment): HostObject[] {
  const sets: NftSet[] = [];
  const withSet: WithSet = (suffix, make) => {
    const set = make(`${attachment.program}-${suffix}`);
    sets.push(set);
    return set.name;
  };
  const ends = attachment.matches.map((match) => endOf(node, attachment, match));
  const known = rememberedEnds(attachment, ends);
  const towards = (end: Verdict): readonly Statement[] =>
    known.some((one) => isEqual(one, end)) ? remembering(attachment.program, end) : [say.verdict(end)];
  const rules = [
    ...known.map((end) => rememberedRule(attachment.program, end)),
    ...inClusterRules(attachment, withSet, towards(nodesWay)),
    ...attachment.matches.flatMap((match, i) => {
      const { policy: _policy, family: _family, destinations: _destinations, except: _except, ...more } = match;
      const { ports: _ports, exit: _exit, onChange: _onChange, ...others } = more;
      nothingElse(others); // each of these has its statements below
      const ofMatch: WithSet = (suffix, make) => withSet(`${i + 1}${suffix}`, make);
      const destination = destinationStatements(match, ofMatch);
      const end = towards(ends[i] ?? nodesWay);
      return portAlternatives(match, ofMatch).map((ports) => rule(...destination, ...ports, ...end));
    }),
  ];
  const shared = attachment.cluster ? [] : sharedSets(node);
  return [...shared, ...sets, { kind: 'chain', name: attachment.program, rules }];
}

/** The way of a checked attachment's packets into its program. */
export function desiredEntry(node: NodeState, attachment: SteeredAttachment): Chain {
  const { program } = attachment;
  const ends = attachment.matches.map((match) => endOf(node, attachment, match));
  return entryChain(node.fwmark, program, rememberedEnds(attachment, ends));
}

/** The sets that programs from before they had ranges of their own look into. */
const sharedSets = ({ clusterCIDRs = [] }: NodeState): NftSet[] =>
  families.map((family) => {
    const own = clusterCIDRs.filter((range) => familyOf(range) === family);
    return layout.rangesSet(layout.setNames.cluster(family), family, own);
  });

/** Adds a set whose name ends like this, and returns the name. */
type WithSet = (suffix: string, make: (name: string) => NftSet) => string;

/** Rules before all matches: the node and its segment, the cluster, and the pod's own networks are left alone. */
function inClusterRules({ subnets, cluster }: SteeredAttachment, withSet: WithSet, left: readonly Statement[]): Rule[] {
  const done = say.verdict(nodesWay);
  const rulesFor = (what: string, ranges: readonly Prefix[]) =>
    families.flatMap((family) => {
      const own = ranges.filter((range) => familyOf(range) === family);
      if (own.length === 0) return [];
      const set = withSet(`${what}${family}`, (name) => layout.rangesSet(name, family, own));
      return [rule(say.destinationIn(family, set, { first: true }), ...left)];
    });
  const inSharedSets = () =>
    families.map((family) => rule(say.destinationIn(family, layout.setNames.cluster(family), { first: true }), done));
  return [
    rule(say.destinationTypeIn(layout.setNames.own), done),
    ...(cluster ? rulesFor('cluster', cluster) : inSharedSets()),
    ...rulesFor('subnets', subnets),
  ];
}

/**
 * A match for everywhere only asks for the family. Not in front of ports: nft lists no `meta nfproto` before `meta
 * l4proto icmp`, and its listing would load as another rule.
 */
function destinationStatements({ family, destinations, except, ports }: Match, withSet: WithSet): Statement[] {
  const isIn = (suffix: string, ranges: readonly string[], options: say.AddressOptions) => {
    const set = withSet(suffix, (name) => layout.rangesSet(name, family, ranges));
    return say.destinationIn(family, set, options);
  };
  const isEverywhere = destinations.some((destination) => destination.endsWith('/0'));
  const isAsked = !isEverywhere || (ports !== undefined && except.length === 0);
  if (!isAsked && except.length === 0) return [say.family(family)];
  return [
    ...(isAsked ? [isIn('', destinations, { first: true })] : []),
    ...(except.length > 0 ? [isIn('-except', except, { first: !isAsked, not: true })] : []),
  ];
}

/** The protocols and ports of a match as alternatives: a packet of the match fits one of them. */
function portAlternatives(match: Match, withSet: WithSet): Statement[][] {
  const { ports } = match;
  if (ports === undefined) return [[]];
  return protocols.flatMap((protocol) => {
    const own = ports.filter((range) => range.split(':', 1)[0] === protocol);
    return own.length === 0 ? [] : protocolAlternatives(match, protocol, own, withSet);
  });
}

/**
 * The packets of a protocol, by their own headers, and the ICMP errors of its connections. So a packet that conntrack
 * calls invalid has its match as well: steered, it meets the guard. Fragments are whole datagrams here, since conntrack
 * puts them together.
 */
function protocolAlternatives(
  { family }: Match,
  protocol: Protocol,
  ranges: readonly string[],
  withSet: WithSet,
): Statement[][] {
  if (protocol === 'icmp') return [[say.icmpOfItsOwn(family)], [say.icmpOfConnection(protocol, family)]];
  const isWhole = ranges.some((range) => range === protocol);
  if (isWhole) return [[say.isProtocol(protocol)], [say.icmpOfConnection(protocol, family)]];
  const ports = ranges.map((range) => range.slice(protocol.length + 1));
  const set = withSet(`-${protocol}`, (name) => layout.portsSet(name, ports));
  return [[say.destinationPortIn(protocol, set)], [say.icmpOfConnectionTo(protocol, family, set)]];
}

/** Left alone: what the node's own routes say. */
const nodesWay: Verdict = { code: 'return' };

const dropped: Verdict = { code: 'goto', chain: layout.chainNames.drop };

/**
 * An exit itself drops a family that it lacks. Programs from before programs had ranges of their own drop it
 * themselves.
 */
function endOf(node: NodeState, { cluster }: SteeredAttachment, match: Match): Verdict {
  if (match.exit === 'node') return nodesWay;
  const exit = node.exits.find(({ name }) => name === match.exit);
  const isTaken = cluster !== undefined || exit?.ways.some((way) => way.family === match.family);
  return exit && isTaken ? { code: 'goto', chain: layout.chainNames.exit(exit.id) } : dropped;
}

/**
 * The ends that connections are remembered for: exits, and the node's own way. The rules for exits are asked before all others,
 * so they are a few, those of the first matches. None where ranges are shared with other programs: they may change.
 */
function rememberedEnds({ cluster, subnets }: SteeredAttachment, ends: readonly Verdict[]): readonly Verdict[] {
  if (cluster === undefined) return [];
  const led = ends.filter((end) => 'chain' in end && end !== dropped);
  const exits = led.filter((end, i) => led.findIndex((other) => isEqual(other, end)) === i);
  const isLeftAlone = cluster.length + subnets.length > 0 || ends.includes(nodesWay);
  return [...exits.slice(0, mostRememberedExits), ...(isLeftAlone ? [nodesWay] : [])];
}

const mostRememberedExits = 4;
