import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Bundle } from './bundle.ts';
import { makeSnapshot } from './snapshot.ts';

const require = createRequire(import.meta.url);
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';

/**
 * Node's own options, at build time and whenever the binary starts: a snapshot and compiled code go with the options that
 * they were made with. Nothing is optimized: a call is over before that pays. What lives longer switches it on (`cmd/operator.ts`).
 * SIGUSR1 is not for a debugger, which would have a thread that waits for it.
 */
const options: readonly string[] = ['--max-opt=0', '--disable-sigusr1'];

/** What a tool says is in the error when it fails, and else not told. */
const quiet = { stdio: 'pipe' } as const;

/** node_sea.h: SeaFlags::kUseSnapshot, and the place of the flags behind the magic number. */
const usesSnapshot = 1 << 1;
const flagsOffset = 4;
/** node_sea.cc, POSTJECT_SENTINEL_FUSE: the place in the binary that says whether there is something in it. */
const sentinelFuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Makes the binary out of a bundle, in a folder: a copy of Node's own with the snapshot, the parts and the addons in it. */
export function makeExecutable(folder: string, { main, parts }: Bundle): string {
  const output = join(folder, 'egress');
  strippedNode(output);
  const snapshot = makeSnapshot(output, options, main);
  const assets: Record<string, string> = {
    'netlink.node': require.resolve(`netlink/prebuilds/linux-${arch}/node.napi.node`),
    'calls.node': join(import.meta.dirname, '..', 'src', 'kernel', 'native', `calls.linux-${arch}.node`),
  };
  if (parts.size > 0) compileParts(output, snapshot, folder, [...parts.keys()]);
  for (const [name, file] of parts) {
    assets[`${name}.js`] = file;
    assets[`${name}.cache`] = file.replace(/\.js$/, '.cache');
  }
  inject(output, resource(output, folder, snapshot, assets));
  return output;
}

/** A copy of Node without symbols, 20 MB smaller; as it is where there is no strip(1). */
function strippedNode(path: string): void {
  copyFileSync(join(dirname(require.resolve(`node-linux-${arch}/package.json`)), 'bin', 'node'), path);
  chmodSync(path, 0o755);
  try {
    execFileSync('strip', [path]);
  } catch {
    console.warn('strip is not installed, the binary will be 20 MB larger');
  }
}

/** Has the parts compiled by the program itself: what V8 makes of them goes with the snapshot. See `binary/part.cjs`. */
function compileParts(node: string, snapshot: string, folder: string, names: readonly string[]): void {
  const env = { ...process.env, EGRESS_PARTS: folder, EGRESS_PART_NAMES: names.join() };
  execFileSync(node, [...options, '--snapshot-blob', snapshot, 'egress', '--help'], { env, stdio: 'ignore' });
}

/**
 * What Node looks for inside its own binary. Node makes it of a script, and has a snapshot made as it likes; so the snapshot is
 * given to it as if it were the script, and then called what it is.
 */
function resource(node: string, folder: string, main: string, assets: Readonly<Record<string, string>>): string {
  const [config, output] = [join(folder, 'sea.json'), join(folder, 'sea.blob')];
  // The runtime's NODE_OPTIONS are not for us.
  const own = { disableExperimentalSEAWarning: true, execArgv: options, execArgvExtension: 'none' };
  writeFileSync(config, JSON.stringify({ main, output, assets, ...own }));
  execFileSync(node, ['--experimental-sea-config', config], quiet);
  const blob = readFileSync(output);
  blob.writeUInt32LE(blob.readUInt32LE(flagsOffset) | usesSnapshot, flagsOffset);
  writeFileSync(output, blob);
  return output;
}

/** Puts it into the binary. The tool warns of each section that strip(1) left without a name, which is nothing to anybody. */
function inject(binary: string, blob: string): void {
  const tool = require.resolve('postject/dist/cli.js');
  execFileSync(process.execPath, [tool, binary, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', sentinelFuse], quiet);
}
