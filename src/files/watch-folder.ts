import { type FSWatcher, unwatchFile, watch, watchFile } from 'node:fs';

/** Milliseconds between two looks at the folder itself: inotify does not tell of one that is mounted or made anew. */
const interval = 1_000;

/** Calls back when something in a folder changes, is made, renamed or removed, or the folder itself, until disposed of. */
export function watchFolder(folder: string, changed: () => void): Disposable {
  let watcher: FSWatcher | undefined;
  const open = () => {
    watcher?.close();
    watcher = opened(folder, changed);
  };
  const look = (now: { readonly ino: number }, before: { readonly ino: number }) => {
    if (now.ino !== before.ino) open();
    changed();
  };
  watchFile(folder, { interval }, look);
  open();
  return {
    [Symbol.dispose]: () => {
      unwatchFile(folder, look);
      watcher?.close();
    },
  };
}

/** `undefined` while there is no folder, or the kernel has no watch left. */
function opened(folder: string, changed: () => void): FSWatcher | undefined {
  try {
    return watch(folder, () => changed()).on('error', () => {});
  } catch {
    return undefined;
  }
}
