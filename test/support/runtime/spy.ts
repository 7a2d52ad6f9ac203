import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '../chain.ts';
import type { Containerd } from './containerd.ts';

const plugin = join(import.meta.dirname, 'spy-plugin.ts');

/** What a plugin was called with. */
export interface SpiedCall {
  readonly environment: Readonly<Record<string, string>>;
  readonly request: Json;
}

/** A plugin that changes nothing and keeps what the runtime sends; see spy-plugin.ts. */
export class Spy {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes it known to containerd; {@link entry} brings it into a chain. */
  static async create(containerd: Containerd): Promise<Spy> {
    const folder = join(containerd.node.folder, 'spied');
    await mkdir(folder);
    await containerd.machine.addPlugin('spy', `exec ${process.execPath} ${plugin}`);
    return new Spy(folder);
  }

  /** Its chain entry. */
  entry(capabilities: Json): Json {
    return { type: 'spy', folder: this.#folder, capabilities };
  }

  /** All calls with a command until now, in their order. */
  async calls(command: string): Promise<readonly SpiedCall[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith(`-${command}.json`)).toSorted();
    return Promise.all(names.map(async (name) => JSON.parse(await readFile(join(this.#folder, name), 'utf8'))));
  }
}
