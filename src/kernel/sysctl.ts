import { readFileSync, writeFileSync } from 'node:fs';
import type { Sysctl } from '../datapath/objects.ts';
import { type KernelKind, noneListed } from './kind.ts';

/**
 * Kernel parameters by their path below /proc/sys: `net/ipv4/conf/eth1/rp_filter`. Never with dots between the parts,
 * as sysctl(8) would have it: the name of an interface may hold dots (`eth1.100`).
 */
const fileOf = (name: string) => `/proc/sys/${name}`;

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
