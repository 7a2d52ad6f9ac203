import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../files/file.ts';

/** The result of a look at one part. */
export interface Finding {
  readonly ok: boolean;
  /** Text for a person: the state, or the fault and its remedy. */
  readonly text: string;
  /** What was changed. */
  readonly done?: string;
  /** Milliseconds after which there is something to be done, whatever happens until then. */
  readonly lookAgainMs?: number;
}

/** The things that the installer looks after, in the order in which they are put in place. */
export const parts = ['binary', 'policy', 'network'] as const;
export type Part = (typeof parts)[number];

/** What a look found. */
export type Findings = Readonly<Record<Part, Finding>>;

/** The answer of `egress ready`: all is as it should be, and new pods are steered. */
export interface Status extends Readonly<Record<Part, string>> {
  readonly ready: boolean;
  readonly version: string;
}

/** The same while egress is taken off a node: ready when that is done. */
export interface Removal {
  readonly ready: boolean;
  readonly version: string;
  /** What was done, or what is waited for. */
  readonly removal: readonly string[];
}

export function statusOf(findings: Findings, version: string): Status {
  const [binary, policy, network] = [findings.binary.text, findings.policy.text, findings.network.text];
  return { ready: parts.every((part) => findings[part].ok), version, binary, policy, network };
}

/** Milliseconds until the next look, when something has to be done by then. */
export function nextLookMs(findings: Findings): number | undefined {
  const times = parts.flatMap((part) => findings[part].lookAgainMs ?? []);
  return times.length > 0 ? Math.min(...times) : undefined;
}

/** The name that the ready file has while the installation is not ready. */
export const notReadyFile = (readyFile: string): string => join(dirname(readyFile), `not-${basename(readyFile)}`);

/** The ready file is there exactly while the installation is ready, and says how it is; else another one says why not. */
export function writeStatus(readyFile: string, status: Status | Removal): void {
  const [there, gone] = status.ready ? [readyFile, notReadyFile(readyFile)] : [notReadyFile(readyFile), readyFile];
  rmSync(gone, { force: true });
  makeFolder(dirname(there), 0o755);
  const temporary = `${there}.new`;
  writeFileSync(temporary, `${JSON.stringify(status, undefined, 2)}\n`);
  renameSync(temporary, there);
}

/** Nobody looks after the installation any more, so nobody can say how it is. */
export function removeStatus(readyFile: string): void {
  for (const file of [readyFile, notReadyFile(readyFile)]) rmSync(file, { force: true });
}
