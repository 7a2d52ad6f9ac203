import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Runs a script with a Node, and keeps its heap: returns the file of the start-up snapshot, beside the script. */
export function makeSnapshot(node: string, options: readonly string[], script: string): string {
  const [folder, name] = [dirname(script), basename(script, '.js')];
  const [config, file] = [join(folder, `${name}.json`), join(folder, `${name}.snapshot`)];
  writeFileSync(config, JSON.stringify({ builder: script }));
  // `cmd/warm-up.ts` has Node show how it begins.
  execFileSync(node, [...options, '--expose-internals', '--snapshot-blob', file, '--build-snapshot-config', config], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  writeFileSync(file, withoutCodeCache(readFileSync(file)));
  return file;
}

/**
 * A snapshot without the compiled code of Node's own modules, more than half of its bytes, all of which Node copies whenever it
 * starts. What the heap has of these modules is compiled in the heap. Node leaves that code away by the option
 * `withoutCodeCache`, too, and with it the compiled code of the heap.
 *
 * The code is the last that node_snapshotable.cc writes: how many modules, and for each its name and its code, each behind its
 * length. All lengths have 64 bits.
 */
function withoutCodeCache(snapshot: Buffer): Buffer {
  for (let offset = 0; offset < snapshot.length; offset++)
    if (isCodeCache(snapshot, offset)) return Buffer.concat([snapshot.subarray(0, offset), Buffer.alloc(lengthBytes)]);
  throw new Error('No compiled code of Node’s modules was found in the snapshot: this Node writes it in another way');
}

const lengthBytes = 8;
/** Node 24 has about 400. */
const [fewestModules, mostModules] = [100, 2000];
const moduleName = /^[\w./-]+$/;

/** Whether the modules from an offset on are all that is left. */
function isCodeCache(snapshot: Buffer, offset: number): boolean {
  let count = lengthAt(snapshot, offset);
  let end = offset + lengthBytes;
  if (count < fewestModules || count > mostModules) return false;
  for (; count > 0; count--) {
    const name = partAt(snapshot, end);
    if (name === undefined || !moduleName.test(name.toString('latin1'))) return false;
    const code = partAt(snapshot, end + lengthBytes + name.length);
    if (code === undefined) return false;
    end += lengthBytes + name.length + lengthBytes + code.length;
  }
  return end === snapshot.length;
}

/** The bytes behind their length at an offset; `undefined` where they would be too many. */
function partAt(snapshot: Buffer, offset: number): Buffer | undefined {
  const [length, start] = [lengthAt(snapshot, offset), offset + lengthBytes];
  return length >= 0 && start + length <= snapshot.length ? snapshot.subarray(start, start + length) : undefined;
}

/** -1 where no length can be. */
function lengthAt(snapshot: Buffer, offset: number): number {
  if (offset + lengthBytes > snapshot.length || snapshot.readUInt32LE(offset + 4) !== 0) return -1;
  return snapshot.readUInt32LE(offset);
}
