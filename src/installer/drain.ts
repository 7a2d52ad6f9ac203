import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { filesIn } from '../store/file.ts';
import { entryText, pluginType } from './entry.ts';
import { type HostTools, lockBinaries, type Places, placesOf } from './installer.ts';
import { Network } from './network.ts';
import type { Finding } from './status.ts';

/** What is left of a node that is drained. */
export interface Drained {
  /** How many attachments are steered. */
  readonly attachments: number;
  /** Whether the chain says that it is drained. */
  readonly network: Finding;
}

/** The chain entry on its way out: it stays for the pods that are steered, and steers no others. */
export class Drain {
  /** Folders in which a change calls for a look, as we see them: records, network configurations and plugins. */
  readonly folders: readonly string[];
  readonly #records: string;
  readonly #bin: () => string;
  readonly #lockFile: HostTools['lockFile'];
  readonly #network: Network;

  constructor(
    places: Places,
    { dataDir, fileName }: { readonly dataDir?: string | undefined; readonly fileName?: string | undefined },
    { lockFile, exchange, now }: HostTools,
  ) {
    const { bin, conf, data } = placesOf(places);
    this.#records = join(data(), 'attachments');
    this.folders = [this.#records, conf(), bin()];
    this.#bin = bin;
    this.#lockFile = lockFile;
    this.#network = new Network(
      { entry: entryText({ dataDir, draining: true }), fileName, isDrained: true },
      { folder: conf, exchange, now },
    );
  }

  /**
   * Says so in the chain, also when somebody has written it anew. Returns how many attachments are steered, and whether
   * the chain says so; `undefined` when all have ended, or without the binary, which the chain must never name then.
   */
  look(): Drained | undefined {
    if (this.#steered() === 0) return undefined;
    using _lock = lockBinaries(this.#bin(), this.#lockFile);
    const attachments = this.#steered(); // whoever had the lock may have removed the binary
    return attachments === 0 ? undefined : { attachments, network: this.#network.look() };
  }

  #steered(): number {
    return existsSync(join(this.#bin(), pluginType)) ? filesIn(this.#records).length : 0;
  }
}
