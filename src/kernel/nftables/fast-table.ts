import { type Family, families, familyOf } from '../../base/address.ts';
import { fastPriorities, flowtablePriority, offeredBit, offeredMark } from '../../datapath/fast-path.ts';
import { fastTable } from '../../datapath/fast-path-changes.ts';
import { exitsInUse, type FastPath, lacking } from '../../datapath/fast-path-plan.ts';
import * as layout from '../../datapath/layout.ts';
import { tunnelDevice } from '../../datapath/tunnel.ts';
import type { Element, Hook, InTable, NftSet, Statement } from '../../nftables/object.ts';
import * as say from '../../nftables/statement.ts';
import { cString } from '../netlink/field.ts';
import { flags, type Request } from '../netlink/socket.ts';
import { encode } from '../netlink/wire.ts';
import {
  chainAttributes,
  elementListAttributes,
  ruleAttributes,
  setAttributes,
  tableAttributes,
} from './attributes.ts';
import { encodeElement } from './element.ts';
import { encodeExpression } from './expression.ts';
import { newFlowtable } from './flowtable.ts';
import { encodeHook } from './hook.ts';
import { message } from './message.ts';
import { listsOf } from './operation.ts';
import { encodeSet } from './set.ts';

/** NFT_TABLE_F_OWNER: the table goes with the socket that made it, and nobody else changes it (Linux 5.12). */
const owner = 0x2;
const table = fastTable;
const flowtable = 'fast';
/** A message holds 255 interfaces of a flowtable at most (NFT_NETDEVICE_MAX). */
const together = 200;

/** The messages that take the tables away, and end all connections in the flowtable. */
export const deleteFastTable = (made: FastPath): readonly Request[] => [
  message('deleteTable', 0, tableAttributes, { table }),
  ...(hasTunnel(made) ? [message('deleteTable', 0, tableAttributes, { table }, atInterfaces)] : []),
];

/** The messages of a transaction that makes the tables, with all their content. */
export const makeFastTable = (fast: FastPath): readonly Request[] => [
  message('newTable', flags.create, tableAttributes, { table, flags: owner }),
  ...setsOf(fast).map((set) => addSet(set)),
  ...addPods(fast),
  ...addServed(fast),
  ...addDevices(fast.devices),
  ...offer(fast),
  ...handOver(fast, 'from-pods', exitsInUse(fast), 0),
  ...handOver(fast, 'from-tunnel', fast.served?.exits ?? [], fast.served?.answersByTunnel ? fast.fwmark : 0),
  ...take(fast),
  ...(hasTunnel(fast) ? intoTunnel(fast) : []),
];

/** The messages that add what the tables have not yet. */
export function addToFastTable(next: FastPath, before: FastPath): readonly Request[] {
  const { pods, devices } = lacking(next, before);
  return [...addPods({ ...next, pods }), ...(hasTunnel(next) ? addIds({ ...next, pods }) : []), ...addDevices(devices)];
}

/** Whether packets go into the tunnel. It may be about to come, or gone. */
const hasTunnel = ({ into, devices }: FastPath): boolean => into.length > 0 && devices.includes(tunnelDevice);

const keyType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** Exit and address. */
const podsSet = (family: Family): NftSet => ({
  kind: 'set',
  name: layout.setNames.pods(family),
  key: ['mark', keyType[family]],
});
const servedSet: NftSet = { kind: 'set', name: layout.setNames.served, key: ['mark'] };
/** Of the table of netdev: source address → our bit and the id of the exit. */
const idsMap = (family: Family): NftSet => ({
  kind: 'set',
  family: 'netdev',
  name: `ids${family}`,
  key: [keyType[family]],
  value: 'mark',
});

const setsOf = ({ served }: FastPath): readonly NftSet[] => [...families.map(podsSet), ...(served ? [servedSet] : [])];
/** Exit → the chain that hands over what comes from there; named like the chain that asks it. */
const chainsMap = (from: From): NftSet => ({ kind: 'set', name: from, key: ['mark'], value: 'verdict' });

/** Where packets come from that are handed over. */
type From = 'from-pods' | 'from-tunnel';

const allSets = [
  ...families.map(podsSet),
  servedSet,
  ...families.map(idsMap),
  chainsMap('from-pods'),
  chainsMap('from-tunnel'),
];
const setId = (name: string): number => allSets.findIndex((set) => set.name === name) + 1;

const addSet = (set: NftSet): Request =>
  message('newSet', flags.create, setAttributes, { ...encodeSet(set, setId), table }, set);

const atInterfaces = { family: 'netdev' } as const;

/** Later packets of a connection, from the side that began it. */
const isLater: readonly Statement[] = [say.isEstablished, say.isOriginal];

/** What is offered: by a look at the mark first, which is all that most packets of the node pay. */
function offered({
  fwmark,
  pods,
  served,
}: FastPath): readonly (readonly [from: string, statements: readonly Statement[]])[] {
  const isOurs = say.markIs(offeredMark(fwmark), fwmark);
  const fromPods = (pods.length > 0 ? families : []).map((family) => [
    ...[isOurs, ...isLater, say.arrivesNotBy(tunnelDevice)],
    say.markOriginIn(family, layout.exitIdMask, podsSet(family).name),
  ]);
  const fromTunnel = (served?.families ?? []).map((family) => [
    ...[isOurs, ...isLater, say.arrivesBy(tunnelDevice), say.family(family)],
    say.markIn(layout.exitIdMask, servedSet.name),
  ]);
  return [
    ...fromPods.map((statements) => ['from-pods', statements] as const),
    ...fromTunnel.map((statements) => ['from-tunnel', statements] as const),
  ];
}

