import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';

/** The kernel follows as many links (path_resolution(7)). */
const mostLinks = 40;

/**
 * The path of a host's file for us, who see the host's root in the folder `root`. Links are followed as on the host,
 * absolute ones below `root`. The path need not exist. `root` may be `/`.
 */
export function hostPath(root: string, path: string): string {
  let links = 0;
  let resolved = '/';
  const names = path.split('/');
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    const next = join(resolved, name);
    if (!statOf(join(root, next))?.isSymbolicLink()) {
      resolved = next;
      continue;
    }
    if (++links > mostLinks) throw new Error(`${path} has too many symbolic links`);
    const target = readlinkSync(join(root, next));
    names.unshift(...target.split('/'));
    resolved = target.startsWith('/') ? '/' : dirname(next);
  }
  return join(root, resolved);
}

const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });
