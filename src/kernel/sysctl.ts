import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { EgressError } from '../base/errors.ts';
import type { Sysctl } from '../datapath/objects.ts';
import { type KernelKind, noneListed } from './kind.ts';

let folder = '/proc/sys';

/**
 * From now on kernel parameters are in this folder: container runtimes mount /proc/sys read-only, and the same files of
 * procfs at another path are not. They are those of the reader's network namespace there, too. Throws `invalid-argument`
 * where the folder has none: each of them would look as if the kernel did not know it.
 */
export function findSysctlsIn(path: string): void {
  if (!existsSync(`${path}/${probe}`)) {
    const remedy = `mount /proc/sys/net of the host at ${path}/net`;
    throw new EgressError('invalid-argument', `${path} has no kernel parameters of the network: ${remedy}`);
  }
  folder = path;
}

/** A parameter that every kernel with IPv4 has. */
const probe = 'net/ipv4/ip_forward';

/** Why no parameter can be written, with the remedy; `undefined` when they can. */
export function whySysctlsAreReadOnly(): string | undefined {
  try {
    accessSync(fileOf(probe), constants.W_OK);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? error.code : error;
    const remedy =
      'mount the host’s /proc/sys/net at another path, writable, and name its /proc/sys in EGRESS_PROC_SYS';
    return `kernel parameters in ${folder} cannot be written (${reason}): ${remedy}`;
  }
}

/**
 * Kernel parameters by their path below /proc/sys: `net/ipv4/conf/eth1/rp_filter`. Never with dots between the parts,
 * as sysctl(8) would have it: the name of an interface may hold dots (`eth1.100`).
 */
const fileOf = (name: string) => `${folder}/${name}`;

const isMissing = (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** The value without its line end; `undefined` when there is no such parameter, as for an interface that is gone. */
// sysctl -n net/ipv4/conf/eth1/rp_filter
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(fileOf(name)).toString().trim();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Sets a parameter. Returns false when there is none of that name: the interface may have vanished meanwhile. */
// sysctl -w net/ipv4/conf/eth1/rp_filter=2
export function writeSysctl(name: string, value: string): boolean {
  try {
    writeFileSync(fileOf(name), Buffer.from(value));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

const write = async (_: unknown, { name, value }: Sysctl) => writeSysctl(name, value);

/** Desired parameters are read by name (`node/set-up.ts`), and their earlier values are kept in our table. */
export const sysctlKind: KernelKind<Sysctl> = {
  setUp: write,
  takeDown: write,
  observe: async () => [],
  list: noneListed,
};
