import type { LabNode } from './node.ts';
import type { Daemon } from './run.ts';
import { egressBinary } from './tools.ts';

/** An agent that runs on a node of the lab, below a shell that says its process and its exit code; ends with the lab. */
export class RunningAgent {
  readonly daemon: Daemon;
  readonly #machine: LabNode['machine'];

  private constructor(machine: LabNode['machine'], daemon: Daemon) {
    this.#machine = machine;
    this.daemon = daemon;
  }

  /** Starts `egress agent`, and waits until it has looked at all of the node once. */
  static async start({ machine }: LabNode, ...options: readonly string[]): Promise<RunningAgent> {
    return new RunningAgent(machine, await RunningAgent.#begin(machine, options, 'has looked at all of the node once'));
  }

  /** Starts it, and waits for a line of its own, on stdout or stderr. */
  static async startUntil({ machine }: LabNode, line: string, ...options: readonly string[]): Promise<RunningAgent> {
    return new RunningAgent(machine, await RunningAgent.#begin(machine, options, line));
  }

  /** Starts it by a command that runs its last words, as `setpriv` does, and waits for a line of its own. */
  static async startBy({ machine }: LabNode, command: readonly string[], line: string): Promise<RunningAgent> {
    return new RunningAgent(machine, await RunningAgent.#begin(machine, [], line, command));
  }

  static #begin(
    machine: LabNode['machine'],
    options: readonly string[],
    line: string,
    command: readonly string[] = [],
  ): Promise<Daemon> {
    const script = '"$@" & echo "pid $!"; wait $!; echo "exit code $?"';
    return machine.start(['sh', '-c', script, 'sh', ...command, egressBinary, 'agent', ...options], line);
  }

  get pid(): number {
    return Number(this.daemon.lines.find((line) => line.startsWith('pid '))?.slice(4));
  }

  /** What it said from a line on, as JSON; lines for people are left out. */
  said(from = 0): readonly Readonly<Record<string, unknown>>[] {
    const lines = this.daemon.lines.slice(from).filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  }

  /** How many lines it said. */
  get length(): number {
    return this.daemon.lines.length;
  }

  /** Waits for a line that holds a text, among those from a line on. */
  line(text: string, from = 0): Promise<string> {
    return this.daemon.line(text, from);
  }

  /** What it answers to who asks by HTTP on its node. */
  async page(path: string, accept = '*/*'): Promise<string> {
    const ask = `import sys, urllib.request as r; q = r.Request(sys.argv[1], headers={"Accept": sys.argv[2]});
print(r.build_opener(r.ProxyHandler({})).open(q).read().decode(), end="")`;
    return await this.#machine.must(['python3', '-c', ask, `http://127.0.0.1:14597${path}`, accept]);
  }

  /** The values on its page of metrics, by name and labels as they stand there. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const lines = (await this.page('/metrics')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
  }

  /** Ends it by a signal, and waits until it has ended; its exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<string> {
    process.kill(this.pid, signal);
    return await this.daemon.line('exit code ');
  }
}
