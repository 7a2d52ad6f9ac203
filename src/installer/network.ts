import { closeSync, fstatSync } from 'node:fs';
import { BackOff } from '../loop/back-off.ts';
import { hasEntry, withEntry } from './conflist.ts';
import { ConfigurationFolder, type Exchange, Overtaken, type Seen, textOf } from './folder.ts';
import { judge } from './judge.ts';
import { type NetworkWish, type Plan, planDrain, planInstall, planUninstall, type Step } from './plan.ts';
import type { Finding } from './status.ts';

/** The places and tools for work on the folder of network configurations. */
export interface NetworkTools {
  /** The folder of networks. Links on the way to it may change, so it is looked up each time. */
  folder(): string;
  readonly exchange: Exchange;
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/** So many times in one look somebody may be quicker than we are. */
const mostAttempts = 5;
/** Milliseconds: how long a file that was replaced is watched for late writes, and how often. */
const lateWrites = { watched: 10_000, every: 1_000 } as const;

/** A replaced file: the time since when, and its text when it was last taken over. */
interface Displaced {
  readonly file: Seen;
  readonly since: number;
  readonly heard: string;
}

/** Our entry in the network configuration. */
export class Network {
  readonly #wish: NetworkWish;
  readonly #tools: NetworkTools;
  readonly #backOff = new BackOff();
  #displaced: readonly Displaced[] = [];
  #wasThere = false;

  constructor(wish: NetworkWish, tools: NetworkTools) {
    this.#wish = wish;
    this.#tools = tools;
  }

  /** Whether a look has found or put our entry where it should be. */
  get wasThere(): boolean {
    return this.#wasThere;
  }

  /** Puts our entry where it should be. Only for the holder of the lock. */
  look(): Finding {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#attempt();
      } catch (error) {
        if (!(error instanceof Overtaken) || attempt === mostAttempts) throw error;
      }
    }
  }

  #attempt(): Finding {
    using folder = new ConfigurationFolder(this.#tools.folder(), this.#tools.exchange);
    const plan = (this.#wish.isDrained ? planDrain : planInstall)(folder.files, this.#wish);
    const now = this.#displaced.map((each) => ({ ...each, heard: textOf(each.file.fd) }));
    const steps = plan.steps.length > 0 ? plan.steps : this.#late(now, folder);
    const waitedFor = this.#forgetOld(now); // endless rewriting must not use up our descriptors
    if (steps.length === 0) return this.#found(plan);
    const pause = this.#backOff.pause(this.#tools.now());
    if (pause > 0) return this.#fought(plan, pause);
    const done = `${this.#wasThere ? 'put egress back into' : 'put egress into'} ${plan.network}`;
    this.#displaced = waitedFor; // late writes are taken over now, or older than the file in its place
    this.#carryOut(steps, folder);
    return { ...this.#found(plan), done };
  }

  #carryOut(steps: readonly Step[], folder: ConfigurationFolder): void {
    const now = this.#tools.now();
    if (this.#wasThere) this.#backOff.repaired(now);
    try {
      for (const step of steps) folder.change(step);
    } finally {
      this.#displaced = [
        ...this.#displaced,
        ...folder.displaced.map((file) => ({ file, since: now, heard: file.text })),
      ];
    }
  }

  /**
   * The same changes once more on texts that others wrote into a file while we replaced it; the last text of several.
   */
  #late(now: readonly Displaced[], folder: ConfigurationFolder): readonly Step[] {
    const late = now.filter(({ file, heard }, i) => {
      const isNew = heard !== this.#displaced[i]?.heard && judge({ ...file, text: heard }).is === 'list';
      return isNew && folder.files.some(({ name, text }) => name === file.name && hasEntry(text));
    });
    const texts = new Map(late.sort(byTime).map(({ file, heard }) => [file.name, withEntry(heard, this.#wish.entry)]));
    return [...texts].map(([name, text]) => ({ do: 'write', name, text, like: name }));
  }

  /** Closes files that have been watched long enough. Returns the others, as they are `now`. */
  #forgetOld(now: readonly Displaced[]): readonly Displaced[] {
    const time = this.#tools.now();
    const isOver = ({ since }: Displaced) => time - since >= lateWrites.watched;
    for (const { file } of now.filter(isOver)) closeSync(file.fd);
    this.#displaced = this.#displaced.filter((each) => !isOver(each));
    return now.filter((each) => !isOver(each));
  }

  #found({ network, problem, remarks }: Plan): Finding {
    if (network === undefined) return { ok: false, text: problem ?? 'there is no network configuration' };
    this.#wasThere = true;
    const text = [`egress is in ${network}`, ...remarks].join('; ');
    return { ok: true, text, ...(this.#displaced.length > 0 && { lookAgainMs: lateWrites.every }) };
  }

  #fought({ network, problem }: Plan, pause: number): Finding {
    const taken = `somebody keeps taking egress out of ${network}, it is put back more and more slowly`;
    const who = 'Look for whoever rewrites the file; with Cilium, set cni.exclusive to false';
    return { ok: false, text: problem ?? `${taken}. ${who}`, lookAgainMs: pause };
  }
}

/** Takes our entry out of all network configurations. Returns what to tell a person. Only for the holder of the lock. */
export function release(tools: NetworkTools): string[] {
  for (let attempt = 1; ; attempt++) {
    try {
      return releaseOnce(tools);
    } catch (error) {
      if (!(error instanceof Overtaken) || attempt === mostAttempts) throw error;
    }
  }
}

function releaseOnce(tools: NetworkTools): string[] {
  using folder = new ConfigurationFolder(tools.folder(), tools.exchange);
  const { steps, remarks } = planUninstall(folder.files);
  try {
    for (const step of steps) folder.change(step);
  } finally {
    for (const { fd } of folder.displaced) closeSync(fd);
  }
  return [...steps.map(describeStep), ...remarks];
}

function describeStep(step: Step): string {
  if (step.do === 'write') return `took egress out of ${step.name}`;
  return step.do === 'rename' ? `put ${step.to} back` : `removed ${step.name}`;
}

const byTime = (a: Displaced, b: Displaced): number => fstatSync(a.file.fd).mtimeMs - fstatSync(b.file.fd).mtimeMs;
