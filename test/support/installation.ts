import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withoutEntry } from '../../src/installer/conflist.ts';
import { Daemon, type Outcome, run } from './run.ts';
import { egressBinary } from './tools.ts';

/** A list as a primary plugin may write it; `mark` tells one version of it from another. */
export const listOf = (mark: string): string =>
  `{ "cniVersion": "1.0.0",\r\n\t"name" : "n", "mark": "${mark} é",\n  "plugins": [\n    {"type": "bridge", "x": 1.0e2}\n  ]}\n\n`;

/** A file with a single plugin. */
export const singleOf = (mark: string): string =>
  `\n{"type": "ptp",  "cniVersion": "0.4.0",\r\n "name": "n", "mark": "${mark}"}\n`;

/** Folders of a host, and the installer that works on them; removed when it is disposed of. */
export class Installation implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), `eg-${process.pid}-installer-`));
  readonly bin = join(this.folder, 'bin');
  readonly conf = join(this.folder, 'net.d');
  readonly source = join(this.folder, 'source');
  readonly policy = join(this.folder, 'etc/policy.json');
  readonly readyFile = join(this.folder, 'run/ready.json');
  #daemon: Daemon | undefined;

  constructor(files: Readonly<Record<string, string>> = {}) {
    for (const folder of [this.bin, this.conf, this.source]) mkdirSync(folder);
    writeFileSync(join(this.bin, 'bridge'), 'the binary of somebody else');
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.conf, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.conf, name), 'utf8');
  }

  /** The types of the plugins of a list; `undefined` while it is not there or no list. */
  types(name: string): readonly string[] | undefined {
    try {
      const { plugins } = JSON.parse(this.read(name)) as { readonly plugins?: readonly { readonly type: string }[] };
      return plugins?.map(({ type }) => type);
    } catch {
      return undefined;
    }
  }

  get #places(): readonly string[] {
    const { bin, conf, policy, folder } = this;
    return ['--bin-dir', bin, '--conf-dir', conf, '--policy-file', policy, '--data-dir', join(folder, 'data')];
  }

  /** The command line of the installer, which knows of a source of policies. */
  command(...more: readonly string[]): readonly string[] {
    return [egressBinary, 'install', ...this.#places, '--policy-source', this.source, ...more];
  }

  /** Installs once. */
  install(options: { readonly through?: readonly string[]; readonly more?: readonly string[] } = {}): Promise<Outcome> {
    return run([...(options.through ?? []), ...this.command(...(options.more ?? []))]);
  }

  uninstall(
    options: { readonly through?: readonly string[]; readonly more?: readonly string[] } = {},
  ): Promise<Outcome> {
    return run([...(options.through ?? []), egressBinary, 'uninstall', ...this.#places, ...(options.more ?? [])]);
  }

  /** Starts `egress uninstall --drain`, and waits until it says this. */
  async drain(says: string, ...more: readonly string[]): Promise<Daemon> {
    this.#daemon = await Daemon.start([egressBinary, 'uninstall', ...this.#places, '--drain', ...more], says);
    return this.#daemon;
  }

  /** A record of a pod that is steered, as far as installers care: its file. Returns how it goes when the pod ends. */
  steer(pod: string): () => void {
    const record = join(this.folder, 'data/attachments', `n+${pod}+eth0.json`);
    mkdirSync(join(record, '..'), { recursive: true });
    writeFileSync(record, '{}');
    return () => rmSync(record);
  }

  /** Starts the installer that stays, and waits until it says this. */
  async watch(says: string, ...more: readonly string[]): Promise<Daemon> {
    this.#daemon = await Daemon.start(this.command('--watch', '--ready-file', this.readyFile, ...more), says);
    return this.#daemon;
  }

  /** What `egress ready` says of the installer that stays. */
  ready(): Promise<Outcome> {
    return run([egressBinary, 'ready', '--ready-file', this.readyFile]);
  }

  /** A policy that is valid, and known by its name. */
  writePolicy(name: string): void {
    const text = JSON.stringify({ policies: [{ name, namespaces: ['*'], exit: 'drop' }] });
    writeFileSync(join(this.source, 'policy.json'), text);
  }

  /** Everything in the folders of networks and binaries: path, mode, owner and the hash of the content. */
  tree(): Readonly<Record<string, string>> {
    const entries = [this.bin, this.conf].flatMap((top) => readdirSync(top, { withFileTypes: true, recursive: true }));
    const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    return Object.fromEntries(files.sort().map((path) => [path.slice(this.folder.length), stamp(path)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function stamp(path: string): string {
  const { mode, uid, gid } = statSync(path);
  return `${(mode & 0o7777).toString(8)} ${uid}:${gid} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
}

/** Waits until something holds; the time limit of the test is the guard against waiting for ever. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The list of the primary plugin. */
export const list = '10-primary.conflist';
/** What an installer says when all is ready. */
export const ready = 'network: egress is in';

/** A host with a primary's list and a policy to be installed. */
export function primed(files: Readonly<Record<string, string>> = { [list]: listOf('first') }): Installation {
  const host = new Installation(files);
  host.writePolicy('first');
  return host;
}

/** The list as it would be without egress, in which egress is the last plugin and there once. */
export function requireEgressIn(host: Installation, name: string): string {
  const types = host.types(name) ?? [];
  assert.equal(types.at(-1), 'egress', name);
  assert.equal(types.filter((type) => type === 'egress').length, 1, name);
  return withoutEntry(host.read(name));
}

/** A tree without the binary and the folder of the installer. */
export const withoutOurs = (tree: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(tree).filter(([path]) => !/^\/bin\/(egress$|\.egress\/)/.test(path)));
