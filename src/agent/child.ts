/** Something with timers and sockets that lives in a process beside the agent. */
export interface Part {
  /** What it shall do from now on, all of it: plain data. */
  want(wanted: unknown): void;
  /** What there is to tell of it now: plain data. */
  readonly status: unknown;
  /** Ends it in good order. */
  stop(why: string): Promise<void>;
}

/** What the agent says to the process: for each part by its name all that it shall do. */
export interface Orders {
  readonly want?: Readonly<Record<string, unknown>>;
  /** Why all parts shall end in good order, and the process with them. */
  readonly stop?: string;
}

/** A process beside the agent, as the agent has it. */
export interface Child {
  /** What its parts shall do from now on, by their names. */
  want(all: Readonly<Record<string, unknown>>): void;
  /** Ends it in good order. */
  stop(why: string): Promise<void>;
}

/** Starts one, and starts it anew whenever it ends. `told` takes what it tells, `ended` in what way it ended before it should. */
export type StartChild = (told: (status: unknown) => void, ended: (problem: string) => void) => Child;

/**
 * The parts of a process, and its talk with the agent: lines of JSON, each with all there is to say, so that none may be
 * missed and none comes too often. Whoever listens may be slow, or hang: then the next line has what is true by then.
 */
export class Parts {
  readonly #parts: Readonly<Record<string, Part>>;
  readonly #write: (line: string) => Promise<void>;
  #last = '';
  #writing: Promise<void> | undefined;
  #rest = '';

  constructor(parts: Readonly<Record<string, Part>>, write: (line: string) => Promise<void>) {
    this.#parts = parts;
    this.#write = write;
  }

  /** Takes what the agent wrote, in whatever pieces; returns the reason when all shall end. Throws SyntaxError. */
  take(text: string): string | undefined {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    let stop: string | undefined;
    for (const line of lines) stop = this.#obey(JSON.parse(line) as Orders) ?? stop;
    return stop;
  }

  #obey({ want = {}, stop }: Orders): string | undefined {
    for (const [name, wanted] of Object.entries(want)) this.#parts[name]?.want(wanted);
    return stop;
  }

  /** Tells what is new, if anything is. */
  tell(): void {
    const line = JSON.stringify(
      Object.fromEntries(Object.entries(this.#parts).map(([name, { status }]) => [name, status])),
    );
    if (this.#writing !== undefined || line === this.#last) return;
    this.#last = line;
    this.#writing = this.#write(`${line}\n`).then(() => {
      this.#writing = undefined;
      this.tell();
    });
  }

  /** Tells what is true at the end. */
  async tellLast(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    this.tell();
    while (this.#writing !== undefined) await this.#writing;
  }

  /** Ends all parts. */
  async stop(why: string): Promise<void> {
    await Promise.all(Object.values(this.#parts).map((part) => part.stop(why)));
  }
}
