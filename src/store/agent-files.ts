import { join } from 'node:path';
import { type AgentFile, agentFileIn, agentFolderIn } from '../base/agent-file.ts';
import { entriesIn, makeFolder, readIfThere, removeFile, removeIfEmpty, replaceFile } from '../files/file.ts';
import { agentKind, electionKind } from './kinds.ts';
import { recordVersion } from './migration.ts';
import type { AgentRecord, ElectionRecord } from './record.ts';
import type { RecordFiles } from './record-files.ts';

/** What the agent of a node writes down. It alone writes there, and so needs no other lock than its own. */
export class AgentFiles {
  readonly #records: RecordFiles;
  readonly #dataDir: string;
  readonly #folder: string;

  constructor(dataDir: string, records: RecordFiles) {
    this.#records = records;
    this.#dataDir = dataDir;
    this.#folder = agentFolderIn(dataDir);
  }

  /**
   * Keeps the text that an agent made of the cluster's objects; without one, none is kept any more. Durable when
   * it returns.
   */
  saveObjects(text: string | undefined): void {
    if (text === undefined) removeFile(this.#pathOf('objects.json'));
    else if (this.loadObjects() !== text) this.#write('objects.json', text);
  }

  /** What {@link saveObjects} keeps; whoever reads it has to judge it. */
  loadObjects(): string | undefined {
    return readIfThere(this.#pathOf('objects.json'));
  }

  /** The exits whose gateways elect, this node among them; without an agent that does, none. Throws `record-newer`. */
  loadElections(): ElectionRecord['exits'] {
    return this.#records.read(this.elections, electionKind)?.exits ?? {};
  }

  /** Writes the record of elections; without any, removes it. */
  saveElections(exits: ElectionRecord['exits']): void {
    if (Object.keys(exits).length === 0) removeFile(this.elections);
    else this.#write('elections.json', printed({ version: recordVersion, exits }));
  }

  /** The file of {@link loadElections}. */
  get elections(): string {
    return this.#pathOf('elections.json');
  }

  /** The file that the agent holds (flock) while it runs. */
  get lock(): string {
    return this.#pathOf('lock');
  }

  /** What the agent did last; `undefined` also where it never ran. Throws `record-newer`. */
  load(): AgentRecord | undefined {
    return this.#records.read(this.#pathOf('agent.json'), agentKind);
  }

  /** Writes down what the agent did. */
  save(record: AgentRecord): void {
    this.#write('agent.json', printed(record));
  }

  /** Forgets that there was an agent. Whoever calls it holds the agent's lock, whose file goes, too. */
  forget(): void {
    for (const file of entriesIn(this.#folder)) removeFile(join(this.#folder, file));
    removeIfEmpty(this.#folder);
  }

  #write(file: AgentFile, text: string): void {
    makeFolder(this.#folder);
    replaceFile(this.#pathOf(file), text);
  }

  #pathOf(file: AgentFile): string {
    return agentFileIn(this.#dataDir, file);
  }
}

const printed = (record: object): string => `${JSON.stringify(record, undefined, 2)}\n`;
