import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../run.ts';
import { tool } from '../tools.ts';

/** The only image of the tests: it is made here, and nothing is pulled. */
export const image = 'localhost/lab:1';

/** What containers of it run that only have to be there. It is busybox, which goes by its first argument. */
export const pause = ['/busybox', 'sleep', '2147483647'] as const;

/**
 * Makes an archive of an image in the layout of OCI, of one layer: a static program, and the places of the node's own
 * programs, which containers get as mounts. Returns its path in the folder.
 */
export async function makeImage(folder: string): Promise<string> {
  const parts = join(folder, 'image-parts');
  const [root, layout, layer] = [join(parts, 'root'), join(parts, 'layout'), join(parts, 'layer.tar')];
  makeRoot(root);
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  await archive(root, layer);
  writeLayout(layout, readFileSync(layer));
  const made = join(folder, 'image.tar');
  await archive(layout, made);
  rmSync(parts, { recursive: true });
  return made;
}

const archive = (folder: string, file: string) => must(['tar', '-C', folder, '-cf', file, '.']);

/** Makes the files of the image in a folder. */
export function makeRoot(root: string): void {
  for (const path of ['usr', 'etc', 'tmp', 'programs']) mkdirSync(join(root, path), { recursive: true });
  copyFileSync(tool('busybox'), join(root, 'busybox'));
  for (const path of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${path}`, join(root, path));
}

const types = 'application/vnd.oci.image';

function writeLayout(folder: string, layer: Buffer): void {
  const add = (mediaType: string, content: Buffer) => {
    const digest = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(folder, 'blobs/sha256', digest), content);
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const addJson = (mediaType: string, value: object) => add(mediaType, Buffer.from(JSON.stringify(value)));
  const layerBlob = add(`${types}.layer.v1.tar`, layer);
  const config = addJson(`${types}.config.v1+json`, {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: pause },
    rootfs: { type: 'layers', diff_ids: [layerBlob.digest] },
  });
  const manifest = { schemaVersion: 2, mediaType: `${types}.manifest.v1+json`, config, layers: [layerBlob] };
  const described = addJson(manifest.mediaType, manifest);
  const manifests = [{ ...described, annotations: { 'io.containerd.image.name': image } }];
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}
