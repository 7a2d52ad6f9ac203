import { type Address, contains, familyOf, prefixLength } from '../base/address.ts';
import { canonicalJson } from '../base/canonical.ts';
import { keyOf } from '../datapath/difference.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { comparableRule, missingRules } from '../datapath/kinds/chain.ts';
import * as layout from '../datapath/layout.ts';
import type { HostObject, Route } from '../datapath/objects.ts';
import { desiredProgram } from '../datapath/program.ts';
import { isOfRemembered, withoutLabel } from '../datapath/remembered.ts';
import { routeText, ruleText } from '../datapath/routing-words.ts';
import { slotOf } from '../datapath/slots.ts';
import { lookupOf } from '../datapath/tables.ts';
import { nextHopOf, tunnelMac } from '../datapath/tunnel.ts';
import type { Chain, Element, Rule } from '../nftables/object.ts';
import { nameOfTable, printOperation, printRule } from '../nftables/script.ts';
import * as say from '../nftables/statement.ts';
import { steeredOf } from '../node/set-up.ts';
import type { Decision } from '../policy/decision.ts';
import type { Packet } from '../policy/terms.ts';
import {
  type AttachmentState,
  type Problem,
  podElement,
  problemOf,
  wantedChain,
  wantedElements,
  wantedSets,
} from './attachment-state.ts';

/** One thing in the kernel that a packet meets on its way, in the words of the tool that shows it. */
export interface Step {
  readonly what:
    | 'element'
    | 'chain'
    | 'rule'
    | 'exit'
    | 'policy rule'
    | 'route'
    | 'source'
    | 'guard'
    | 'next hop'
    | 'forwarding';
  readonly text: string;
  /** Absent: it is as it should be. */
  readonly problem?: Problem;
}

/** The steps that decide about a packet: an element, its chain, and a rule of the chain. */
export function decidingSteps(
  state: AttachmentState,
  address: Address,
  decision: Decision | 'own',
  packet: Packet,
): Step[] {
  const element = podElement(state, address);
  const program = wantedChain(state, state.record.program);
  if (element === undefined || program === undefined) return [];
  const rule = decidingRule(state, program, decision, packet);
  return [
    step(state, 'element', element, elementText(state, element)),
    step(state, 'chain', program, `${nameOfTable(program)} ${program.name}`),
    ...(rule ? [ruleStep(state, program, rule)] : []),
  ];
}

/** The steps that take a packet out by an exit. */
export function exitSteps(
  state: AttachmentState,
  exit: ResolvedExit,
  { address, sources, packet }: { address: Address; sources: readonly Address[]; packet: Packet },
): Step[] {
  const chain = wantedChain(state, layout.chainNames.exit(exit.id));
  const steer = chain?.rules.at(-1);
  const route = exitRoute(state, exit, packet);
  return [
    ...(chain && steer ? [step(state, 'exit', chain, `${chain.name}: ${printRule(steer)}`)] : []),
    ...exitRules(state, exit, packet).map((rule) => step(state, 'policy rule', rule, ruleText(rule))),
    ...(route ? [step(state, 'route', route, routeText(route))] : []),
    ...sourceElements(state, exit, address).map((object) => elementStep(state, 'source', object)),
    ...portSteps(state, exit, address, packet),
    ...guardElements(state, exit, sources).map((object) => elementStep(state, 'guard', object)),
    ...tunnelObjects(state, exit, packet).map((object) =>
      object.kind === 'neighbour'
        ? step(state, 'next hop', object, `ip neigh ${object.address} lladdr ${object.mac} dev ${object.device}`)
        : step(state, 'forwarding', object, `bridge fdb ${object.mac} dev ${object.device} dst ${object.remote}`),
    ),
  ];
}

/** The chain that a packet of the exit `drop`, or of a family that its exit lacks, ends in. */
export function dropSteps(state: AttachmentState): Step[] {
  const chain = wantedChain(state, layout.chainNames.drop);
  const rule = chain?.rules[0];
  return chain && rule ? [step(state, 'exit', chain, `${chain.name}: ${printRule(rule)}`)] : [];
}

/** The objects that give a packet of an exit one of the pod's own source ports: an element, and its chain. */
export function portObjects(
  state: AttachmentState,
  { id }: ResolvedExit,
  address: Address,
): { block?: Element; chain?: Chain } {
  const blocks = wantedElements(state, layout.setNames.blocks(familyOf(address)));
  const block = blocks.find(({ key }) => key === layout.exitAddressKey(id, address));
  const chain = wantedChain(state, layout.chainNames.ports(id, address));
  return { ...(block && { block }), ...(chain && { chain }) };
}

/** The rule of the packet's protocol; of a packet without one, those of all. */
function portSteps(state: AttachmentState, exit: ResolvedExit, address: Address, { protocol }: Packet): Step[] {
  const { chain } = portObjects(state, exit, address);
  const asked = protocol && say.isProtocol(protocol, familyOf(address)).text;
  const rules = chain?.rules.filter(({ statements }) => !asked || statements.some(({ text }) => text === asked)) ?? [];
  return chain ? rules.map((rule) => ruleStep(state, chain, rule, 'source')) : [];
}

/**
 * The elements that give a packet of an exit its source address, and its port if the pod has ports of its own; none when
 * that falls to the gateway.
 */
