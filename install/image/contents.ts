import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Entry } from './tar.ts';

/** Where the binary is in the image. */
export const binaryPath = '/usr/bin/egress';

/** The layer that changes with each version. */
export const binaryLayer = (binary: string): Entry[] => [
  { path: binaryPath.slice(1), content: readFileSync(binary), mode: 0o755 },
];

/**
 * The layer below it, which stays for many versions: the shared libraries that the binary needs, copied from this
 * machine, as its own loader finds them without a cache (the image has none). No shell, no package manager, no
 * certificates: the API server's comes with the service account.
 */
export const libraryLayer = (binary: string): Entry[] => [
  ...librariesOf(binary).map((path) => ({ path: path.slice(1), content: readFileSync(path), mode: 0o755 })),
  { path: 'etc/os-release', content: Buffer.from('NAME="cni-egress image"\nID=cni-egress\n') },
  { path: 'run' }, // where the manifests mount a folder in memory
];

/** The program that starts programs (PT_INTERP), by `process.arch`: fixed by the ABI of each architecture. */
const loaders: Readonly<Record<string, string>> = {
  x64: '/lib64/ld-linux-x86-64.so.2',
  arm64: '/lib/ld-linux-aarch64.so.1',
};

/** Absolute paths of the libraries of a program, the loader among them; the kernel's vDSO is no file. */
export function librariesOf(program: string): string[] {
  const loader = loaders[process.arch];
  if (loader === undefined) throw new Error(`There is no image for ${process.arch}, only for x64 and arm64`);
  const listed = execFileSync(loader, ['--inhibit-cache', '--list', program], { encoding: 'utf8' });
  const found = [...listed.matchAll(/ => (\/\S+) \(/g)].map(([, path = '']) => path);
  return [...new Set([loader, ...found])].sort();
}
