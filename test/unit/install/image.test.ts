import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { list, type ReadEntry } from 'tar';
import { librariesOf } from '../../../install/image/contents.ts';
import { archive } from '../../../install/image/tar.ts';
import { entryPoint, labelsOf, writeImage } from '../../../install/image.ts';

/** Any small program with shared libraries stands for the binary: the image does not ask what it does. */
const program = '/bin/ls';
const folder = mkdtempSync(join(tmpdir(), 'egress-image-'));
after(() => rmSync(folder, { recursive: true }));

const build = (output: string, version = '1.2.3') =>
  writeImage({ binary: program, version, name: `localhost/cni-egress:${version}`, output: join(folder, output) });
const digest = build('one');

const blob = (from: string, { digest }: { readonly digest: string }) =>
  readFileSync(join(folder, from, 'blobs', digest.replace(':', '/')));
const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const index = (from: string) => JSON.parse(readFileSync(join(folder, from, 'index.json'), 'utf8'));
const manifest = (from: string) => JSON.parse(blob(from, index(from).manifests[0]).toString());
const layers = (from: string): Buffer[] => manifest(from).layers.map((layer: { digest: string }) => blob(from, layer));

/** What another reader of archives finds in ours. */
async function entriesOf(bytes: Buffer): Promise<ReadEntry[]> {
  const entries: ReadEntry[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const parser = list({ strict: true, onReadEntry: (entry) => entries.push(entry) });
  parser.on('end', resolve).on('error', reject);
  parser.end(bytes);
  await promise;
  return entries;
}

describe('the image', () => {
  test('is the same whoever builds it: no date, no name of a machine, no order of a folder', () => {
    assert.equal(build('two'), digest);
    assert.deepEqual(readFileSync(join(folder, 'one.tar')), readFileSync(join(folder, 'two.tar')));
  });

  test('is another with another version, but has the same layers', () => {
    assert.notEqual(build('other', '1.2.4'), digest);
    assert.deepEqual(manifest('other').layers, manifest('one').layers);
  });

  test('is named as it is imported', () => {
    const { annotations, platform } = index('one').manifests[0];
    assert.equal(annotations['io.containerd.image.name'], 'localhost/cni-egress:1.2.3');
    assert.deepEqual(platform, { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' });
  });

  test('has digests and sizes that are right, from the index to the content of the layers', () => {
    const { config, layers: described } = manifest('one');
    for (const each of [index('one').manifests[0], config, ...described]) {
      assert.equal(sha256(blob('one', each)), each.digest);
      assert.equal(blob('one', each).length, each.size);
    }
    const { rootfs } = JSON.parse(blob('one', config).toString());
    assert.deepEqual(
      rootfs.diff_ids,
      layers('one').map((layer) => sha256(gunzipSync(layer))),
    );
  });

  test('holds the program, every library that it asks for and its loader, all owned by root and without a date', async () => {
    const entries = (await Promise.all(layers('one').map((layer) => entriesOf(gunzipSync(layer))))).flat();
    const files = entries.filter(({ type }) => type === 'File').map(({ path }) => `/${path}`);
    assert.deepEqual(
      files.filter((path) => path !== '/etc/os-release').sort(),
      [entryPoint[0], ...librariesOf(program)].sort(),
    );
    for (const name of [/\/libc\.so\.6$/, /\/ld-linux-[\w-]+\.so\.\d$/])
      assert.ok(files.some((path) => name.test(path)));
    for (const { path, uid, gid, mtime, mode } of entries) {
      assert.deepEqual([path, uid, gid, mtime?.getTime()], [path, 0, 0, 0]);
      assert.equal((mode ?? 0) & 0o022, 0, `others may write to ${path}`);
    }
  });

  test('is also one archive with the same files, for those that import one', async () => {
    const paths = (await entriesOf(readFileSync(join(folder, 'one.tar')))).map(({ path }) => path);
    for (const path of ['oci-layout', 'index.json', `blobs/${digest.replace(':', '/')}`])
      assert.ok(paths.includes(path), path);
  });
});

describe('Containerfile', () => {
  const text = readFileSync(new URL('../../../install/Containerfile', import.meta.url), 'utf8');

  test('has the entry point and the labels of the image that is made without an engine', () => {
    const [, told = ''] = /^ENTRYPOINT (.*)$/m.exec(text) ?? [];
    assert.deepEqual(JSON.parse(told), entryPoint);
    const told2 = Object.fromEntries(
      [...text.matchAll(/ (org\.[\w.]+)="(.*?)"/g)].map(([, key, value]) => [key, value]),
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the variable of the Containerfile
    assert.deepEqual(told2, labelsOf('${VERSION}'));
  });

  test('names no registry: whoever builds it chooses', () => {
    assert.match(text, /^ARG BASE=[\w:-]+$/m);
  });
});

describe('an archive', () => {
  test('has the folders that its files are in, each once, before them', async () => {
    const entries = await entriesOf(
      archive([
        { path: 'a/b/two', content: Buffer.from('2') },
        { path: 'a/b/one', content: Buffer.from('1'), mode: 0o755 },
      ]),
    );
    assert.deepEqual(
      entries.map(({ path, mode }) => `${path} ${mode?.toString(8)}`),
      ['a/ 755', 'a/b/ 755', 'a/b/one 755', 'a/b/two 644'],
    );
  });

  test('of files as long as a block, longer and empty is read as it was written', async () => {
    const contents = [0, 1, 511, 512, 513].map((length) => Buffer.alloc(length, 'x'));
    const entries = await entriesOf(archive(contents.map((content, at) => ({ path: `file-${at}`, content }))));
    assert.deepEqual(
      entries.map(({ size }) => size),
      contents.map(({ length }) => length),
    );
  });

  test('refuses a path that a plain archive has no room for', () => {
    assert.throws(() => archive([{ path: 'x'.repeat(300), content: Buffer.alloc(0) }]), /too long/);
  });
});
