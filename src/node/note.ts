import type { Change } from '../datapath/difference.ts';
import type { Needs } from '../datapath/needs.ts';
import { isOfWayBack, nodePart } from '../datapath/noted.ts';
import { type HostObject, isOutside } from '../datapath/objects.ts';
import type { NodeRecord } from '../store/record.ts';
import type { Decision } from './change.ts';
import type { Machine } from './machine.ts';

/**
 * What the last call knew of our tables, for the next one: while the generation of the ruleset is the same, nobody changed
 * anything, and what all pods of a program have in common has not to be read again. A note is worth nothing in another network
 * namespace, after another start of the machine, for another build of this program, or in another generation.
 */
export interface Note {
  readonly place: string;
  readonly build: string;
  readonly generation: number;
  /** The node's part of what is set up: see {@link nodePart}. */
  readonly node: string;
  /** By the name of a program that is set up, with the exits that it leads to. */
  readonly programs: Readonly<Record<string, NotedProgram>>;
}

export interface NotedProgram {
  /** It has a chain for checked pods. */
  readonly entered: boolean;
  /** The ranges in its sets are known, too; else their names alone. */
  readonly contents: boolean;
}

/** More than a node uses at a time; the latest are kept. */
const mostPrograms = 64;

/** Which ruleset and which program a note would be of, and the last call's note if it is of the same. */
export interface Notes {
  readonly place: string;
  readonly build: string;
  readonly note?: Note;
}

/** The last call's note, in whichever generation. Anybody may read it. `undefined` when no note can be of this ruleset. */
export function readNotes({ host, store, build: buildNow }: Machine): Notes | undefined {
  const [place, build] = [host.place(), buildNow?.()];
  if (place === undefined || build === undefined) return undefined;
  const text = store.loadNote();
  const note = text === undefined ? undefined : parsed(text);
  return { place, build, ...(note?.build === build && note.place === place && { note }) };
}

function parsed(text: string): Note | undefined {
  try {
    const note = JSON.parse(text) as Note | null;
    return typeof note?.programs === 'object' && typeof note.generation === 'number' ? note : undefined;
  } catch {
    return undefined; // a power loss left half of it
  }
}

/** What a note says of a program that is as the node's record wants it, but for the pod's own part; `undefined`: nothing. */
export function programIn(note: Note, node: NodeRecord, { attachment }: Needs): NotedProgram | undefined {
  const program = attachment && note.programs[attachment.program];
  const isSame = program?.entered === (attachment?.sources !== undefined) && note.node === nodePart(node);
  return isSame ? program : undefined;
}

/** How a change went that a note is kept of. */
type Done = Pick<Decision<readonly HostObject[]>, 'seen' | 'changes' | 'generation' | 'later'>;

/** Keeps a note of a pod that was set up by a full look. Needs the store's lock. */
export async function noteSetUp(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  { place, build, note: known }: Notes,
  { seen, changes, generation, later, contents }: Done & { readonly contents: boolean },
): Promise<void> {
  const { attachment } = needs;
  if (attachment === undefined) return;
  // Chains that come and go with the node's default route are known by a full look alone.
  if ([...seen, ...changes.map(({ object }) => object)].some(isOfWayBack)) return;
  const isNew = !seen.some((object) => object.kind === 'set' && object.name.startsWith(`${attachment.program}-`));
  const own: NotedProgram = { entered: attachment.sources !== undefined, contents: contents || isNew };
  const isKept = known?.generation === generation && known.node === nodePart(node) && changes.every(isAddition);
  await keepNote(
    machine,
    {
      place,
      build,
      generation,
      node: nodePart(node),
      programs: withProgram(isKept ? known.programs : {}, attachment.program, own),
    },
    later,
  );
}

/** What is only added takes nothing from others. */
const isAddition = ({ verb, object }: Change): boolean => verb === 'add' || isOutside(object);

function withProgram(programs: Note['programs'], name: string, own: NotedProgram): Note['programs'] {
  const others = Object.entries(programs).filter(([other]) => other !== name);
  return Object.fromEntries([...others, [name, own] as const].slice(-mostPrograms));
}

/**
 * Keeps a note after changes that made its generation so much later. Not when anybody changed the ruleset since, or when the kernel
 * counted in another way. Needs the store's lock.
 */
export async function keepNote(machine: Machine, note: Note, later: number | undefined): Promise<void> {
  if (later === undefined) return;
  const generation = (note.generation + later) >>> 0;
  if ((await machine.host.generation()) === generation)
    machine.store.saveNote(JSON.stringify({ ...note, generation } satisfies Note));
}
