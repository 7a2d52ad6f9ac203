import { sha256Hex } from './sha256.ts';

/** One container on one network by one interface: the key of everything (CNI specification, "attachment"). */
export interface Attachment {
  /** Name of the network: letters, digits, `_`, `.` and `-`, as in the container ID. */
  readonly network: string;
  readonly containerId: string;
  /** Name of the interface in the container: at most 15 bytes, without `/` and `:`. */
  readonly ifname: string;
}

/**
 * The greatest length of a name that is kept whole, and the number of hex digits that stand for a longer one. nftables
 * takes comments of at most 127 bytes: 40 + 64 + 15 and two slashes fit.
 */
const limits = { network: { length: 40, digits: 31 }, containerId: { length: 64, digits: 63 } } as const;

/** The text that names an attachment in nftables comments: `<network>/<containerId>/<ifname>`, at most 121 bytes. */
export const markOf = ({ network, containerId, ifname }: Attachment): string =>
  `${networkMark(network)}${shortened(containerId, limits.containerId)}/${ifname}`;

/** How the marks of all attachments to a network begin, and of none to another: `<network>/`. */
export const networkMark = (network: string): string => `${shortened(network, limits.network)}/`;

/** A name that is too long becomes `~` and digits of its SHA-256: no valid name holds a `~`, so marks stay unambiguous. */
function shortened(name: string, limit: { readonly length: number; readonly digits: number }): string {
  if (name.length <= limit.length) return name;
  return `~${sha256Hex(name).slice(0, limit.digits)}`;
}
