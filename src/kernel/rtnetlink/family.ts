import type { Family } from '../../base/address.ts';

const AF_INET = 2;
const AF_INET6 = 10;

/** The kernel's number for an address family. */
export const addressFamily = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);
