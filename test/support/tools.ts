import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

/** The folder of the repository. */
export const root = resolve(import.meta.dirname, '../..');

/** The built binary; its folder is on CNI_PATH, so `"type": "egress"` finds it. */
export const egressBinary = join(root, 'dist/egress');

/** Where Debian's package containernetworking-plugins puts bridge, ptp, host-local and the others. */
export const pluginFolder = '/usr/lib/cni';

/** CNI_PATH of every node. */
export const cniPath = [pluginFolder, join(root, 'dist')].join(delimiter);

/** Where install/tools.sh puts what it builds. */
export const toolFolder = join(root, '.cache/tools');

/** Our own downloads first; then the system's folders before the rest of PATH, where version managers put slow wrappers. */
const folders = [
  ...[toolFolder, '/usr/sbin', '/usr/bin'],
  ...(process.env.PATH ?? '').split(delimiter),
  process.env.GOBIN ?? '',
];

/** The path of a program that the lab runs. */
export function tool(name: string): string {
  const found = folders.map((folder) => join(folder, name)).find(isProgram);
  if (found === undefined) throw new Error(`${name} is not on this machine; "npm run setup -- lab" gets it`);
  return found;
}

/**
 * The path of `etcd`, or of a program of Kubernetes: of the version that KUBERNETES in the environment names, or of the one that
 * `install/tools.sh cluster` builds if none is named.
 */
export function kubernetesTool(name: string): string {
  const { KUBERNETES: version } = process.env;
  return tool(`kubernetes${version && name !== 'etcd' ? `-${version}` : ''}/${name}`);
}

/** Why there are not all of some programs that {@link kubernetesTool} finds, or `undefined` when there are. */
export function missingFromKubernetes(names: readonly string[]): string | undefined {
  const absent = names.filter((name) => !isFound(() => kubernetesTool(name)));
  return absent.length > 0 ? `${absent.join(', ')} not built: "sh install/tools.sh cluster"` : undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a Python program of ours that stands for a pod's or an outside host's software. */
export const program = (name: string): string => join(import.meta.dirname, 'programs', name);

/** Programs of the operating system without which no lab can be made. */
const programs = [
  ...['ip', 'sysctl', 'nft', 'iptables', 'conntrack', 'tcpdump', 'strace', 'keepalived'],
  ...['nsenter', 'unshare', 'setpriv', 'python3', 'cnitool'],
];

/** Why the lab cannot run here, or `undefined` when it can. */
export function missingForLab(): string | undefined {
  if (process.getuid?.() !== 0) return 'the lab makes network namespaces: run it as root';
  if (!existsSync(egressBinary)) return 'dist/egress is not built: run "npm run build"';
  if (!existsSync(join(pluginFolder, 'bridge')))
    return `${pluginFolder}/bridge is missing: install containernetworking-plugins`;
  const absent = programs.filter((name) => !isInstalled(name));
  return absent.length > 0 ? `not on this machine: ${absent.join(', ')}` : undefined;
}

/** Why no pods can be made through a container runtime here, or `undefined` when they can. */
export function missingForRuntime(): string | undefined {
  const absent = ['containerd', 'ctr', 'runc', 'podman', 'busybox', 'tar'].filter((name) => !isInstalled(name));
  const reason = absent.length > 0 ? `not on this machine: ${absent.join(', ')}` : undefined;
  return missingForLab() ?? reason;
}

const isInstalled = (name: string): boolean => isFound(() => tool(name));

function isFound(find: () => string): boolean {
  try {
    return find() !== '';
  } catch {
    return false;
  }
}
