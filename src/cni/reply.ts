import { type EgressError, errorTable } from '../base/errors.ts';
import { cut } from '../base/shown.ts';
import { newestVersion, supportedVersions } from './versions.ts';

/** The result of a plugin process: at most one JSON document on stdout, and its exit code. */
export interface Reply {
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

export const nothing: Reply = { stdout: '', exitCode: 0 };

export const success = (stdout: string): Reply => ({ stdout, exitCode: 0 });

/** The answer to VERSION: every version literally, CRI-O compares nothing else. */
export const versionReply = (cniVersion: string | undefined): Reply =>
  success(JSON.stringify({ cniVersion: cniVersion ?? newestVersion, supportedVersions }));

/** Characters of details. Nobody reads more, and logs keep it: a hostile name has megabytes. */
const longestDetails = 4000;

/** An error as the CNI specification wants it: on stdout, with a non-zero exit code. */
export function failure(error: EgressError, cniVersion: string | undefined): Reply {
  const { number, title, remedy } = errorTable[error.code];
  const document = {
    cniVersion: cniVersion ?? newestVersion,
    code: number,
    msg: title,
    details: `${ended(cut(error.message, longestDetails))} ${remedy}.`,
  };
  return { stdout: JSON.stringify(document), exitCode: 1 };
}

/** A sentence with its end; one that asks "did you mean …?" has it. */
const ended = (sentence: string) => (sentence.endsWith('?') ? sentence : `${sentence}.`);

/**
 * The same for DEL, without the words "not found". containerd takes an error with these words for a success and calls
 * no plugin after us: an address would be lost.
 */
export function failureOfDel(error: EgressError, cniVersion: string | undefined): Reply {
  const { stdout, exitCode } = failure(error, cniVersion);
  return {
    stdout: stdout.replace(/not found/gi, 'missing').replace(/no such file or directory/gi, 'missing'),
    exitCode,
  };
}
