import { type Address, type Family, families, familyOf } from '../../base/address.ts';
import { type FastPath, fastPriorities, flowtablePriority, offeredBit, offeredMark } from '../../datapath/fast-path.ts';
import { fastTable } from '../../datapath/fast-path-changes.ts';
import * as layout from '../../datapath/layout.ts';
import { tunnelDevice } from '../../datapath/tunnel.ts';
import type { NftSet, Statement } from '../../nftables/object.ts';
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

/** The message that takes the table away, and ends all connections in its flowtable. */
export const deleteFastTable = (): Request => message('deleteTable', 0, tableAttributes, { table });

/** The messages of a transaction that makes the table, with all its content. */
export function makeFastTable({ fwmark, devices, pods }: FastPath): readonly Request[] {
  const [bit, mark] = [offeredBit(fwmark), offeredMark(fwmark)];
  return [
    message('newTable', flags.create, tableAttributes, { table, flags: owner }),
    ...sets.map((set) => message('newSet', flags.create, setAttributes, { ...encodeSet(set, setId), table })),
    ...addPods(pods),
    ...addDevices(devices),
    ...addChain('offer', fastPriorities.offer),
    ...families.map((family) =>
      addRule('offer', [
        say.markIs(mark, fwmark),
        ...isCandidate,
        isFrom(family),
        say.setMark(bit, bit),
        say.verdict({ code: 'return' }),
      ]),
    ),
    ...addChain('hand-over'),
    // The kernel looks for the way of answers with the packet's mark: with our bit it would find the exit's.
    addRule('hand-over', [say.keepMark(~fwmark >>> 0)]),
    addRule('hand-over', [], [flowAdd]), // a rule of its own: it ends where the connection has been handed over
    addRule('hand-over', [say.setMark(fwmark, fwmark)]),
    ...addChain('take', fastPriorities.take),
    addRule('take', [say.markIs(mark, mark), say.keepMark(~bit >>> 0), say.verdict({ code: 'return' })]),
    addRule('take', [say.markIs(mark, fwmark), ...isCandidate, say.verdict({ code: 'goto', chain: 'hand-over' })]),
  ];
}

/** The messages that add what the table has not yet. */
export const addToFastTable = (next: FastPath, before: FastPath): readonly Request[] => [
  ...addPods(next.pods.filter((pod) => !before.pods.includes(pod))),
  ...addDevices(next.devices.filter((device) => !before.devices.includes(device))),
];

const podsSet = (family: Family): NftSet => ({
  kind: 'set',
  name: layout.setNames.pods(family),
  key: [keyType[family]],
});
const keyType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;
const sets = families.map(podsSet);
const setId = (name: string): number => sets.findIndex((set) => set.name === name) + 1;

/** Later packets of a connection, from the side that began it, and not out of the tunnel. */
const isCandidate: readonly Statement[] = [say.isEstablished, say.isOriginal, say.arrivesNotBy(tunnelDevice)];

const isFrom = (family: Family): Statement => say.originIn(family, podsSet(family).name);

function addPods(pods: readonly Address[]): readonly Request[] {
  return families.flatMap((family) => {
    const { name: set } = podsSet(family);
    const own = pods.filter((pod) => familyOf(pod) === family);
    const all = own.map((pod) => encodeElement({ kind: 'element', set, key: layout.addressHex(pod) }));
    return listsOf(all).map((elements) =>
      message('newElement', flags.create, elementListAttributes, { table, set, setId: setId(set), elements }),
    );
  });
}

function addDevices(devices: readonly string[]): readonly Request[] {
  const parts = Array.from({ length: Math.ceil(devices.length / together) }, (_, i) =>
    devices.slice(i * together, (i + 1) * together),
  );
  return parts.map((part) => newFlowtable({ table, name: flowtable, devices: part }, flowtablePriority));
}

const addChain = (name: string, priority?: number): readonly Request[] => [
  message('newChain', flags.create, chainAttributes, {
    ...{ table, name },
    ...(priority !== undefined && {
      ...{ type: 'filter', policy: 'accept' as const },
      hook: encodeHook({ type: 'filter', hook: 'forward', priority }),
    }),
  }),
];

function addRule(chain: string, statements: readonly Statement[], more: readonly (typeof flowAdd)[] = []): Request {
  const own = statements.flatMap((statement) => statement.expressions);
  const expressions = [...own.map((expression) => encodeExpression(expression, setId)), ...more];
  return message('newRule', flags.create | flags.append, ruleAttributes, { table, chain, expressions });
}

/** Hands the connection over: the expression has the name of the flowtable (NFTA_FLOW_TABLE_NAME). */
const flowAdd = { name: 'flow_offload', data: encode({ name: [1, cString] } as const, { name: flowtable }) };
