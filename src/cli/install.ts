import { setTimeout as pause } from 'node:timers/promises';
import { parseAddress } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { lineOf } from '../config/problem.ts';
import { judgePolicy } from '../config/read.ts';
import { watchFolder } from '../files/watch-folder.ts';
import { Installer, type InstallWish, placesOf } from '../installer/installer.ts';
import type { TaintTools } from '../installer/node-taint.ts';
import type { PolicyVerdict } from '../installer/policy.ts';
import {
  type Findings,
  nextLookMs,
  notReadyFile,
  type Part,
  parts,
  removeStatus,
  type Status,
  statusOf,
  writeStatus,
} from '../installer/status.ts';
import { Bell, watch } from '../loop/watch.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { isYaml, parseDocument } from './documents.ts';
import {
  type InstallFlags,
  placesIn,
  readyFileOption,
  waitOption,
  wishIn,
  withPlaces,
  withWishes,
} from './installer-options.ts';
import { withLines } from './lines.ts';
import { keepUntainted } from './untaint.ts';

/** `egress install`: puts binary, policy and chain entry in place, once or for good. Exit code 1 when it could not. */
export async function install(flags: InstallFlags, surroundings: CliSurroundings): Promise<void> {
  requireAbsolute({ ...placesIn(flags) });
  requireNode(flags.node);
  const wish = wishIn(flags);
  const installer = new Installer(wish, {
    ...surroundings.hostTools,
    version: surroundings.version,
    judgePolicy: verdictOn,
  });
  if (flags.watch) return await keep(installer, wish, flags, surroundings);
  const findings = await installer.look();
  new Reporter(surroundings).report(findings);
  if (!statusOf(findings, surroundings.version).ready) surroundings.setExitCode(1);
}

/** Until the service ends; then all stays as it is: pods go on to be steered while there is no installer. */
async function keep(
  installer: Installer,
  wish: InstallWish,
  { readyFile }: InstallFlags,
  surroundings: CliSurroundings,
): Promise<void> {
  using service = surroundings.openService();
  const bell = new Bell();
  using _watchers = watchers(wish, bell.ring);
  const reporter = new Reporter(surroundings);
  let timer: NodeJS.Timeout | undefined;
  let status: Status | undefined;
  const taintBell = new Bell();
  const { signal } = service;
  const untainting = {
    tools: taintTools(surroundings),
    isReady: () => status?.ready === true,
    bell: taintBell,
    signal,
  };
  const look = async () => {
    clearTimeout(timer);
    const findings = await installer.look();
    reporter.report(findings);
    status = statusOf(findings, surroundings.version);
    writeStatus(readyFile, status);
    taintBell.ring();
    timer = ringLater(bell, nextLookMs(findings));
  };
  removeStatus(readyFile);
  try {
    const report = (error: unknown) => service.report(error, 'It is tried again until then.');
    await Promise.all([watch({ look, report, bell, signal }), keepUntainted({ ...surroundings, ...untainting })]);
  } finally {
    clearTimeout(timer);
    removeStatus(readyFile);
  }
}

const taintTools = ({ cluster, hostTools }: CliSurroundings): TaintTools => ({
  ...(cluster ?? { api: undefined, node: undefined }),
  now: hostTools.now,
});

/** Rings after so many milliseconds, unless the timer is cleared before. */
export const ringLater = (bell: Bell, ms: number | undefined): NodeJS.Timeout | undefined =>
  ms === undefined ? undefined : setTimeout(bell.ring, ms);

/** Of the source of the policy its folder, too: a ConfigMap changes by a link beside the file. */
function watchers(wish: InstallWish, ring: () => void): Disposable {
  const { bin, conf } = placesOf(wish);
  const source = wish.policySource;
  const folders = [bin(), conf(), ...(source === undefined ? [] : [source, folderOf(source)])];
  const stack = new DisposableStack();
  for (const folder of folders) stack.use(watchFolder(folder, ring));
  return stack;
}

const folderOf = (path: string): string => path.replace(/\/+[^/]*\/*$/, '') || '/';

/** Tells a person the changes, and the state whenever it is another than before. */
class Reporter {
  readonly #surroundings: Pick<CliSurroundings, 'write' | 'remark'>;
  readonly #reported = new Map<Part, string>();

  constructor(surroundings: Pick<CliSurroundings, 'write' | 'remark'>) {
    this.#surroundings = surroundings;
  }

  report(findings: Findings): void {
    for (const part of parts) {
      const { ok, text, done } = findings[part];
      if (done !== undefined) this.#surroundings.write(`${part}: ${done}\n`);
      if (this.#reported.get(part) === text) continue;
      this.#reported.set(part, text);
      if (ok) this.#surroundings.write(`${part}: ${text}\n`);
      else this.#surroundings.remark(`egress: ${part}: ${text}\n`);
    }
  }
}

/** The judgement of `egress validate` about a policy, and YAML as the JSON that the plugin reads. */
async function verdictOn(file: string, text: string): Promise<PolicyVerdict> {
  const { value, problems } = await parseDocument(file, text);
  const judged = value === undefined ? { problems } : judgePolicy(file, value, problems);
  if ('problems' in judged) return { problems: (await withLines(text, judged.problems)).map(lineOf) };
  return { json: isYaml(file, text) ? toJson(value) : text };
}

const readyLooksMs = 200;

/**
 * `egress ready --wait`: as {@link ready}, when all is as it should be, or some seconds are over. The kubelet tells each start-up
 * probe that fails as a Warning: nothing is wrong while an installer has only begun.
 */
export async function readyWithin(
  seconds: number,
  readyFile: string,
  surroundings: Pick<CliSurroundings, 'readFile' | 'write' | 'setExitCode'>,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (surroundings.readFile(readyFile) === undefined && performance.now() < end) await pause(readyLooksMs);
  ready(readyFile, surroundings);
}

/**
 * `egress ready`: prints the last findings of the installer in this container. Exit code 1 unless all was as it should
 * be.
 */
export function ready(
  readyFile: string,
  { readFile, write, setExitCode }: Pick<CliSurroundings, 'readFile' | 'write' | 'setExitCode'>,
): void {
  const status = readFile(readyFile) ?? readFile(notReadyFile(readyFile));
  const isReady = status !== undefined && (JSON.parse(status) as Pick<Status, 'ready'>).ready;
  write(status ?? 'The installer has not looked yet, or it does not run.\n');
  if (!isReady) setExitCode(1);
}

export function requireAbsolute(paths: Readonly<Record<string, string>>): void {
  for (const [name, path] of Object.entries(paths)) {
    if (!path.startsWith('/'))
      throw new EgressError('invalid-argument', `${name}: expected an absolute path, got "${path}"`);
  }
}

function requireNode(node: string | undefined): void {
  if (node === undefined || parseAddress(node) !== undefined) return;
  throw new EgressError('invalid-argument', `--node: expected an IP address, got "${node}"`);
}

export const installCommand: CliCommand = {
  name: 'install',
  summary: 'put egress into the chain of this node; exit code 1 when it cannot',
  options: (command) => withWishes(withPlaces(command)),
  run: (surroundings, flags: InstallFlags) => install(flags, surroundings),
};

export const readyCommand: CliCommand = {
  name: 'ready',
  summary: 'show what egress install --watch found last, or what uninstall --stay did; exit code 1 unless all is ready',
  options: (command) => command.addOption(readyFileOption()).addOption(waitOption()),
  run: (surroundings, { readyFile, wait }: { readonly readyFile: string; readonly wait: number }) =>
    readyWithin(wait, readyFile, surroundings),
};
