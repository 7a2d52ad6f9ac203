import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { binaryLayer, binaryPath, libraryLayer } from './image/contents.ts';
import { archive, type Entry } from './image/tar.ts';

/**
 * Makes a container image of dist/egress without a container engine: `npm run image`. It is an OCI image layout, as a
 * folder (dist/image, for skopeo, crane and others) and as an archive (dist/image.tar, for `ctr images import`,
 * `podman load` and `docker load`). The same binary and libraries give the same digest.
 */
export interface ImageOptions {
  /** The built binary. */
  readonly binary: string;
  /** The label that says which version it is. */
  readonly version: string;
  /** What the image is called when it is imported, with a tag. */
  readonly name: string;
  /** The folder to write; the archive is beside it, with `.tar` behind the name. */
  readonly output: string;
}

/** What runs in a container, until the manifest gives other arguments. */
export const entryPoint = [binaryPath, 'install'];

/** What images say of themselves (OCI image specification, "Pre-Defined Annotation Keys"). */
export const labelsOf = (version: string): Readonly<Record<string, string>> => ({
  'org.opencontainers.image.title': 'cni-egress',
  'org.opencontainers.image.description': 'A chained CNI plugin that decides how each pod’s traffic leaves the cluster',
  'org.opencontainers.image.licenses': 'Apache-2.0',
  'org.opencontainers.image.version': version,
});

const mediaType = (kind: string): string => `application/vnd.oci.image.${kind}`;
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

interface Blob {
  readonly bytes: Buffer;
  readonly descriptor: { readonly mediaType: string; readonly digest: string; readonly size: number };
}

/** Writes the image, and gives the digest of its manifest. */
export function writeImage({ binary, version, name, output }: ImageOptions): string {
  const layers = [libraryLayer(binary), binaryLayer(binary)].map((entries) => archive(entries));
  const layerBlobs = layers.map((layer) => blob('layer.v1.tar+gzip', gzipSync(layer)));
  const config = jsonBlob('config.v1+json', configuration(layers, version));
  const manifest = jsonBlob('manifest.v1+json', {
    schemaVersion: 2,
    mediaType: mediaType('manifest.v1+json'),
    config: config.descriptor,
    layers: layerBlobs.map(({ descriptor }) => descriptor),
    annotations: labelsOf(version),
  });
  const files = layoutOf([...layerBlobs, config, manifest], indexOf(manifest, { version, name }));
  writeFolder(output, files);
  writeFileSync(`${output}.tar`, archive(files));
  return manifest.descriptor.digest;
}

const blob = (kind: string, bytes: Buffer): Blob => ({
  bytes,
  descriptor: { mediaType: mediaType(kind), digest: sha256(bytes), size: bytes.length },
});

const jsonBlob = (kind: string, value: object): Blob => blob(kind, Buffer.from(JSON.stringify(value)));

function configuration(layers: readonly Buffer[], version: string): object {
  return {
    created: '1970-01-01T00:00:00Z', // no date, so that the digest tells whether anything differs
    architecture: architectures[process.arch],
    os: 'linux',
    config: { Entrypoint: entryPoint, WorkingDir: '/', Labels: labelsOf(version) },
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    history: [{ created_by: 'install/image.ts: libraries' }, { created_by: 'install/image.ts: egress' }],
  };
}

/** The entry of the layout. containerd calls the image by the first annotation, others by the second. */
function indexOf(manifest: Blob, { version, name }: Pick<ImageOptions, 'version' | 'name'>): object {
  const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': version };
  const platform = { architecture: architectures[process.arch], os: 'linux' };
  return {
    schemaVersion: 2,
    mediaType: mediaType('index.v1+json'),
    manifests: [{ ...manifest.descriptor, platform, annotations }],
  };
}

/** The files of an OCI image layout. */
function layoutOf(blobs: readonly Blob[], index: object): (Entry & { readonly content: Buffer })[] {
  return [
    { path: 'oci-layout', content: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { path: 'index.json', content: Buffer.from(JSON.stringify(index)) },
    ...blobs.map(({ bytes, descriptor }) => ({ path: `blobs/${descriptor.digest.replace(':', '/')}`, content: bytes })),
  ];
}

/** The folder is complete or not there: it gets its name when all is in it. */
function writeFolder(folder: string, files: readonly { readonly path: string; readonly content: Buffer }[]): void {
  const unfinished = `${folder}.${process.pid}`;
  for (const { path, content } of files) {
    mkdirSync(dirname(join(unfinished, path)), { recursive: true });
    writeFileSync(join(unfinished, path), content);
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(unfinished, folder);
}

function main(): void {
  const root = resolve(import.meta.dirname, '..');
  const packageVersion = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version as string;
  const { values } = parseArgs({
    options: {
      binary: { type: 'string', default: join(root, 'dist', 'egress') },
      version: { type: 'string', default: packageVersion },
      name: { type: 'string' },
      output: { type: 'string', default: join(root, 'dist', 'image') },
    },
  });
  const name = values.name ?? `localhost/cni-egress:${values.version}`;
  console.log(`${name} ${writeImage({ ...values, name })}`);
}

if (import.meta.main) main();
