import { readMachineOptions } from '../config/read.ts';
import { FollowedFile } from '../files/follow-file.ts';
import type { Entry } from '../runtimes/conflists.ts';

/** A call of the plugin, as a line of its log tells it. */
export interface Call {
  readonly command: string;
  readonly seconds: number;
  /** Name of the error, of a call that failed. */
  readonly code?: string;
}

/** The commands that a runtime calls; nothing else in a log becomes a label. */
const commands: readonly unknown[] = ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'];

/** The call that a line tells of; `undefined` for all other lines. */
export function callOf(line: string): Call | undefined {
  const { command, tookMs, code } = fieldsOf(line);
  if (!commands.includes(command) || typeof tookMs !== 'number') return undefined;
  const isCode = typeof code === 'string' && /^[a-z-]{1,40}$/.test(code);
  return { command: String(command), seconds: tookMs / 1000, ...(isCode && { code }) };
}

function fieldsOf(line: string): Readonly<Record<string, unknown>> {
  if (!line.includes('"tookMs":')) return {};
  try {
    return (JSON.parse(line) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

/** Follows the logs that the chain entries of this node name. */
export class Calls {
  readonly #followed = new Map<string, FollowedFile>();

  /** The calls since this was asked last, and how many logs there are that can be read. */
  read(entries: readonly Entry[]): { readonly calls: readonly Call[]; readonly logs: number } {
    this.#follow(new Set(entries.flatMap((entry) => readMachineOptions(entry).logFile ?? [])));
    const lines = [...this.#followed.values()].flatMap((file) => file.lines());
    const logs = [...this.#followed.values()].filter((file) => file.isOpen).length;
    return { calls: lines.flatMap((line) => callOf(line) ?? []), logs };
  }

  #follow(files: ReadonlySet<string>): void {
    for (const [path, file] of this.#followed) {
      if (files.has(path)) continue;
      file[Symbol.dispose]();
      this.#followed.delete(path);
    }
    for (const path of files) if (!this.#followed.has(path)) this.#followed.set(path, new FollowedFile(path));
  }
}
