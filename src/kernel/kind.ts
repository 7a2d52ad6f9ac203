import type { NodeState } from '../datapath/attachment.ts';
import type { Needs } from '../datapath/needs.ts';
import type { Other, OutsideObject } from '../datapath/objects.ts';
import type { NetlinkSocket } from './netlink/socket.ts';

/** How a kind of object outside of nftables is made, taken down and found. All of it throws KernelError. */
export interface KernelKind<T> {
  /** An object that is there already is no error. */
  setUp(socket: NetlinkSocket, object: T, indexOf: IndexOf): Promise<unknown>;
  /** An object that is gone already, or its device, is no error. */
  takeDown(socket: NetlinkSocket, object: T, indexOf: IndexOf): Promise<unknown>;
  /** The needed objects that are there. */
  observe(look: Look & { readonly node: NodeState; readonly needs: Needs }): Promise<readonly T[]>;
  /** All of ours, for all attachments, unless they go with their device. */
  list(look: Look & { readonly node: NodeState | undefined }): Promise<Listed<T>>;
}

/** The index of an interface by its name; `undefined` when there is none. Asked of the kernel once for many objects. */
export type IndexOf = (device: string) => Promise<number | undefined>;

interface Look {
  readonly socket: NetlinkSocket;
  /** The objects of earlier kinds. */
  readonly found: readonly OutsideObject[];
}

/** The objects of a kind, needed or not. */
export interface Listed<T> {
  readonly ours: readonly T[];
  /** Others' objects with our number. */
  readonly others?: readonly Other[];
}

/** For kinds whose objects go with their device, or are asked for by name. */
export const noneListed = async (): Promise<Listed<never>> => ({ ours: [] });
