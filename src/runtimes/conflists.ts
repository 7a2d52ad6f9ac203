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

/** What the network configurations of a node say of us. */
export interface Chains {
  /** By the names of networks, our entries in their chains now; `undefined` for chains that have none, or pass pods through. */
  readonly own: ReadonlyMap<unknown, Entry | undefined>;
  /** Those entries, in the order of their files' names. */
  readonly present: readonly Entry[];
  /** Whether a chain has our entry only until the last pod has ended: ADD passes pods through. */
  readonly areDraining: boolean;
}

/** A network, and the types of the plugins in its chain. */
export interface Chain {
  readonly name: string;
  readonly types: readonly string[];
}

/** The chains of all lists in a folder, in the order of their files’ names. */
export const chainsIn = (confDir: string, readFile: ReadFile): readonly Chain[] =>
  listsIn(confDir, readFile)
    .toReversed()
    .map(({ name, plugins }) => ({
      name: String(name),
      types: (Array.isArray(plugins) ? plugins : []).map((plugin) => String(plugin?.type)),
    }));

/** The network configurations in a folder, read once. */
export function readChains(confDir: string, readFile: ReadFile): Chains {
  const lists = listsIn(confDir, readFile);
  // Of several lists for one network runtimes go by the first.
  const own = new Map(lists.map((list) => [list.name, entryIn(list)]));
  const present = [...own.values()].filter((entry) => entry !== undefined).toReversed();
  return { own, present, areDraining: lists.some((list) => ownIn(list)?.draining === true) };
}

/** All lists in a folder, the first by name last. */
const listsIn = (confDir: string, readFile: ReadFile): Conflist[] =>
  filesIn(confDir)
    .filter((file) => /\.conflist$/.test(file))
    .sort()
    .map((file) => parsed(readFile(`${confDir}/${file}`) ?? ''))
    .toReversed();

/** Our entry in a list, as a runtime passes it; `undefined` also while ADD passes pods through. */
function entryIn(list: Conflist): Entry | undefined {
  const { name, cniVersion } = list;
  const own = ownIn(list);
  return own === undefined || own.draining === true ? undefined : { ...own, name, cniVersion };
}

const ownIn = ({ plugins }: Conflist): Entry | undefined =>
  (Array.isArray(plugins) ? plugins.find((plugin) => plugin?.type === 'egress') : undefined) ?? undefined;

function parsed(text: string): Conflist {
  try {
    return (JSON.parse(text) ?? {}) as Conflist;
  } catch {
    return {}; // somebody may be writing it
  }
}
