import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundle } from './bundle.ts';
import { makeExecutable } from './executable.ts';

/**
 * Makes dist/egress: the bundle of the plugin runs once at build time, its heap becomes a V8 start-up snapshot, and that,
 * what people and the agent need beside it, and the two native addons go into a copy of Node's own binary (a single
 * executable application). Run by the Node of the npm package `node-linux-*`, which is also the base of the binary.
 */
const root = resolve(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

mkdirSync(join(root, 'dist'), { recursive: true });
const work = mkdtempSync(join(root, 'dist', '.build-'));
try {
  const binary = makeExecutable(work, await bundle(work, version));
  verify(binary);
  renameSync(binary, join(root, 'dist', 'egress'));
  console.log(`dist/egress ${version} (${(statSync(join(root, 'dist', 'egress')).size / 1e6).toFixed(0)} MB)`);
} finally {
  rmSync(work, { recursive: true });
}

/** A binary that cannot answer VERSION, or not load its addons, is none. */
function verify(binary: string): void {
  const run = (args: string[], env: Record<string, string>) =>
    JSON.parse(execFileSync(binary, args, { env, input: '{"cniVersion":"1.0.0"}', encoding: 'utf8', timeout: 10_000 }));
  const { supportedVersions } = run([], { CNI_COMMAND: 'VERSION' });
  const { netlink } = run(['version', '--json'], {});
  if (!supportedVersions.includes('1.1.0') || netlink !== true)
    throw new Error('The binary does not work on this machine');
}
