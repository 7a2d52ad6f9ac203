import type { Configuration } from '../config/configuration.ts';
import { defaults } from '../config/defaults.ts';
import { type ReadFile, readConfiguration } from '../config/read.ts';

/** The policies that are configured now; the reason why they are not known. */
export type Configured = Configuration | { readonly unknown: string };

/**
 * The policy file as far as it can be read. Records tell what is in force without it. Throws when a file that somebody
 * named is not there.
 */
export function readIfThere(file: string | undefined, readFile: ReadFile): Configured {
  try {
    if (file === undefined && readFile(defaults.policyFile) === undefined) {
      return { unknown: `there is no policy file ${defaults.policyFile}` };
    }
    return readConfiguration({ type: 'egress', ...(file !== undefined && { policyFile: file }) }, readFile);
  } catch (error) {
    if (file !== undefined && readFile(file) === undefined) throw error;
    return { unknown: error instanceof Error ? error.message : String(error) };
  }
}
