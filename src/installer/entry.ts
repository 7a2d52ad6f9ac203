import { capability } from '../cni/annotations.ts';

/** The name of our binary, and so the `type` of our chain entry. */
export const pluginType = 'egress';

/** The keys of the chain entry. The plugin has defaults for absent keys. Paths are those of the host. */
export interface EntryOptions {
  readonly policyFile?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly logFile?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly node?: string | undefined;
  readonly draining?: true | undefined;
}

/** Our chain entry as JSON in ASCII: it fits into a file of any encoding. */
export function entryText(options: EntryOptions): string {
  const { policyFile, dataDir, logFile, logLevel, node, draining } = options;
  const capabilities = { [capability]: true };
  const entry = { type: pluginType, capabilities, policyFile, dataDir, logFile, logLevel, node, draining };
  return JSON.stringify(entry).replace(/[\u0080-\uffff]/g, escaped);
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
