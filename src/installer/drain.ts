import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EgressError } from '../base/errors.ts';
import { defaults } from '../config/defaults.ts';
import { filesIn } from '../files/file.ts';
import { isOurs, plugins } from './conflist.ts';
import { entryText, pluginType } from './entry.ts';
import { type HostTools, lockBinaries, type Places, placesOf } from './installer.ts';
import { isNetworkName, judge } from './judge.ts';
import { Network } from './network.ts';
import type { Finding } from './status.ts';

/** What is left of a node that is drained. */
export interface Drained {
  /** How many attachments are steered. */
  readonly attachments: number;
  /** Names of exits that the node serves to others; absent when it is no gateway that somebody else is to take down. */
  readonly served?: readonly string[];
  /** Whether the chain says that it is drained. */
  readonly network: Finding;
}

/** The chain entry on its way out: it stays for the pods that are steered, and steers no others. */
export class Drain {
  /** Folders in which a change calls for a look, as we see them: records of the node and of attachments, network configurations and plugins. */
  readonly folders: readonly string[];
  readonly #records: string;
  readonly #bin: () => string;
  readonly #conf: () => string;
  readonly #dataDir: string;
  readonly #lockFile: HostTools['lockFile'];
  readonly #network: Network;

  constructor(
    places: Places,
    { dataDir, fileName }: { readonly dataDir?: string | undefined; readonly fileName?: string | undefined },
    { lockFile, exchange, now }: HostTools,
  ) {
    const { bin, conf, data } = placesOf(places);
    this.#records = join(data(), 'attachments');
    this.folders = [data(), this.#records, conf(), bin()];
    this.#bin = bin;
    this.#conf = conf;
    this.#dataDir = places.dataDir;
    this.#lockFile = lockFile;
    this.#network = new Network(
      { entry: entryText({ dataDir, draining: true }), fileName, isDrained: true },
      { folder: conf, exchange, now },
    );
  }

  /**
   * Refuses wrong places, where pods of a chain with egress cannot be seen: the drain would leave the chain at once,
   * under all steered pods. Throws `io-failure`.
   */
  requirePlaces(): void {
    const entry = entryIn(this.#conf());
    if (entry === undefined) return;
    const bin = join(this.#bin(), pluginType);
    const { dataDir: ownDataDir = defaults.dataDir } = entry;
    const trouble = !existsSync(bin)
      ? `${bin} is not there: say with --bin-dir where the runtime looks for plugins`
      : ownDataDir !== this.#dataDir
        ? `the chain says that its pods are kept in ${ownDataDir}, not in ${this.#dataDir}: say so with --data-dir`
        : undefined;
    if (trouble === undefined) return;
    const why = 'egress stays in the chain, for pods that are steered could not be seen';
    throw new EgressError('io-failure', `${why}: ${trouble}. Without --drain it is taken out at once`);
  }

  /**
   * Says so in the chain, also when somebody has written it anew. Returns what is left, and whether the chain says so;
   * `undefined` when all has ended, or without the binary, which the chain must never name then.
   *
   * @param served names of exits that this node serves to others while its agent has it as a gateway: until the chain says so
   */
  async look(served?: readonly string[]): Promise<Drained | undefined> {
    if (!this.#isLeft(served)) return undefined;
    using _lock = await lockBinaries(this.#bin(), this.#lockFile);
    if (!this.#isLeft(served)) return undefined; // whoever had the lock may have removed the binary
    return { attachments: this.#steered(), ...(served && { served }), network: this.#network.look() };
  }

  #isLeft(served: readonly string[] | undefined): boolean {
    return existsSync(join(this.#bin(), pluginType)) && (this.#steered() > 0 || served !== undefined);
  }

  #steered(): number {
    return filesIn(this.#records).length;
  }
}

/** Our entry as some chain has it that runtimes may read; `undefined` when none has. */
function entryIn(folder: string): { readonly dataDir?: string } | undefined {
  for (const name of filesIn(folder).filter(isNetworkName)) {
    const text = readFileSync(join(folder, name), 'latin1');
    if (judge({ name, kind: 'file', text }).is !== 'list') continue;
    const ours = [...plugins(text)].find(isOurs);
    if (ours !== undefined) return JSON.parse(ours.text) as { dataDir?: string };
  }
  return undefined;
}
