import { families } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import type { Change } from '../datapath/difference.ts';
import { leadsToHeld } from '../datapath/held.ts';
import type { OwnState } from '../datapath/host.ts';
import { entryOf, podSets } from '../datapath/layout.ts';
import { nodePart } from '../datapath/noted.ts';
import { ownerOfSourceChain } from '../datapath/sources.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { carriedOut } from './change.ts';
import type { Machine } from './machine.ts';
import { keepNote, readNotes } from './note.ts';

/**
 * Takes down a pod's own part, where the last call's note says that all else is as it should be, and the kernel's counts that
 * another pod has the same program: then all of that stays. Returns whether that was so; else nothing was done, and everything
 * of ours has to be looked at. The pod's interface goes with it. Needs the store's lock.
 *
 * @param found what the kernel has with its mark, ports and held connections among that
 */
export async function releaseOwn(
  machine: Machine,
  record: AttachmentRecord,
  found: readonly Element[],
): Promise<boolean> {
  if (!found.every((element) => isInPodSet(element) && !leadsToHeld(element))) return false;
  const { program, ports, holds } = record;
  const note = ports === undefined && holds === undefined ? readNotes(machine)?.note : undefined;
  const node = note && machine.store.loadNode();
  if (note?.programs[program] === undefined || node === undefined || note.node !== nodePart(node)) return false;
  const { generation } = note;
  const state = await machine.host.observeOwn(record, generation);
  if (state === undefined || !isOthers(state, record)) return false;
  const mark = markOf(record);
  const own = [
    ...state.elements.filter(({ comment }) => comment === mark),
    ...state.chains.filter((chain) => ownerOfSourceChain(chain) === mark),
  ];
  const changes = own.map((object): Change => ({ verb: 'remove', object }));
  const done = await carriedOut(machine, changes, generation);
  if (done === undefined) return false;
  await keepNote(machine, note, done.later);
  return true;
}

const podSetNames = new Set(families.flatMap(podSets).map(({ name }) => name));
const isInPodSet = ({ set }: Element): boolean => podSetNames.has(set);

/** Whether the program has other pods, and a checked pod's program other checked ones. */
function isOthers({ elements, references }: OwnState, record: AttachmentRecord): boolean {
  const mark = markOf(record);
  const own = elements.filter(({ comment }) => comment === mark);
  const leading = (name: string) =>
    own.filter(({ verdict }) => verdict !== undefined && 'chain' in verdict && verdict.chain === name).length;
  const left = (name: string, least: number) => (references.get(name) ?? 0) - leading(name) > least;
  const entry = entryOf(record.program);
  const hasEntry = references.has(entry);
  return left(record.program, hasEntry ? 1 : 0) && (!hasEntry || left(entry, 0));
}
