import type { NodeState } from '../datapath/attachment.ts';
import type { Needs } from '../datapath/needs.ts';
import type { Other, OutsideObject } from '../datapath/objects.ts';
import type { NetlinkSocket } from './netlink/socket.ts';

/** How a kind of object outside of nftables is made, taken down and found. All of it throws KernelError. */
export interface KernelKind<T> {
  /** That it is there already is no error. */
  setUp(socket: NetlinkSocket, object: T): Promise<unknown>;
  /** That it is gone already, or what it is on, is no error. */
  takeDown(socket: NetlinkSocket, object: T): Promise<unknown>;
  /** Those that are there of what is needed. */
  observe(look: Look & { readonly node: NodeState; readonly needs: Needs }): Promise<readonly T[]>;
  /** All of ours, whoever they are for, that do not go with their device. */
  list(look: Look & { readonly node: NodeState | undefined }): Promise<Listed<T>>;
}

interface Look {
  readonly socket: NetlinkSocket;
  /** What was found of the kinds before this one. */
  readonly found: readonly OutsideObject[];
}

/** What a kind finds without knowing what is needed. */
export interface Listed<T> {
  readonly ours: readonly T[];
  /** What others made with our number. */
  readonly others?: readonly Other[];
}

/** Of kinds whose objects go with their device, or are asked for by name. */
export const noneListed = async (): Promise<Listed<never>> => ({ ours: [] });
