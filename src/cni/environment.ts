import type { Attachment } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';
import type { Pod } from '../policy/match.ts';

/** The verbs of a runtime (CNI specification 1.1.0, "CNI operations"). */
export const commands = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;

export type Command = (typeof commands)[number];

/** The environment of a call, checked. */
export interface Environment {
  readonly command: Command;
  readonly containerId: string;
  readonly ifname: string;
  readonly pod: Pod;
}

/** CNI_NETNS may be empty on DEL: the namespace may be gone. CNI_PATH is for plugins that call others. */
const required: Record<Command, readonly string[]> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  GC: [],
  STATUS: [],
  VERSION: [],
};

/**
 * Reads the CNI_* variables. Throws `invalid-environment` that names all missing ones, or the one that is malformed:
 * the rules for container IDs and interface names are those of libcni's pkg/utils.
 */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const command = commands.find((known) => known === variables.CNI_COMMAND);
  if (command === undefined) {
    throw invalid(`CNI_COMMAND is ${shown(variables.CNI_COMMAND)}, expected one of ${commands.join(', ')}`);
  }
  const missing = required[command].filter((name) => !variables[name]);
  if (missing.length > 0) throw invalid(`${command} needs ${missing.join(', ')}`);
  const { CNI_CONTAINERID: containerId = '', CNI_IFNAME: ifname = '', CNI_ARGS: args = '' } = variables;
  if (required[command].length > 0) checkNames(containerId, ifname);
  return { command, containerId, ifname, pod: podOf(args) };
}

/** Throws `invalid-environment` for a container ID or an interface name that libcni refuses. */
export function checkNames(containerId: string, ifname: string): void {
  if (!isValidName(containerId)) {
    throw invalid(`CNI_CONTAINERID is ${shown(containerId)}, expected letters, digits, "_", "." and "-"`);
  }
  if (Buffer.byteLength(ifname) > 15 || ifname === '.' || ifname === '..' || /[/:\s]/.test(ifname)) {
    throw invalid(`CNI_IFNAME is ${shown(ifname)}, expected at most 15 characters without "/", ":" and white space`);
  }
}

/** The rule for container IDs and network names. */
export const isValidName = (name: string): boolean => /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name);

const invalid = (details: string) => new EgressError('invalid-environment', details);

/** The pod in CNI_ARGS: `KEY=value;KEY=value` in any order; other keys are somebody else's. */
export function podOf(args: string): Pod {
  const values = new Map(
    args
      .split(';')
      .filter((pair) => pair.includes('='))
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  const { namespace, name, uid } = {
    namespace: values.get('K8S_POD_NAMESPACE'),
    name: values.get('K8S_POD_NAME'),
    uid: values.get('K8S_POD_UID'),
  };
  return { ...(namespace && { namespace }), ...(name && { name }), ...(uid && { uid }) };
}

/** The attachment that a call is about. */
export const attachmentOf = ({ containerId, ifname }: Environment, network: string): Attachment => ({
  network,
  containerId,
  ifname,
});
