import { markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import type { Choice, Policies } from '../sources/policies.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import type { AddRequest } from './add.ts';
import type { Machine } from './machine.ts';
import { nodeFor } from './node-for-program.ts';
import { choosePorts, givesPorts, type PortsRequest } from './ports.ts';
import { type EarlyLook, type Member, type WholeProgram, withConnections } from './running-pods.ts';

/** A request, and the record for it without ports and connections. */
export interface Draft {
  readonly request: AddRequest;
  readonly draft: AttachmentRecord;
}

/** What a change goes by, and what was looked at before it. */
export interface ChangeOptions {
  readonly policies: Policies;
  readonly choice: Choice;
  readonly whole: () => WholeProgram;
  readonly early: EarlyLook | undefined;
}

/** What pods are to get, and what that was decided by. */
export interface Decided {
  readonly known: NodeRecord | undefined;
  readonly node: NodeRecord;
  /** The other attachments, where it is about them. */
  readonly others: readonly AttachmentRecord[];
  /** Pods with ports of their own whose address another pod gets: they are gone, though their DEL has not come. */
  readonly gone: readonly AttachmentRecord[];
  readonly members: readonly Member[];
  /** Of pods that run those that have no policy, and no connection that stays with an exit. */
  readonly left: readonly Member[];
}

/** What pods are to get, by what is known now. */
export async function decide(
  machine: Machine,
  drafts: readonly Draft[],
  { policies: { configuration }, choice, whole, early }: ChangeOptions,
): Promise<Decided> {
  const { known, node, ...own } = await nodeFor(machine, configuration, choice.outline);
  // Without ports to give, the others are only pods whose ports go with a changed exit.
  const isAboutOthers = givesPorts(configuration, own.exits) || !isEqual(known?.exits, node.exits);
  const { others, gone } = isAboutOthers ? othersThan(machine, drafts) : noOthers;
  const given = withPorts(machine, drafts, { configuration, ...own, others });
  const found = await withConnections(machine, { known, node }, given, { whole, early });
  const isSteered = choice.outline.length > 0;
  const members = found.filter(({ running, record }) => running === undefined || isSteered || record.holds);
  return { known, node, others, gone, members, left: found.filter((member) => !members.includes(member)) };
}

/** With ports of their own, of which no two get the same. */
function withPorts(
  { store }: Machine,
  drafts: readonly Draft[],
  { others, ...facts }: Pick<PortsRequest, 'configuration' | 'exits' | 'ownEnd' | 'others'>,
): Member[] {
  const members = drafts.map(({ request, draft }): Member => {
    const previous = store.load(request.attachment);
    return { request, previous, record: previous?.ports ? { ...draft, ports: previous.ports } : draft };
  });
  for (const [i, { request, draft }] of drafts.entries()) {
    const previous = members[i]?.previous;
    const fellows = members.toSpliced(i, 1).map(({ record }) => record);
    const ports = choosePorts({ ...facts, ...draft, previous: previous?.ports ?? [], others: [...others, ...fellows] });
    members[i] = { request, previous, record: { ...draft, ...(ports.length > 0 && { ports }) } };
  }
  return members;
}

type Others = Pick<Decided, 'others' | 'gone'>;

const noOthers: Others = { others: [], gone: [] };

function othersThan({ store }: Machine, drafts: readonly Draft[]): Others {
  const marks = new Set(drafts.map(({ request }) => markOf(request.attachment)));
  const given = new Set(drafts.flatMap(({ request }) => request.podNetwork.addresses));
  const all = store.list().filter((record) => !marks.has(markOf(record)));
  const isGone = ({ addresses }: AttachmentRecord) => addresses.some((own) => given.has(own));
  return {
    others: all.filter((other) => !isGone(other)),
    gone: all.filter((other) => isGone(other) && other.ports !== undefined),
  };
}
