import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pluginFolder, tool, toolFolder } from '../tools.ts';

/** A containerd and the plugins of others that it calls. */
export interface Release {
  readonly program: string;
  /** Folders of programs that it starts, such as its shim. */
  readonly folders: readonly string[];
  /** Name of a plugin → its path. */
  readonly plugins: Readonly<Record<string, string>>;
}

const named = (folder: string, ...names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, join(folder, name)]));

const debianPlugins = named(pluginFolder, 'bridge', 'portmap', 'host-local', 'loopback');

const built = join(toolFolder, 'containerd-2');

/** containerd as Debian has it, with Debian's plugins; and containerd 2 with plugins that know version 1.1.0. */
export const releases = {
  get debian(): Release {
    const program = tool('containerd');
    return { program, folders: [dirname(program)], plugins: debianPlugins };
  },
  two: {
    program: join(built, 'containerd'),
    folders: [built],
    plugins: { ...debianPlugins, ...named(built, 'bridge', 'portmap', 'host-local') },
  } as Release,
};

/** Why there is no containerd 2 here, or `undefined` when there is one. */
export function missingContainerd2(): string | undefined {
  const { program, plugins } = releases.two;
  const isComplete = [program, ...Object.values(plugins)].every((path) => existsSync(path));
  return isComplete ? undefined : 'containerd 2 could not be built; "npm run setup -- runtime" says why';
}
