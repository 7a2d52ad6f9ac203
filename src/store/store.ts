import { basename, join } from 'node:path';
import type { Attachment } from '../base/attachment.ts';
import { isSystemError } from '../base/errors.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import {
  entriesIn,
  isThere,
  makeFolder,
  readIfThere,
  removeFile,
  removeIfEmpty,
  removeLeftover,
  replaceFile,
  replaceForNow,
  stateOf,
} from '../files/file.ts';
import type { Staged } from '../files/staged.ts';
import { AgentFiles } from './agent-files.ts';
import { attachmentKind, fileNameOf, movesKind, nodeKind, programKind } from './kinds.ts';
import { Lock, type LockSurroundings } from './lock.ts';
import { recordVersion } from './migration.ts';
import type { AttachmentRecord, MovesRecord, NodeRecord, ProgramRecord } from './record.ts';
import { RecordFiles } from './record-files.ts';

const lookName = 'counted.json';
const noteName = 'noted.json';

/** What the store needs from outside. */
export interface StoreSurroundings extends LockSurroundings {
  /** Takes a sentence for a person: something is wrong with a file, but the call goes on. */
  warn(message: string): void;
}

/**
 * What this node remembers, as JSON files in a folder of its own:
 *
 *     attachments/<network>+<container ID>+<interface>.json   one for each attachment
 *     programs/<program>.json                                 one for each chain of matches, with all their ranges
 *     node.json                                               what is set up for all of them, and for a gateway
 *     moves.json                                              exits that were moved to another gateway than their first
 *     drained                                                 there: the node's agent hands exits over, and takes none
 *     policies.summary                                        what ADD needs of the policy file again and again
 *     look/counted.json                                       what `egress status` counted when somebody looked last
 *     look/noted.json                                         what the last call knew of our tables: see `node/note.ts`
 *     agent/agent.json, agent/lock                            what the agent did last; held while it runs
 *     agent/objects.json                                      exits, policies and nodes that are objects of the cluster
 *     agent/elections.json                                    which gateway has the exits that this node is a gateway of
 *     staged/                                                 records that wait for the lock: see `files/staged.ts`
 *     broken/                                                 files that are no records, for a person to look at
 *     lock                                                    held by whoever changes anything
 *
 * Anybody may read at any time. A writer holds the lock from its first look to its last change.
 */
export class Store {
  readonly #attachments: string;
  readonly #programs: string;
  readonly #node: string;
  readonly #moves: string;
  readonly #summary: string;
  readonly #look: string;
  readonly #staged: string;
  readonly #folder: string;
  readonly #lock: Lock;
  readonly #surroundings: StoreSurroundings;
  readonly #records: RecordFiles;
  /** What the node's agent writes down. */
  readonly agent: AgentFiles;
  #listed: { readonly state: string | undefined; readonly records: readonly AttachmentRecord[] } | undefined;

