import { Header } from 'tar';

/** A file, folder or link of an archive, which is the same whoever makes it: it belongs to root, and has no date. */
export interface Entry {
  /** Without a leading slash. */
  readonly path: string;
  /** Content of a file; a folder has none. */
  readonly content?: Buffer;
  /** Permissions; 0644 for files and 0755 for folders when they are not given. */
  readonly mode?: number;
}

const blockSize = 512;
/** The same content must be the same archive, so no date of this machine is in it. */
const beginning = new Date(0);

/** A tar archive (POSIX ustar) of these entries, with the folders that they are in, in the order of their paths. */
export function archive(entries: readonly Entry[]): Buffer {
  const all = new Map([...entries.flatMap(foldersOf), ...entries].map((entry) => [entry.path, entry]));
  const sorted = [...all.values()].sort((one, other) => (one.path < other.path ? -1 : 1));
  return Buffer.concat([...sorted.flatMap(blocksOf), Buffer.alloc(2 * blockSize)]);
}

/** `usr` and `usr/bin` for `usr/bin/egress`. */
function foldersOf({ path }: Entry): Entry[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => ({ path: parts.slice(0, index + 1).join('/') }));
}

function blocksOf({ path, content, mode = content ? 0o644 : 0o755 }: Entry): Buffer[] {
  const block = Buffer.alloc(blockSize);
  const header = new Header({
    path: content ? path : `${path}/`,
    type: content ? 'File' : 'Directory',
    mode,
    size: content?.length ?? 0,
    uid: 0,
    gid: 0,
    mtime: beginning,
  });
  if (header.encode(block)) throw new Error(`The path ${path} is too long for a plain tar archive`);
  return content ? [block, content, Buffer.alloc(-content.length & (blockSize - 1))] : [block];
}
