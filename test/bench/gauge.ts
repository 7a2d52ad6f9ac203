import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Namespace } from '../support/namespace.ts';
import { tool } from '../support/tools.ts';
import type { Command } from './process.ts';

/** What a process took: ms of processor time and of wall time, minor page faults, MiB that were resident. */
export interface Usage {
  readonly cpu: number;
  readonly wall: number;
  readonly faults: number;
  readonly memory: number;
}

/** Runs programs in a network namespace, and says what each took; see gauge.py. Node does not tell that of a child. */
export class Gauge implements Disposable {
  readonly #helper: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor({ path }: Namespace) {
    const words = [`--net=${path}`, tool('python3'), join(import.meta.dirname, 'gauge.py')];
    this.#helper = spawn(tool('nsenter'), words);
    this.#answers = createInterface(this.#helper.stdout)[Symbol.asyncIterator]();
  }

  /** Runs a program to its end; one that fails is an error. */
  async usageOf({ program, args = [], env = {}, stdin = '' }: Command): Promise<Usage & { readonly output: string }> {
    this.#helper.stdin.write(`${JSON.stringify({ program, args, env, stdin })}\n`);
    const { value } = await this.#answers.next();
    const { code, ...usage } = JSON.parse(value) as Usage & { readonly code: number; readonly output: string };
    if (code !== 0) throw new Error(`${program} ${env.CNI_COMMAND ?? ''} failed: ${usage.output}`);
    return usage;
  }

  async end(): Promise<void> {
    this.#helper.stdin.end();
    await once(this.#helper, 'close');
  }

  [Symbol.dispose](): void {
    this.#helper.kill();
  }
}