  constructor(dataDir: string, surroundings: StoreSurroundings) {
    this.#attachments = join(dataDir, 'attachments');
    this.#programs = join(dataDir, 'programs');
    this.#node = join(dataDir, 'node.json');
    this.#moves = join(dataDir, 'moves.json');
    this.#summary = join(dataDir, 'policies.summary');
    this.#look = join(dataDir, 'look');
    this.#staged = join(dataDir, 'staged');
    this.#folder = dataDir;
    this.#lock = new Lock(join(dataDir, 'lock'), surroundings);
    this.#surroundings = surroundings;
    const warn = (message: string) => surroundings.warn(message);
    this.#records = new RecordFiles({ folder: dataDir, broken: join(dataDir, 'broken'), lock: this.#lock, warn });
    this.agent = new AgentFiles(dataDir, this.#records);
  }

  /** See {@link Lock.hold}. */
  lock(): Promise<Disposable> {
    return this.#lock.hold();
  }

  /** See {@link Lock.holdInAnyCase}. */
  lockInAnyCase(): Promise<Disposable> {
    return this.#lock.holdInAnyCase();
  }

  /** See {@link Lock.isHeldByOthers}. */
  get isHeldByOthers(): boolean {
    return this.#lock.isHeldByOthers;
  }

  /** See {@link Lock.isWanted}. */
  get isWanted(): boolean {
    return this.#lock.isWanted;
  }

  /** See {@link Lock.holdToLook}. */
  lockToLook(): Promise<Disposable | undefined> {
    return this.#lock.holdToLook();
  }

  /**
   * A text that tells all that is on record of the node, its pods and its exits from what was or will be; `undefined` moments
   * after a change. See {@link stateOf}.
   */
  get state(): string | undefined {
    const states = [this.#attachments, this.#programs, this.#node, this.#moves, this.drainMark, this.agent.elections];
    const all = states.map(stateOf);
    return all.includes(undefined) ? undefined : all.join('\n');
  }

  /** Writes an attachment's record in place of the one before. Durable when it returns. */
  save(record: AttachmentRecord): void {
    this.saveAll([record]);
  }

  /** The same for the records of several attachments, which may be staged. */
  saveAll(records: readonly AttachmentRecord[], staged?: Staged): void {
    this.#records.replaceAll(this.#attachments, attachmentKind, records, staged);
  }

  /** Writes records where nobody reads them, without the lock: to put them in their places takes the disk little. */
  stage(records: readonly AttachmentRecord[]): Staged | undefined {
    return this.#records.stage(this.#staged, attachmentKind, records);
  }

  /**
   * What is known of an attachment. A file that is no record, or that of another attachment, counts as nothing: it is
   * moved aside, with a warning. Throws `record-newer`.
   */
  load(attachment: Attachment): AttachmentRecord | undefined {
    return this.#records.read(this.#pathOf(attachment), attachmentKind);
  }

  /** Whether an attachment has a file, valid or not. */
  has(attachment: Attachment): boolean {
    return isThere(this.#pathOf(attachment));
  }

  /** Whether any attachment is known. */
  hasAttachments(): boolean {
    return entriesIn(this.#attachments).length > 0;
  }

  /** Forgets an attachment, known or not. */
  forget(attachment: Attachment): void {
    this.#records.remove(this.#pathOf(attachment), attachmentKind);
    removeIfEmpty(this.#attachments);
  }

  /**
   * The records of all attachments, ordered by their marks. Read again only when one of them may have changed: one look asks
   * for them several times, and to read 250 takes longer than all else of it. Throws `record-newer`: without understanding all
   * records nobody may decide what is needed no more.
   */
  list(): readonly AttachmentRecord[] {
    const state = stateOf(this.#attachments); // before they are read: what changes meanwhile is another state
    if (state !== undefined && state === this.#listed?.state) return this.#listed.records;
    const files = entriesIn(this.#attachments).sort();
    const records = files.flatMap((file) => this.#records.read(join(this.#attachments, file), attachmentKind) ?? []);
    this.#listed = { state, records };
    return records;
  }

  /** Writes a program, unless its file is there: the name is a hash of the content. Durable when it returns. */
  saveProgram(program: string, content: ProgramContent): void {
    if (this.loadProgram(program) !== undefined) return;
    this.#records.replace(this.#programPath(program), programKind, { version: recordVersion, program, ...content });
  }

  /** Whether a program has a file, valid or not. */
  hasProgram(program: string): boolean {
    return isThere(this.#programPath(program));
  }

  /** What is in a program; `undefined` also when its file is broken. Throws `record-newer`. */
  loadProgram(program: string): ProgramRecord | undefined {
    return this.#records.read(this.#programPath(program), programKind);
  }

  /** Names of the programs with files. */
  listPrograms(): string[] {
    return entriesIn(this.#programs).map((file) => basename(file, '.json'));
  }

  /** Removes all programs but these, and the temporary file of a killed writer. */
  forgetPrograms(kept: ReadonlySet<string>): void {
    this.#records.requireLock();
    const unused = entriesIn(this.#programs).filter((file) => !kept.has(basename(file, '.json')));
    for (const file of unused) removeFile(join(this.#programs, file));
    removeLeftover(this.#programs);
    removeIfEmpty(this.#programs);
  }

  /** What {@link saveSummary} wrote, if it is there and can be read: whoever reads it has to judge it. */
  loadSummary(): string | undefined {
    try {
      return readIfThere(this.#summary);
    } catch {
      return undefined;
    }
  }

  /** Keeps a text that saves the next call time. Whether it could be kept makes no other difference. */
  saveSummary(text: string): void {
    this.#records.requireLock();
    try {
      replaceFile(this.#summary, text);
    } catch (error) {
      this.#surroundings.warn(`${this.#summary} cannot be written: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** What {@link saveLook} wrote, if it is there and can be read: whoever reads it has to judge it. */
  loadLook(): string | undefined {
    try {
      return readIfThere(join(this.#look, lookName));
    } catch {
      return undefined;
    }
  }

  /** Keeps what was counted for who looks next; of a node that is forgotten nothing. In a folder that no agent watches. */
  saveLook(text: string): void {
    this.#records.requireLock();
    if (!isThere(this.#node)) return;
    makeFolder(this.#look);
    replaceFile(join(this.#look, lookName), text);
  }

  /** What {@link saveNote} wrote, if it is there and can be read: whoever reads it has to judge it. */
  loadNote(): string | undefined {
    try {
      return readIfThere(join(this.#look, noteName));
    } catch {
      return undefined;
    }
  }

  /** Keeps a text that saves the next call questions, while the machine runs. Whether it could be kept makes no other difference. */
  saveNote(text: string): void {
    this.#records.requireLock();
    try {
      makeFolder(this.#look);
      replaceForNow(join(this.#look, noteName), text);
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** Writes the node's record. Durable when it returns. */
  saveNode(record: NodeRecord): void {
    this.#records.replace(this.#node, nodeKind, record);
  }

  /** The node's record. Throws `record-newer`. */
  loadNode(): NodeRecord | undefined {
    return this.#records.read(this.#node, nodeKind);
  }

  /** Forgets the node. Of an unused store the lock stays, and `broken/` if something is in it. */
  forgetNode(): void {
    this.#records.remove(this.#node, nodeKind);
    removeFile(this.#summary);
    removeFile(this.#look);
    removeFile(this.#staged);
  }

  /** Names of exits that were moved, with the underlay addresses of their gateways. Throws `record-newer`. */
  loadMoves(): MovesRecord['gateways'] {
    return this.#records.read(this.#moves, movesKind)?.gateways ?? {};
  }

  /** Writes the record of moved exits; without any, removes it. Durable when it returns. */
  saveMoves(gateways: MovesRecord['gateways']): void {
    if (Object.keys(gateways).length === 0) this.#records.remove(this.#moves, movesKind);
    else this.#records.replace(this.#moves, movesKind, { version: recordVersion, gateways });
  }

  /** A file that is there while the node is drained: others shall serve the exits that it is a gateway of. */
  get drainMark(): string {
    return join(this.#folder, 'drained');
  }

  /** See {@link drainMark}. */
  get isDrained(): boolean {
    return isThere(this.drainMark);
  }

  /** Drains the node, or does so no more. */
  setDrained(isDrained: boolean): void {
    if (!isDrained) removeFile(this.drainMark);
    else replaceFile(this.drainMark, '');
  }

  /** The gateways that exits have now: as elected, else as moved. Throws `record-newer`. */
  loadGateways(): MovesRecord['gateways'] {
    const elected = Object.entries(this.agent.loadElections()).map(([name, { gateway }]) => [name, gateway]);
    return { ...this.loadMoves(), ...Object.fromEntries(elected) };
  }

  #programPath(program: string): string {
    return join(this.#programs, `${program}.json`);
  }

  #pathOf(attachment: Attachment): string {
    return join(this.#attachments, fileNameOf(attachment));
  }
}
