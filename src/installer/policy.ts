import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { filesIn, makeFolder, readIfThere, removeFile, replaceFile } from '../files/file.ts';
import type { Finding } from './status.ts';

/** The places and tools for keeping the policy file. */
export interface PolicyTools {
  /** A file, or a folder with one of {@link fileNames}, as a ConfigMap is mounted. */
  readonly source: string;
  /** The policy file of the host. Links on the way to it may change, so it is looked up each time. */
  target(): string;
  /** The note with the hash of our policy file, looked up each time as well. */
  note(): string;
  judge(file: string, text: string): Promise<PolicyVerdict>;
}

/** A policy as the plugin reads it, or everything that is wrong with it. */
export type PolicyVerdict = { readonly json: string } | { readonly problems: readonly string[] };

const fileNames = ['policy.json', 'policy.yaml', 'policy.yml'] as const;

/** The policy file of the host: always the last one that was valid. */
export class Policy {
  readonly #tools: PolicyTools;

  constructor(tools: PolicyTools) {
    this.#tools = tools;
  }

  /** Puts the policy in force, if it is valid. Only for the holder of the lock. */
  async look(): Promise<Finding> {
    const target = this.#tools.target();
    const found = this.#find();
    const kept = existsSync(target) ? `; the last good one stays in force in ${target}` : '';
    if ('problem' in found) return { ok: false, text: `${found.problem}${kept}` };
    const verdict = await this.#tools.judge(found.file, found.text);
    if ('problems' in verdict) return { ok: false, text: `refused: ${verdict.problems.join('; ')}${kept}` };
    const done = this.#replace(target, verdict.json);
    const text = `${target} is ${found.file}, sha256 ${digest(verdict.json).slice(0, 12)}…`;
    return { ok: true, text, ...(done && { done: `put the policy of ${found.file} in force` }) };
  }

  #find(): { readonly file: string; readonly text: string } | { readonly problem: string } {
    const { source } = this.#tools;
    const isFolder = statSync(source, { throwIfNoEntry: false })?.isDirectory() === true;
    const there = (isFolder ? fileNames.map((name) => join(source, name)) : [source]).filter((file) =>
      existsSync(file),
    );
    const [file, other] = there;
    if (file === undefined) return { problem: `waiting for a policy: ${wanted(source, isFolder)} does not exist` };
    if (other !== undefined) return { problem: `refused: ${file} and ${other} are both there, expected one of them` };
    return { file, text: readFileSync(file).toString() };
  }

  /** The note comes first: a file without a fitting note is somebody else's. */
  #replace(target: string, json: string): boolean {
    makeFolder(dirname(target));
    if (readIfThere(target) === json) return false;
    replaceFile(this.#tools.note(), `${digest(json)}\n`);
    replaceFile(target, json);
    return true;
  }
}

const wanted = (source: string, isFolder: boolean): string =>
  isFolder ? `${join(source, fileNames[0])} or ${fileNames[1]}` : source;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Removes the policy file if it is as we wrote it. Returns what to tell a person. Only for the holder of the lock. */
export function releasePolicy(target: string, note: string): string[] {
  const [text, ours] = [readIfThere(target), readIfThere(note)];
  rmSync(note, { force: true });
  if (text === undefined) return [];
  if (`${digest(text)}\n` !== ours) return [`${target} is left: egress install did not write it`];
  removeFile(target);
  if (filesIn(dirname(target)).length === 0) removeFolder(dirname(target));
  return [`removed ${target}`];
}

/** Unless there is something in it, or it is a mount. */
function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // An empty folder does no harm.
  }
}
