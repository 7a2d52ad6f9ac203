import { dirname } from 'node:path';
import type { Command } from 'commander';
import { EgressError } from '../src/base/errors.ts';
import { isThere } from '../src/files/file.ts';

/** Commands that may have to make the folder: of nodes where no pod was steered yet. */
const makers: readonly string[] = ['agent', 'gateway', 'install', 'uninstall'];

/** Folders of a node that commands read, by their options. */
const folders = { dataDir: '--data-dir', resultsDir: '--results-dir' } as const;

/**
 * Refuses to tell of a node's pods where nothing can be known of them: "all is as it should be" would be no answer. A node
 * without steered pods has no data folder, but the folder that it comes into; a container that the node's folders are not mounted
 * in has neither. Throws `invalid-argument`.
 */
export function requireDataDir(command: Command): void {
  if (makers.includes(command.name())) return;
  const options = command.opts<{ readonly dataDir?: string; readonly resultsDir?: string }>();
  for (const name of ['dataDir', 'resultsDir'] as const) {
    const folder = options[name];
    if (folder === undefined || isThere(folder)) continue;
    if (command.getOptionValueSource(name) !== 'cli' && isThere(dirname(folder))) continue;
    const remedy = `In a pod of the DaemonSet that is the container "agent" (kubectl exec -c agent); else name the folder with ${folders[name]}`;
    throw new EgressError(
      'invalid-argument',
      `${folder} is not there, so nothing is known of this node’s pods here. ${remedy}`,
    );
  }
}
