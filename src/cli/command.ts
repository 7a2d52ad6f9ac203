import type { Command } from 'commander';
import type { StartChild } from '../agent/child.ts';
import type { MachineOptions } from '../cni/plugin.ts';
import type { ReadFile } from '../config/read.ts';
import type { Examiner } from '../datapath/examiner.ts';
import type { Tracer } from '../datapath/tracer.ts';
import type { HostTools } from '../installer/installer.ts';
import type { Cluster } from '../installer/node-taint.ts';
import type { ClusterApi } from '../kubernetes/client.ts';
import type { Log, Machine, Onward } from '../node/machine.ts';
import type { System } from '../report/doctor/system.ts';
import type { AskLabels } from '../sources/labels.ts';

/** The surroundings of all commands. */
export interface CliSurroundings {
  readonly version: string;
  /** Text for the person, on stdout. */
  write(text: string): void;
  /** Text for the person, on stderr: remarks about the text on stdout. */
  remark(text: string): void;
  /** The exit code when the command ends: 0 success, 1 a fault was found. */
  setExitCode(code: number): void;
  /** Colours are wanted on stdout. */
  readonly colors: boolean;
  /** The terminal that stdout is, as large as it is now; absent when it is none, or one that can only print. */
  readonly screen?: Screen | undefined;
  /** This machine's name, which says whose status it is. */
  readonly hostName: string;
  /** Seconds that the kernel has run, and which run it is: no change of the clock moves them. */
  sinceBoot(): { readonly boot: string; readonly uptime: number };
  openMachine(options: MachineOptions): Promise<Machine & Disposable>;
  /** Whether somebody has locked a file with {@link Service.claim}. */
  isClaimed(path: string): boolean;
  readonly readFile: ReadFile;
  /** Asks the agent of a data folder for the labels of a pod. */
  readonly askLabels: AskLabels;
  /** Opens what a long-running command needs. From then on signals stop the command instead of the process. */
  openService(): Service & Disposable;
  /**
   * Opens what a command needs that may take a while: it tells how far it is, on a terminal, and a signal lets it end what is under
   * way first. `changes`: whether it changes anything; what only looks ends at once.
   */
  openWork(changes: boolean): Work & Disposable;
  /** Milliseconds of a processor that this thread had so far. */
  worked(): number;
  /** What this process may not do, of all that keeping a node takes, in sentences. */
  findMissingRights(): readonly string[];
  /** Opens what only an examination of the host needs. */
  openExamination(): Promise<{ readonly examiner: Examiner & Tracer; readonly system: System } & Disposable>;
  /** Tools of the installer. */
  readonly hostTools: HostTools;
  /** The cluster of the installer and the agent; absent outside of a cluster. */
  readonly cluster?: Cluster & { readonly api?: ClusterApi | undefined };
}

/** A terminal's size in characters. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** Something that a person waits for. */
export interface Work {
  /** Between two parts: tells how far it is once it takes longer than a second, and whether nobody asked to end. */
  readonly onward: Onward;
  /** Tells at once what is done, where no parts can be told. */
  tell(what: string): void;
  /** A signal came: it shall end. */
  readonly isEnding: boolean;
}

/** The needs of a long-running command. */
export interface Service {
  /** Starts the process of elections. */
  readonly startElection: StartChild;
  /** Starts the process of the fast path. */
  readonly startFastPath: StartChild;
  /** Aborted when the command shall end. */
  readonly signal: AbortSignal;
  /** Tells a person, on stderr, of an error that does not end the command. */
  report(error: unknown, consequence: string): void;
  /** Lines of JSON on stdout, for programs that collect logs. */
  openLog(): Promise<Log>;
  /** Locks a file until it is disposed of, or the process ends; `undefined` when somebody else has it. */
  claim(path: string): Disposable | undefined;
  /** Answers lines that come to a socket of this name, until disposed of. Nobody else does. Throws system errors. */
  answerQuestions(path: string, answer: (line: string) => Promise<string>): Promise<Disposable>;
  /**
   * Nothing is to be done for a while: memory that is not needed meanwhile goes back to the kernel. `collects`: garbage, too, for
   * which all objects are looked at.
   */
  rest(how: { readonly collects: boolean }): void;
  /** Looks for which nobody waits rest so many milliseconds after each of their turns, from now on; it is asked each time. */
  restBetweenTurns(pause: () => number): void;
  /** Calls back when a file may have changed, come or gone, until disposed of. */
  watchFile(path: string, changed: () => void): Disposable;
}

/** JSON for programs; counters are kernel numbers of 64 bits, and fit a double for a few years of traffic. */
export const toJson = (value: unknown): string => `${jsonOf(value, 2)}\n`;

/** The same in one line. */
export const toJsonLine = (value: unknown): string => `${jsonOf(value)}\n`;

const jsonOf = (value: unknown, indent?: number): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? Number(part) : part), indent);

/** A command for people. */
export interface CliCommand {
  /** `status`; or with that of the group before it, `exit move`. */
  readonly name: string;
  /** What it does, in a line. */
  readonly summary: string;
  /** Adds its arguments and options. */
  options(command: Command): Command;
  /** Does it, with its arguments in their order, and then its options. */
  run(surroundings: CliSurroundings, ...words: unknown[]): void | Promise<void>;
}
