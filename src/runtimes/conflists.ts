import type { ReadFile } from '../config/read.ts';
import { filesIn } from '../files/file.ts';

/** A chain entry as a runtime passes it, not judged yet. */
export type Entry = Readonly<Record<string, unknown>>;

/** A network configuration list, as far as we read it. */
interface Conflist {
  readonly name?: unknown;
  readonly cniVersion?: unknown;
  readonly plugins?: readonly (Entry | null)[];
}

/** By the names of networks, our entries in their chains now; `undefined` for chains that have none, or pass pods through. */
export function ownEntries(confDir: string, readFile: ReadFile): ReadonlyMap<unknown, Entry | undefined> {
  const lists = filesIn(confDir)
    .filter((file) => /\.conflist$/.test(file))
    .sort()
    .map((file) => parsed(readFile(`${confDir}/${file}`) ?? ''));
  // Of several lists for one network runtimes go by the first.
  return new Map(lists.toReversed().map((list) => [list.name, entryIn(list)]));
}

/** Our entry in a list, as a runtime passes it; `undefined` also while ADD passes pods through. */
function entryIn({ name, cniVersion, plugins }: Conflist): Entry | undefined {
  const own = Array.isArray(plugins) ? plugins.find((plugin) => plugin?.type === 'egress') : undefined;
  return own === undefined || own.draining === true ? undefined : { ...own, name, cniVersion };
}

function parsed(text: string): Conflist {
  try {
    return (JSON.parse(text) ?? {}) as Conflist;
  } catch {
    return {}; // somebody may be writing it
  }
}
