import { basename, dirname, join } from 'node:path';
import type { Attachment } from '../base/attachment.ts';
import { EgressError, isSystemError } from '../base/errors.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import {
  entriesIn,
  isThere,
  makeFolder,
  moveAside,
  readIfThere,
  removeFile,
  removeIfEmpty,
  removeLeftover,
  replaceFile,
  stateOf,
} from '../files/file.ts';
import {
  agentKind,
  attachmentKind,
  electionKind,
  fileNameOf,
  type Kind,
  movesKind,
  nodeKind,
  programKind,
} from './kinds.ts';
import { Lock, type LockSurroundings } from './lock.ts';
import { recordVersion } from './migration.ts';
import { readingOf } from './reading.ts';
import type {
  AgentRecord,
  AttachmentRecord,
  ElectionRecord,
  MovesRecord,
  NodeRecord,
  ProgramRecord,
} from './record.ts';

const lookName = 'counted.json';

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
 *     agent/agent.json, agent/lock                            what the agent did last; held while it runs
 *     agent/objects.json                                      exits, policies and nodes that are objects of the cluster
 *     agent/elections.json                                    which gateway has the exits that this node is a gateway of
 *     broken/                                                 files that are no records, for a person to look at
 *     lock                                                    held by whoever changes anything
 *
 * Anybody may read at any time. A writer holds the lock from its first look to its last change.
 */
export class Store {
  readonly #attachments: string;
  readonly #programs: string;
  readonly #broken: string;
  readonly #node: string;
  readonly #moves: string;
  readonly #summary: string;
  readonly #look: string;
  readonly #agent: string;
  readonly #elections: string;
  readonly #folder: string;
  readonly #lock: Lock;
  readonly #surroundings: StoreSurroundings;
  #listed: { readonly state: string | undefined; readonly records: readonly AttachmentRecord[] } | undefined;

  constructor(dataDir: string, surroundings: StoreSurroundings) {
    this.#attachments = join(dataDir, 'attachments');
    this.#programs = join(dataDir, 'programs');
    this.#broken = join(dataDir, 'broken');
    this.#node = join(dataDir, 'node.json');
    this.#moves = join(dataDir, 'moves.json');
    this.#summary = join(dataDir, 'policies.summary');
    this.#look = join(dataDir, 'look');
    this.#agent = join(dataDir, 'agent');
    this.#elections = join(this.#agent, 'elections.json');
    this.#folder = dataDir;
    this.#lock = new Lock(join(dataDir, 'lock'), surroundings);
    this.#surroundings = surroundings;
  }

  /** See {@link Lock.hold}. */
  lock(): Promise<Disposable> {
    return this.#lock.hold();
  }

  /** See {@link Lock.holdInAnyCase}. */
  lockInAnyCase(): Promise<Disposable> {
    return this.#lock.holdInAnyCase();
  }

  /** See {@link Lock.holdToLook}. */
  lockToLook(): Promise<Disposable | undefined> {
    return this.#lock.holdToLook();
  }

  /** Writes an attachment's record in place of the one before. Durable when it returns. */
  save(record: AttachmentRecord): void {
    this.#replace(this.#pathOf(record), attachmentKind, record);
  }