function offer(fast: FastPath): readonly Request[] {
  const bit = offeredBit(fast.fwmark);
  return [
    addChain('offer', fastPriorities.offer),
    ...offered(fast).map(([, statements]) =>
      addRule('offer', [...statements, say.setMark(bit, bit), say.verdict({ code: 'return' })]),
    ),
  ];
}

function take(fast: FastPath): readonly Request[] {
  const [bit, mark] = [offeredBit(fast.fwmark), offeredMark(fast.fwmark)];
  return [
    addChain('take', fastPriorities.take),
    addRule('take', [say.markIs(mark, mark), say.keepMark(~bit >>> 0), say.verdict({ code: 'return' })]),
    ...offered(fast).map(([from, statements]) =>
      addRule('take', [...statements, say.verdict({ code: 'goto', chain: from })]),
    ),
  ];
}

/**
 * The chains that hand over what comes from somewhere. The kernel looks for the way of answers with the packet's mark: with that of
 * its exit it would find the exit's. So it has the mark of answers for that moment, and its own again behind it.
 */
function handOver({ fwmark }: FastPath, from: From, exits: readonly number[], ofAnswers: number): readonly Request[] {
  const mask = layout.markMask(fwmark);
  if (exits.length === 0) return [];
  const chainOf = (exit: number) => `${from}-${exit}`;
  return [
    ...exits.flatMap((exit) => [
      addChain(chainOf(exit)),
      addRule(chainOf(exit), [say.setMark(mask, ofAnswers)]),
      addRule(chainOf(exit), [], [flowAdd]), // a rule of its own: it ends where the connection has been handed over
      addRule(chainOf(exit), [say.setMark(mask, layout.idMark(fwmark, exit).value)]),
    ]),
    addSet(chainsMap(from)),
    ...addElements(
      chainsMap(from),
      exits.map((exit) => ({ key: layout.exitKey(exit), verdict: { code: 'goto', chain: chainOf(exit) } })),
    ),
    addChain(from),
    addRule(from, [say.markPartVerdict(layout.exitIdMask, from)]),
  ];
}

/** The table that gives packets from the flowtable their exit's id on their way into the tunnel. They have the proof until then. */
function intoTunnel(fast: FastPath): readonly Request[] {
  const proof = layout.idMark(fast.fwmark, layout.proofId);
  const chain = 'into-tunnel';
  const hook = { type: 'filter', hook: 'egress', device: tunnelDevice, priority: -2 } as const;
  return [
    message('newTable', flags.create, tableAttributes, { table, flags: owner }, atInterfaces),
    ...families.map((family) => addSet(idsMap(family))),
    ...addIds(fast),
    message('newChain', flags.create, chainAttributes, chainWith(chain, hook), atInterfaces),
    ...families.map((family) =>
      addRule(
        chain,
        [say.markIs(proof.mask, proof.value), say.markByFrameSource(family, idsMap(family).name)],
        [],
        atInterfaces,
      ),
    ),
  ];
}

/** Of pods whose packets go into the tunnel. */
function addIds({ fwmark, pods, into }: FastPath): readonly Request[] {
  const ofExits = new Set(into);
  return families.flatMap((family) =>
    addElements(
      idsMap(family),
      pods
        .filter(({ address, exit }) => familyOf(address) === family && ofExits.has(exit))
        .map(({ address, exit }) => ({
          key: layout.addressHex(address),
          value: say.hostHex(layout.idMark(fwmark, exit).value),
        })),
    ),
  );
}

const addPods = ({ pods }: FastPath): readonly Request[] =>
  families.flatMap((family) =>
    addElements(
      podsSet(family),
      pods
        .filter(({ address }) => familyOf(address) === family)
        .map(({ address, exit }) => ({ key: say.hostHex(exit) + layout.addressHex(address) })),
    ),
  );

const addServed = ({ served }: FastPath): readonly Request[] =>
  addElements(
    servedSet,
    (served?.exits ?? []).map((exit) => ({ key: say.hostHex(exit) })),
  );

function addElements(set: NftSet, all: readonly Pick<Element, 'key' | 'value' | 'verdict'>[]): readonly Request[] {
  const { name } = set;
  const encoded = all.map((one) => encodeElement({ kind: 'element', set: name, ...one }));
  return listsOf(encoded).map((elements) =>
    message('newElement', flags.create, elementListAttributes, { table, set: name, setId: setId(name), elements }, set),
  );
}

function addDevices(devices: readonly string[]): readonly Request[] {
  const parts = Array.from({ length: Math.ceil(devices.length / together) }, (_, i) =>
    devices.slice(i * together, (i + 1) * together),
  );
  return parts.map((part) => newFlowtable({ table, name: flowtable, devices: part }, flowtablePriority));
}

const addChain = (name: string, priority?: number): Request =>
  message(
    'newChain',
    flags.create,
    chainAttributes,
    chainWith(name, priority === undefined ? undefined : { type: 'filter', hook: 'forward', priority }),
  );

const chainWith = (name: string, hook: Hook | undefined) => ({
  ...{ table, name },
  ...(hook && { type: 'filter', policy: 'accept' as const, hook: encodeHook(hook) }),
});

function addRule(
  chain: string,
  statements: readonly Statement[],
  more: readonly (typeof flowAdd)[] = [],
  ofTable: InTable = {},
): Request {
  const own = statements.flatMap((statement) => statement.expressions);
  const expressions = [...own.map((expression) => encodeExpression(expression, setId)), ...more];
  return message('newRule', flags.create | flags.append, ruleAttributes, { table, chain, expressions }, ofTable);
}

/** Hands the connection over: the expression has the name of the flowtable (NFTA_FLOW_TABLE_NAME). */
const flowAdd = { name: 'flow_offload', data: encode({ name: [1, cString] } as const, { name: flowtable }) };
