import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { hangsAfterMs } from './guard.ts';

/** How a command ended. `code` is 128 + the signal's number for a command that a signal ended, as in a shell. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `env` is the whole environment of the command; without it the command gets ours. */
export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end, whatever that is. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { env: options.env ?? process.env, timeout: hangsAfterMs, killSignal: 'SIGKILL' });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  // A command that does not read its input may be gone before we have written it.
  child.stdin.on('error', () => undefined).end(options.stdin ?? '');
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), stdout: stdout(), stderr: stderr() };
}

/** The standard output of a command that has to succeed; anything else is an error that shows what the command said. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await run(command, options);
  if (outcome.code === 0) return outcome.stdout;
  throw new Error(
    `${command.join(' ')}: exit code ${outcome.code}\n${options.stdin ?? ''}${outcome.stdout}${outcome.stderr}`,
  );
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

/** A program that runs until it is told to stop. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  /** What it has printed so far, standard output and error together, line by line. */
  readonly lines: string[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = once(child, 'close');
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.lines.push(line));
    }
  }

  /** Starts a program and waits until a line of it holds `ready`. */
  static async start(command: readonly string[], ready: string): Promise<Daemon> {
    const [program = '', ...args] = command;
    const daemon = new Daemon(spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
    await daemon.line(ready);
    return daemon;
  }

  /** The first line that holds `text` and was printed after the first `skip` lines. */
  async line(text: string, skip = 0): Promise<string> {
    for (;;) {
      const found = this.lines.slice(skip).find((line) => line.includes(text));
      if (found !== undefined) return found;
      if (this.hasEnded) throw new Error(`${this.#ended()}, not "${text}"`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Comes when it has ended and everything that it printed has arrived in {@link lines}. */
  get closed(): Promise<unknown> {
    return this.#closed;
  }

  #ended(): string {
    return `${this.#child.spawnargs.join(' ')} ended after:\n${this.lines.join('\n')}`;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#child.spawnargs.join(' ')} did not start`);
    return this.#child.pid;
  }

  /** Ends the program and waits until everything that it printed has arrived in {@link lines}. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal);
    await this.#closed;
  }

  /** Sends a signal to the program, which goes on. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