export function sourceElements(state: AttachmentState, exit: ResolvedExit, address: Address): Element[] {
  const { block } = portObjects(state, exit, address);
  if (block !== undefined) return [block];
  const { id, ways, device, addressPerFlow } = exit;
  const family = familyOf(address);
  const exitKey = layout.exitDeviceKey(id, device);
  const ofExit = (set: string) => wantedElements(state, set).filter(({ key }) => key === exitKey);
  const isSpread = ways.some((way) => way.family === family && way.addresses.length > 1);
  if (!isSpread) return ofExit(layout.setNames.snat(family));
  if (addressPerFlow) return ofExit(layout.setNames.spread);
  const slots = layout.slotsMap(id, family);
  const slot = layout.slotKey(slotOf(address), slots);
  return [...ofExit(layout.setNames.spread), ...wantedElements(state, slots.name).filter(({ key }) => key === slot)];
}

/** The elements by which packets of an exit pass the guard. */
export function guardElements(
  state: AttachmentState,
  { id, device }: ResolvedExit,
  sources: readonly Address[],
): Element[] {
  const lanesOf = (source: Address) => {
    const lane = layout.laneKey(id, device, source);
    return wantedElements(state, layout.setNames.lanes(familyOf(source))).filter(({ key }) => key === lane);
  };
  return [
    ...sources.flatMap(lanesOf),
    ...wantedElements(state, layout.setNames.tunnels).filter(({ key }) => key === layout.exitKey(id)),
  ];
}

/** The objects that lead to the gateway inside the tunnel. */
export function tunnelObjects({ wanted }: AttachmentState, { gateway }: ResolvedExit, { destination }: Packet) {
  if (gateway === undefined) return [];
  const [nextHop, mac] = [nextHopOf(gateway, familyOf(destination)), tunnelMac(gateway)];
  return wanted
    .filter((object) => object.kind === 'neighbour' || object.kind === 'forwarding')
    .filter((object) => (object.kind === 'neighbour' ? object.address === nextHop : object.mac === mac));
}

function exitRules({ wanted, node }: AttachmentState, { id }: ResolvedExit, { destination }: Packet) {
  const table = (node?.routeTable ?? 0) + id;
  return wanted
    .filter((object) => object.kind === 'rule')
    .filter((rule) => rule.family === familyOf(destination) && lookupOf(rule) === table);
}

/** The route of the exit that a packet takes: that of the narrowest destination. */
function exitRoute(
  { wanted, node }: AttachmentState,
  { id }: ResolvedExit,
  { destination: to }: Packet,
): Route | undefined {
  const lengthOf = ({ destination }: Route) => (destination === undefined ? -1 : prefixLength(destination));
  return wanted
    .filter((object) => object.kind === 'route')
    .filter(
      ({ family, table, type }) =>
        family === familyOf(to) && table === (node?.routeTable ?? 0) + id && type === 'unicast',
    )
    .filter(({ destination }) => destination === undefined || contains(destination, to))
    .sort((a, b) => lengthOf(b) - lengthOf(a))[0];
}

function step(state: AttachmentState, what: Step['what'], object: HostObject, text: string): Step {
  const problem = problemOf(state, object);
  return { what, text, ...(problem && { problem }) };
}

const elementStep = (state: AttachmentState, what: Step['what'], element: Element): Step =>
  step(state, what, element, elementText(state, element));

/** The element in the words of `nft get element`. */
function elementText(state: AttachmentState, element: Element): string {
  const [command = ''] = printOperation({ verb: 'add', object: element }, wantedSets(state));
  return command.replace(/^add element /, '');
}

function ruleStep({ found }: AttachmentState, chain: Chain, rule: Rule, what: 'rule' | 'source' = 'rule'): Step {
  const observed = found.get(keyOf(chain));
  const isThere = observed?.kind === 'chain' && missingRules({ ...chain, rules: [rule] }, observed).length === 0;
  const text = `${chain.name} rule ${chain.rules.indexOf(rule) + 1}: ${printRule(withoutLabel(rule))}`;
  return { what, text, ...(!isThere && { problem: 'missing' }) };
}

/** The rule of the program that decides; `undefined` when the packet passes all of them. */
function decidingRule(state: AttachmentState, { rules, name }: Chain, decision: Decision | 'own', packet: Packet) {
  const family = familyOf(packet.destination);
  const lookingUp = (set: string) =>
    rules.find(({ statements }) => statements.some(({ text }) => text.endsWith(`@${set}`)));
  if (decision === 'own') return lookingUp(layout.setNames.own);
  if (decision.by === 'cluster') {
    return lookingUp(`${name}-cluster${family}`) ?? lookingUp(layout.setNames.cluster(family));
  }
  if (decision.by === 'subnet') return lookingUp(`${name}-subnets${family}`);
  return decision.by === 'match' ? matchRule(state, rules, decision.place, packet) : undefined;
}

/** A match with ports has several rules. The first one of the packet's protocol is about packets like it. */
function matchRule(
  { record, node }: AttachmentState,
  rules: readonly Rule[],
  place: number,
  { protocol }: Packet,
): Rule | undefined {
  const [match] = record.matches.slice(place);
  if (match === undefined || node === undefined) return undefined;
  const ports = match.ports?.filter((range) => range.split(':')[0] === protocol);
  const before = record.matches.slice(0, place);
  const rulesOf = (matches: typeof before) => programRules(desiredProgram(node, { ...steeredOf(record), matches }));
  const [wanted] = rulesOf([...before, { ...match, ...(ports && { ports }) }]).slice(rulesOf(before).length);
  const text = wanted && canonicalJson(comparableRule(wanted));
  return rules.find((rule) => canonicalJson(comparableRule(rule)) === text);
}

const programRules = (objects: readonly HostObject[]): readonly Rule[] =>
  objects.flatMap((object) => (object.kind === 'chain' ? object.rules : [])).filter((rule) => !isOfRemembered(rule)); // as many as the matches have different ends
