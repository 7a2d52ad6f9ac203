import { isDeepStrictEqual } from 'node:util';
import { type Address, type Family, families, type Prefix } from '../../base/address.ts';
import type { NodeNumbers } from '../../datapath/layout.ts';
import type { NodeRule, PolicyRule } from '../../datapath/objects.ts';
import { ourRules } from '../../datapath/ours.ts';
import { hasTable, lookupOf, tablesOf } from '../../datapath/tables.ts';
import { tunnelRules } from '../../datapath/tunnel.ts';
import type { KernelKind, Listed } from '../kind.ts';
import { address, cString, hex, u8, u32 } from '../netlink/field.ts';
import { flags, isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { message } from './message.ts';
import { routeProtocol } from './protocol.ts';
import { unlessRefused } from './refusal.ts';

/** FRA_* of selectors that we never use. They are in a listing only when a rule has them. */
const narrowing = {
  realm: [11, hex],
  tunnel: [12, hex],
  suppressedGroup: [13, hex],
  output: [17, hex],
  l3mdev: [19, hex],
  users: [20, hex],
  protocolNumber: [22, hex],
  sourcePorts: [23, hex],
  destinationPorts: [24, hex],
  dscp: [25, hex],
  flowLabel: [26, hex],
} as const;

/** linux/fib_rules.h: struct fib_rule_hdr and FRA_*. */
const ruleMessage = message(
  {
    family: u8,
    destinationLength: u8,
    sourceLength: u8,
    tos: u8,
    table: u8,
    reserved1: u8,
    reserved2: u8,
    action: u8,
    flags: u32,
  },
  {
    input: [3, cString],
    priority: [6, u32],
    fwmark: [10, u32],
    fwmask: [16, u32],
    table: [15, u32],
    goto: [4, u32],
    protocol: [21, u8],
    from: [2, address],
    to: [1, address],
    /** Of the prefix length, -1 says none. */
    suppressedLength: [14, u32],
    ...narrowing,
  },
);

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const FIB_RULE_INVERT = 2;
const actions = { lookup: 1, goto: 2, nop: 3, unreachable: 7 } as const;

/** All rules of a family, in the kernel's order, foreign ones too. */
// ip rule show
export async function listRules(socket: NetlinkSocket, family: Family): Promise<readonly NodeRule[]> {
  const body = ruleMessage.encode({ family: addressFamily(family) });
  const replies = await socket.dump({ type: RTM_GETRULE, flags: 0, body });
  return replies.map((reply) => decodeRule(family, reply.body));
}

/** Adds a rule; that it is there already is no error. The target of a goto may come later. Throws KernelError. */
// ip rule add pref 700 not fwmark 0x100000/0x100000 goto 702 protocol 230
export async function addRule(socket: NetlinkSocket, rule: PolicyRule): Promise<void> {
  try {
    await socket.request({ type: RTM_NEWRULE, flags: flags.create | flags.excl, body: encodeRule(rule) });
  } catch (error) {
    // EEXIST also for a rule that differs in `not` or in the target of its goto: the kernel compares neither.
    if (!isKernelError(error, 'EEXIST') || !(await isListed(socket, rule))) throw error;
  }
}

/**
 * Deletes a rule of ours; that it is gone already is no error. Throws KernelError. The kernel compares neither `not` nor
 * the target of a goto, but it holds no two rules of one protocol that differ in these alone: no other can be hit.
 */
// ip rule del pref 700 not fwmark 0x100000/0x100000 goto 702 protocol 230
export async function deleteRule(socket: NetlinkSocket, rule: PolicyRule): Promise<void> {
  await unlessRefused(socket.request({ type: RTM_DELRULE, flags: 0, body: encodeRule(rule) }), 'ENOENT');
}

async function isListed(socket: NetlinkSocket, rule: PolicyRule): Promise<boolean> {
  return (await listRules(socket, rule.family)).some((listed) => isDeepStrictEqual(listed, rule));
}

/** The body of a message that adds or deletes a rule of ours. */
export function encodeRule(rule: PolicyRule): Buffer {
  const { code, ...target } = encodeAction(rule.action);
  return ruleMessage.encode(
    {
      family: addressFamily(rule.family),
      action: code,
      flags: rule.invert ? FIB_RULE_INVERT : 0,
    },
    {
      input: rule.input,
      priority: rule.priority,
      fwmark: rule.fwmark?.value,
      fwmask: rule.fwmark?.mask,
      ...target,
      protocol: routeProtocol,
    },
  );
}

function encodeAction(action: PolicyRule['action']): { code: number; table?: number; goto?: number } {
  if (typeof action === 'string') return { code: actions[action] };
  if ('goto' in action) return { code: actions.goto, goto: action.goto };
  return { code: actions.lookup, table: action.lookup };
}

/** The rule that a message of a listing holds. The kernel leaves out values of 0, but for the mask of a mark. */
export function decodeRule(family: Family, body: Buffer): NodeRule {
  const { header, attributes } = ruleMessage.decode(body);
  const { priority = 0, fwmark = 0, fwmask = 0, table = 0, goto = 0, protocol = 0, input } = attributes;
  const [from, to] = [
    prefixOf(attributes.from, header.sourceLength),
    prefixOf(attributes.to, header.destinationLength),
  ];
  return {
    kind: 'rule',
    family,
    priority,
    action: decodeAction(header.action, table, goto),
    ...(input !== undefined && { input }),
    ...(fwmask !== 0 && { fwmark: { value: fwmark, mask: fwmask } }),
    ...(header.flags & FIB_RULE_INVERT && { invert: true }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(isNarrower({ header, attributes }) && { narrower: true }),
    ...(protocol !== routeProtocol && { protocol }),
  };
}

const prefixOf = (address: Address | undefined, length: number): Prefix | undefined =>
  address === undefined || length === 0 ? undefined : `${address}/${length}`;

const noLength = 0xffffffff;

function isNarrower({ header, attributes }: ReturnType<typeof ruleMessage.decode>): boolean {
  const { suppressedLength = noLength } = attributes;
  const names = Object.keys(narrowing) as (keyof typeof narrowing)[];
  return header.tos !== 0 || suppressedLength !== noLength || names.some((name) => attributes[name] !== undefined);
}

function decodeAction(code: number, table: number, target: number): NodeRule['action'] {
  if (code === actions.lookup) return { lookup: table };
  if (code === actions.goto) return { goto: target };
  if (code === actions.nop) return 'nop';
  return code === actions.unreachable ? 'unreachable' : { other: code };
}

/** Policy rules that we made, and those of others that have our protocol number. */
async function listOurs(socket: NetlinkSocket, numbers: NodeNumbers | undefined): Promise<Listed<PolicyRule>> {
  const numbered: NodeRule[] = [];
  for (const family of families) {
    numbered.push(...(await listRules(socket, family)).filter(({ protocol }) => protocol === undefined));
  }
  const { rules, others } = ourRules(numbered, numbers);
  return { ours: rules, others };
}

/** The rules of the exits, and the rules around them, in the families of the exits; and the rules of the tunnel. */
const observe: KernelKind<PolicyRule>['observe'] = async ({ socket, node, needs }) => {
  const { exits, tunnel, gateway, closed = [] } = needs;
  const tables = tablesOf(node, needs);
  // A look for a gateway is one for the whole node, and shows families without use, too.
  const inUse = new Set(
    gateway ? families : [...closed, ...exits.flatMap(({ ways }) => ways.map(({ family }) => family))],
  );
  const isOfExits = (rule: PolicyRule) => {
    const table = lookupOf(rule);
    return inUse.has(rule.family) && (table === undefined || hasTable(tables, rule.family, table));
  };
  const { ours } = await listOurs(socket, node);
  const ofTunnel = tunnelRules(ours);
  return ours.filter((rule) => (ofTunnel.includes(rule) ? tunnel !== undefined : isOfExits(rule)));
};

/** Rules are known by their shape: see `ours.ts`. */
export const ruleKind: KernelKind<PolicyRule> = {
  setUp: addRule,
  takeDown: deleteRule,
  observe,
  list: ({ socket, node }) => listOurs(socket, node),
};
