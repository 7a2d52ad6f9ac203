import { type Address, type Family, families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Verdict } from '../nftables/expression.ts';
import type { Chain, Element, Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { rememberedRule } from './remembered.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * A pod is its interface and its addresses together. Its packets come in at the node's end of its veth, before any
 * bridge. There only its own addresses pass, and get a proof: our bit in the mark with the exit id 0. No packet of
 * another pod can have it, since the kernel clears the mark where a packet changes its network namespace. A packet with
 * the source of such a pod and without the proof is forged.
 */
const proofOf = (fwmark: number) => layout.idMark(fwmark, layout.proofId);

const drop = [say.counter, say.verdict({ code: 'drop' })] as const;
const accept = say.verdict({ code: 'accept' });

/** The packet has the proof. */
export const isProven = (fwmark: number): Statement => say.markIs(proofOf(fwmark).mask, proofOf(fwmark).value);

/** The end of packets with the source of a pod that did not send them. */
export const forged = chain(layout.chainNames.forged, [rule(...drop)]);

/** Lets packets with the proof pass, and takes the proof away: nobody behind us may take it for an exit. */
export const prove = (fwmark: number): Chain =>
  chain(layout.chainNames.prove, [unproven(fwmark), withoutProof(fwmark)]);

const unproven = (fwmark: number): Rule => {
  const { mask, value } = proofOf(fwmark);
  return rule(say.markIsNot(mask, value), say.verdict({ code: 'goto', chain: layout.chainNames.forged }));
};

const withoutProof = (fwmark: number): Rule => rule(say.keepMark(~layout.markMask(fwmark) >>> 0));

/**
 * The way of checked pods' packets to their program. The guard goes there without it, since packets have no proof any
 * more. Most packets are of connections that the program decided about before, for one of the ends: they go on from here. An
 * exit's mark takes the place of the proof.
 */
export const entryChain = (fwmark: number, program: string, ends: readonly Verdict[]): Chain => {
  const known = (isExit: boolean) =>
    ends.filter((end) => 'chain' in end === isExit).map((end) => rememberedRule(program, end));
  return chain(layout.entryOf(program), [
    unproven(fwmark),
    ...known(true),
    withoutProof(fwmark),
    ...known(false),
    rule(say.verdict({ code: 'goto', chain: program })),
  ]);
};

/** The interfaces of exits. Packets may come in by them though the node's own routes lead elsewhere. */
export const desiredUplinks = (exits: readonly ResolvedExit[]): Element[] =>
  [...new Set(exits.map(({ device }) => device))].filter((device) => device !== tunnelDevice).map(uplink);

export const uplink = (device: string): Element => ({
  kind: 'element',
  set: layout.setNames.uplinks,
  key: say.deviceHex(device),
});

/**
 * Where a connection begins that comes to a checked pod, its source must be behind the interface that it came in by. A
 * pod without a policy could else begin one in the name of somebody outside, and the other pod's packets to there would
 * be replies, which no policy steers. Packets inside the cluster are not asked: they may come by other ways than they
 * go, and no policy is for them. Nor are packets by an exit's interface, which leads to more than the node's own routes
 * say.
 */
export const isFromElsewhere: readonly (readonly Statement[])[] = families.map((family) => [
  say.destinationIn(family, layout.setNames.checked(family), { first: true }),
  say.sourceIn(family, layout.setNames.inside(family), { first: false, not: true }),
  say.arrivesNotIn(layout.setNames.uplinks),
  say.sourceIsBehindInput(false),
]);

/** Whether packets of the attachment are checked where they come in. */
export const isChecked = ({ sources }: SteeredAttachment): boolean => sources !== undefined;

/** Whether its packets come to its program by {@link entryChain}: those of one that holds connections come by another. */
const isEntered = (attachment: SteeredAttachment): boolean => isChecked(attachment) && !attachment.holds;

/** One of those attachments for each program: what they come by is the program's. */
export const oneOfEachEntry = (attachments: readonly SteeredAttachment[]): readonly SteeredAttachment[] => [
  ...new Map(attachments.filter(isEntered).map((one) => [one.program, one])).values(),
];

/** What attachments need at their interfaces, in the order in which one leads to the other. */
export function desiredSources(
  node: Pick<NodeState, 'fwmark' | 'spared'>,
  attachments: readonly SteeredAttachment[],
): HostObject[] {
  const chains = attachments.flatMap(({ sources, mark, addresses }) =>
    (sources?.devices ?? []).map((device) => sourceChain(node, device, mark, addresses, sources?.others ?? [])),
  );
  return chains.length === 0 ? [] : [unowned, ...chains];
}

const sourceChain = (
  { fwmark, spared }: Pick<NodeState, 'fwmark' | 'spared'>,
  device: string,
  mark: string,
  addresses: readonly Address[],
  others: readonly string[],
): Chain => {
  const { mask, value } = proofOf(fwmark);
  // No policy is for other sources, multicast from link-local addresses among them: see unjudged.ts.
  const unmark = rule(say.keepMark(~mask >>> 0));
  const rules = [
    ...addresses.map((address) => rule(say.frameSourceIn(address), say.setMark(mask, value), accept)),
    ...(spared ? [unmark] : []),
    ...others.map((range) => rule(say.frameSourceIn(range), accept)),
    rule(say.verdict({ code: 'goto', chain: layout.chainNames.unowned })),
  ];
  return {
    kind: 'chain',
    family: 'netdev',
    name: layout.chainNames.from(device),
    rules: rules.map((own) => ({ ...own, comment: mark })),
    hook: { type: 'filter', hook: 'ingress', device, priority: 0 },
  };
};

/**
 * Sources that a pod may have before its address or beside it: DHCP (RFC 2131, section 4.1), duplicate address
 * detection (RFC 4862) and neighbour discovery from link-local addresses, which no router forwards. What is no IP
 * passes, but for frames with several VLAN tags: behind this hook the kernel also takes off the tags behind the first when
 * their VLAN is 0 (or one of the node's), and the node would forward a packet whose source nobody has looked at.
 */
const unowned: Chain = {
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.unowned,
  rules: [
    ...['0.0.0.0', 'fe80::/10', '::'].map((range) => rule(say.frameSourceIn(range), accept)),
    ...families.map((family: Family) => rule(say.frameFamily(family), ...drop)),
    ...say.tags.map((tag) => rule(say.frameTagged(tag), ...drop)),
  ],
};

/** The attachment that a chain at a pod's interface is for, by its comment; undefined for other chains. */
export const ownerOfSourceChain = ({ name, rules }: Chain): string | undefined =>
  layout.isSourceChain(name) ? rules[0]?.comment : undefined;