  /**
   * What is known of an attachment. A file that is no record, or that of another attachment, counts as nothing: it is
   * moved aside, with a warning. Throws `record-newer`.
   */
  load(attachment: Attachment): AttachmentRecord | undefined {
    return this.#read(this.#pathOf(attachment), attachmentKind);
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
    this.#remove(this.#pathOf(attachment), attachmentKind);
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
    const records = files.flatMap((file) => this.#read(join(this.#attachments, file), attachmentKind) ?? []);
    this.#listed = { state, records };
    return records;
  }

  /** Writes a program, unless its file is there: the name is a hash of the content. Durable when it returns. */
  saveProgram(program: string, content: ProgramContent): void {
    if (this.loadProgram(program) !== undefined) return;
    this.#replace(this.#programPath(program), programKind, { version: recordVersion, program, ...content });
  }

  /** Whether a program has a file, valid or not. */
  hasProgram(program: string): boolean {
    return isThere(this.#programPath(program));
  }

  /** What is in a program; `undefined` also when its file is broken. Throws `record-newer`. */
  loadProgram(program: string): ProgramRecord | undefined {
    return this.#read(this.#programPath(program), programKind);
  }

  /** Names of the programs with files. */
  listPrograms(): string[] {
    return entriesIn(this.#programs).map((file) => basename(file, '.json'));
  }

  /** Removes all programs but these, and the temporary file of a killed writer. */
  forgetPrograms(kept: ReadonlySet<string>): void {
    this.#requireLock();
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
    this.#requireLock();
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
    this.#requireLock();
    if (!isThere(this.#node)) return;
    makeFolder(this.#look);
    replaceFile(join(this.#look, lookName), text);
  }

  /**
   * Keeps the text that an agent made of the cluster's objects; without one, none is kept any more. The agent alone writes it, as
   * {@link saveAgent}. Durable when it returns.
   */
  saveObjects(text: string | undefined): void {
    if (text === undefined) {
      if (isThere(this.objectsFile)) removeFile(this.objectsFile);
    } else if (readIfThere(this.objectsFile) !== text) {
      makeFolder(this.#agent);
      replaceFile(this.objectsFile, text);
    }
  }

  /** The file of {@link saveObjects}. */
  get objectsFile(): string {
    return join(this.#agent, 'objects.json');
  }

  /** Writes the node's record. Durable when it returns. */
  saveNode(record: NodeRecord): void {
    this.#replace(this.#node, nodeKind, record);
  }

  /** The node's record. Throws `record-newer`. */
  loadNode(): NodeRecord | undefined {
    return this.#read(this.#node, nodeKind);
  }

  /** Forgets the node. Of an unused store the lock stays, and `broken/` if something is in it. */
  forgetNode(): void {
    this.#remove(this.#node, nodeKind);
    removeFile(this.#summary);
    removeFile(this.#look);
  }

  /** Names of exits that were moved, with the underlay addresses of their gateways. Throws `record-newer`. */
  loadMoves(): MovesRecord['gateways'] {
    return this.#read(this.#moves, movesKind)?.gateways ?? {};
  }

  /** Writes the record of moved exits; without any, removes it. Durable when it returns. */
  saveMoves(gateways: MovesRecord['gateways']): void {
    if (Object.keys(gateways).length === 0) this.#remove(this.#moves, movesKind);
    else this.#replace(this.#moves, movesKind, { version: recordVersion, gateways });
  }

  /** The exits whose gateways elect, this node among them; without an agent that does, none. Throws `record-newer`. */
  loadElections(): ElectionRecord['exits'] {
    return this.#read(this.#elections, electionKind)?.exits ?? {};
  }

  /** Writes the record of elections; without any, removes it. The agent alone writes it, as {@link saveAgent}. */
  saveElections(exits: ElectionRecord['exits']): void {
    if (Object.keys(exits).length === 0) {
      removeFile(this.#elections);
      return;
    }
    makeFolder(this.#agent);
    replaceFile(this.#elections, `${JSON.stringify({ version: recordVersion, exits }, undefined, 2)}\n`);
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
    const elected = Object.entries(this.loadElections()).map(([name, { gateway }]) => [name, gateway]);
    return { ...this.loadMoves(), ...Object.fromEntries(elected) };
  }

  /** The file that the agent holds (flock) while it runs. */
  get agentLock(): string {
    return join(this.#agent, 'lock');
  }

  /** What the agent did last; `undefined` also where it never ran. Throws `record-newer`. */
  loadAgent(): AgentRecord | undefined {
    return this.#read(join(this.#agent, 'agent.json'), agentKind);
  }

  /** Writes down what the agent did. It alone writes there, and so needs no other lock than its own. */
  saveAgent(record: AgentRecord): void {
    makeFolder(this.#agent);
    replaceFile(join(this.#agent, 'agent.json'), `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /** Forgets that there was an agent. Whoever calls it holds the agent's lock, whose file goes, too. */
  forgetAgent(): void {
    for (const file of entriesIn(this.#agent)) removeFile(join(this.#agent, file));
    removeIfEmpty(this.#agent);
  }

  #programPath(program: string): string {
    return join(this.#programs, `${program}.json`);
  }

  #pathOf(attachment: Attachment): string {
    return join(this.#attachments, fileNameOf(attachment));
  }

  #read<T>(path: string, kind: Kind<T>): T | undefined {
    const reading = readingOf(kind.schema, path);
    if (reading === undefined) return undefined;
    if (reading.kind === 'newer') {
      throw new EgressError(
        'record-newer',
        `${path} has version ${reading.version}, this egress knows ${recordVersion}`,
      );
    }
    if (reading.kind === 'broken') return this.#putAside(path, reading.reason);
    if (kind.fileNameOf(reading.record) !== basename(path))
      return this.#putAside(path, 'it is about another attachment');
    return reading.record;
  }

  #replace<T>(path: string, kind: Kind<T>, record: T): void {
    this.#requireLock();
    makeFolder(dirname(path));
    this.#read(path, kind); // refuses newer records, and moves broken ones aside: neither is overwritten
    replaceFile(path, `${JSON.stringify(record, undefined, 2)}\n`);
  }

  #remove<T>(path: string, kind: Kind<T>): void {
    this.#requireLock();
    this.#read(path, kind); // as in #replace
    removeFile(path);
  }

  #requireLock(): void {
    if (!this.#lock.isHeld) throw new Error(`Changing ${this.#folder} needs its lock`);
  }

  /** Only for the holder of the lock: between reading and moving, a writer might put a good record in the place. */
  #putAside(path: string, reason: string): undefined {
    const now = this.#lock.isHeld ? this.#movedAside(path) : 'left there, this call changes nothing';
    this.#surroundings.warn(`${path} is no record of egress (${reason}); ${now}`);
  }

  #movedAside(path: string): string {
    try {
      return `moved to ${moveAside(path, this.#broken)}`;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return `it cannot be moved: ${error.message}`;
    }
  }
}
