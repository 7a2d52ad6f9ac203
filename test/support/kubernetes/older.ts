import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { must } from '../run.ts';
import { ourImage } from './whole.ts';

const root = resolve(import.meta.dirname, '../../..');

/** A version of the repository as it was, built with its own packages. */
export interface Older {
  /** Its checkout: the manifests are below `install`. */
  readonly checkout: string;
  /** Its binary. */
  readonly binary: string;
  /** The tag of its image. */
  readonly tag: string;
  /** The archive of that image. */
  readonly archive: string;
}

/** The one that clusters are upgraded from: 0.1.0 as it was on 29 November 2026, before connections were remembered by labels. */
export const olderCommit = 'fa15306';

/** Builds a commit, once: it stays in `.cache/older`. */
export async function olderVersion(commit = olderCommit): Promise<Older> {
  const cache = join(root, '.cache/older');
  const checkout = join(cache, commit);
  if (!existsSync(checkout)) await build(commit, cache, checkout);
  const binary = join(checkout, 'dist/egress');
  const tag = `0.1.0-${commit}`;
  return { checkout, binary, tag, archive: ourImage({ binary, version: tag, output: join(checkout, 'dist/image') }) };
}

/** What is there under the name of the checkout is complete: others may build the same beside us. */
async function build(commit: string, cache: string, checkout: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, `${commit}.`));
  const inFolder = (script: string) => must(['sh', '-ec', `cd ${folder}; ${script}`]);
  await must(['sh', '-ec', `git -C ${root} archive ${commit} | tar -x -C ${folder}`]);
  await inFolder('npm ci --loglevel=error');
  await inFolder('node_modules/.bin/node install/build.ts');
  try {
    renameSync(folder, checkout);
  } catch (error) {
    rmSync(folder, { recursive: true });
    if (!existsSync(checkout)) throw error;
  }
}
