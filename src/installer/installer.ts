import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type LockFile, openLocked } from '../files/file.ts';
import { Binary, makeStaging, stagingIn } from './binary.ts';
import type { Trial } from './diagnosis.ts';
import { type EntryOptions, entryText } from './entry.ts';
import type { Exchange } from './folder.ts';
import { hostPath } from './host-path.ts';
import { Network } from './network.ts';
import { Policy, type PolicyVerdict } from './policy.ts';
import type { Finding, Findings, Part } from './status.ts';

/** Where things are on the host. */
export interface Places {
  /** Where we see the host's root folder, to read and to run; `/` when we are on the host ourselves. */
  readonly hostRoot: string;
  /** Below it are those of the following folders that are written to, as below the host's root: mounts of their own. */
  readonly hostFiles: string;
  /** From here on, paths of the host. */
  readonly binDir: string;
  readonly confDir: string;
  readonly policyFile: string;
  readonly dataDir: string;
}

/** What is to be installed. */
export interface InstallWish extends Places {
  readonly confName?: string | undefined;
  /** The file to be installed, by its path for us; without it the program that runs. */
  readonly binary?: string | undefined;
  /** A file or a folder, by its path for us; without it the policy file is somebody else's business. */
  readonly policySource?: string | undefined;
  readonly entry: EntryOptions;
}

/** System calls that Node lacks, and tools that tests replace. */
export interface HostTools {
  /** The file of the program that runs. */
  readonly program: string;
  /** `uname -m` */
  readonly machine: string;
  readonly lockFile: LockFile;
  readonly exchange: Exchange;
  /** Runs a program with that folder as root, to ask for its version. */
  tryInRoot(root: string, program: string): Promise<Trial>;
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/** Where the things of the host are for us. Links on the way are followed on each call: they may change. */
export function placesOf({ hostRoot, hostFiles, binDir, confDir, policyFile, dataDir }: Places) {
  const at = (path: string) => hostPath(hostFiles, path);
  return {
    bin: () => at(binDir),
    conf: () => at(confDir),
    policy: () => join(at(dirname(policyFile)), basename(policyFile)),
    policyNote: () => join(stagingIn(at(binDir)), 'policy.sha256'),
    /** Where it may be written to, if it is mounted so: it is of use to be read, too. */
    data: () => (existsSync(at(dataDir)) ? at(dataDir) : hostPath(hostRoot, dataDir)),
  };
}

/** Binary, policy and network configuration of the host, in this order. */
export class Installer {
  readonly #bin: () => string;
  readonly #lockFile: HostTools['lockFile'];
  readonly #binary: Binary;
  readonly #policy: Policy | undefined;
  readonly #network: Network;
  readonly #hasPolicy: () => boolean;

  constructor(
    wish: InstallWish,
    tools: HostTools & { readonly version: string; judgePolicy(file: string, text: string): Promise<PolicyVerdict> },
  ) {
    const { bin, conf, policy, policyNote } = placesOf(wish);
    const { now, exchange, version, machine } = tools;
    const run = (name: string) => tools.tryInRoot(wish.hostRoot, join(wish.binDir, name));
    const source = wish.binary ?? tools.program;
    this.#bin = bin;
    this.#lockFile = tools.lockFile;
    this.#binary = new Binary({ source, version, machine, folder: bin, try: run, now });
    this.#policy =
      wish.policySource === undefined
        ? undefined
        : new Policy({ source: wish.policySource, target: policy, note: policyNote, judge: tools.judgePolicy });
    this.#hasPolicy = () => wish.entry.policyFile === undefined || existsSync(policy());
    this.#network = new Network(
      { entry: entryText(wish.entry), fileName: wish.confName },
      { folder: conf, exchange, now },
    );
  }

  /** Puts everything in place where it can. It reports the rest, and begins nothing that depends on it. */
  async look(): Promise<Findings> {
    const lock = await attemptAsync(() => lockBinaries(this.#bin(), this.#lockFile));
    if ('ok' in lock)
      return { binary: lock, policy: waits('policy', 'the binary'), network: waits('network', 'the binary') };
    using _lock = lock;
    const binary = await attemptAsync(() => this.#binary.look());
    const policy = await attemptAsync(async () => (await this.#policy?.look()) ?? notOurs);
    return { binary, policy, network: this.#networkAfter(binary) };
  }

  /** Before the binary runs, or before there is the policy that the entry names, no pod could start with the entry. */
  #networkAfter(binary: Finding): Finding {
    if (!binary.ok) return waits('network', 'the binary');
    if (!this.#network.wasThere && !this.#hasPolicy()) return waits('network', 'the policy');
    return attempt(() => this.#network.look());
  }
}

const notOurs: Finding = { ok: true, text: 'none is given to be installed' };

const waits = (part: Part, thing: string): Finding => ({ ok: false, text: `the ${part} waits for ${thing}` });

/** One installer at a time changes a host. */
export const lockBinaries = async (folder: string, lockFile: HostTools['lockFile']): Promise<Disposable> =>
  await openLocked(join(makeStaging(folder), 'lock'), lockFile);

/** Milliseconds until what failed is tried again, if nothing happens until then: a full disk, a mount that is not there yet. */
const retryMs = 5_000;

const failed = (error: unknown): Finding => ({
  ok: false,
  text: error instanceof Error ? error.message : `${error}`,
  lookAgainMs: retryMs,
});

function attempt<T>(action: () => T): T | Finding {
  try {
    return action();
  } catch (error) {
    return failed(error);
  }
}

async function attemptAsync<T>(action: () => Promise<T>): Promise<T | Finding> {
  try {
    return await action();
  } catch (error) {
    return failed(error);
  }
}
